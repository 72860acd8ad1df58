"""What `inference_schema.schema_util` says of functions: the schemas that decorators declared for them.

Asked by `user_code` and `swagger`, and by the driver scripts that some of Azure's tools write.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

from mlctl.scoring.schema.parameter_type import Document

_MARK = "_mlctl_schema"
_ALL_VERSIONS = ("2.0", "3.0", "3.1")
_INPUT, _OUTPUT = "input_schema", "output_schema"

Function = Callable[..., Any]


class Declared:
    """The schemas of one function."""

    def __init__(self, function: Function) -> None:
        arguments = inspect.getfullargspec(function)
        self.name = f"{function.__module__}.{function.__name__}"
        self.positions = tuple(arguments.args)
        self.schemas: dict[str, Document] = {}
        self.versions: dict[str, frozenset[str]] = {}
        self._names = None if arguments.varkw else frozenset([*arguments.args, *arguments.kwonlyargs])

    def has_parameter(self, name: str) -> bool:
        """Say whether the function takes an argument of that name."""
        return self._names is None or name in self._names

    def add_input(self, name: str, schema: Document, versions: Sequence[str]) -> None:
        """Note what a parameter is like. Of the versions those of the outermost decorator count, as in the package."""
        whole = self.schemas.setdefault(_INPUT, self._describe_nothing())
        described = copy.deepcopy(schema)
        whole["example"][name] = described.pop("example")
        whole["properties"][name] = described
        self.versions[_INPUT] = frozenset(versions)

    def _describe_nothing(self) -> Document:
        names = self.positions
        return {"type": "object", "properties": {name: {} for name in names}, "example": dict.fromkeys(names, "")}

    def add_output(self, schema: Document, versions: Sequence[str]) -> None:
        """Note what is returned, once."""
        if _OUTPUT in self.schemas:
            raise ValueError(f"Error, output schema already defined for function: {self.name}.")
        self.schemas[_OUTPUT] = schema
        self.versions[_OUTPUT] = frozenset(versions)


_by_name: dict[str, Declared] = {}


def declare(function: Function) -> Declared:
    """Return what is noted of a function, which may be decorated already."""
    declared = _find(function)
    if declared is None:
        declared = Declared(function)
        # Decorators that keep a function's name, with functools.wraps, keep this as well.
        setattr(function, _MARK, declared)
        _by_name[declared.name] = declared
    return declared


def _find(function: object, seen: frozenset[int] = frozenset()) -> Declared | None:
    """Look at a function and, below decorators that hide it, at those that it calls."""
    declared = getattr(function, _MARK, None)
    if isinstance(declared, Declared):
        return declared
    seen |= {id(function)}
    found = (_find(inner, seen) for inner in _list_inner(function) if id(inner) not in seen)
    return next((declared for declared in found if declared), None)


def _list_inner(function: object) -> Iterator[object]:
    for cell in cast("tuple[Any, ...]", getattr(function, "__closure__", None) or ()):
        try:
            content = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
        if inspect.isroutine(content):
            yield content


def is_schema_decorated(func: Function) -> bool:
    """Say whether a schema was declared for a function."""
    return _find(func) is not None


def get_input_schema(func: Function) -> Document:
    """Return what the object of a request's body is like."""
    return _get_schema(func, _INPUT)


def get_output_schema(func: Function) -> Document:
    """Return what the answer's body is like."""
    return _get_schema(func, _OUTPUT)


def _get_schema(func: Function, kind: str) -> Document:
    declared = _find(func)
    return declared.schemas.get(kind, {"type": "object"}) if declared else {"type": "object"}


def get_supported_versions(func: Function) -> list[str]:
    """Return the versions of swagger that can express both schemas."""
    declared = _find(func)
    found = [versions for versions in declared.versions.values() if versions] if declared else []
    return sorted(frozenset(_ALL_VERSIONS).intersection(*found))


def get_schemas_dict() -> dict[str, dict[str, Document]]:
    """Return all schemas, by module and name of the functions."""
    return copy.deepcopy({name: declared.schemas for name, declared in _by_name.items()})
