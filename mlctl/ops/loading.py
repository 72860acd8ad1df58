"""From a file and options to a checked document: YAML, then `--set`, then the named options, as az orders them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from mlctl.entities.batch_deployment import ModelBatchDeployment, normalize, with_settings
from mlctl.entities.batch_endpoint import BatchEndpoint
from mlctl.entities.document import Document, make_document, refuse_document
from mlctl.entities.endpoint import OnlineEndpoint
from mlctl.entities.generic_update import apply_generic_update
from mlctl.entities.kinds import (
    MANAGED_DEPLOYMENT,
    batch_deployment_class,
    batch_endpoint_class,
    deployment_class,
    endpoint_class,
    find_kind_of_class,
    find_other_family,
    is_complete,
    is_conda_file,
    merge_top_level,
)
from mlctl.entities.overrides import override_document
from mlctl.entities.parsing import check_document, parse_document
from mlctl.entities.parts import Entity
from mlctl.entities.schemas import check_against_schema
from mlctl.entities.yaml_file import load_document
from mlctl.errors import InvalidInput, NotFound, Problem
from mlctl.registry.batch_deployments import BatchDeploymentRow
from mlctl.registry.deployments import DeploymentRow

Operation = tuple[str, Sequence[str]]
FindMore = Callable[[Document], Sequence[Problem]]
E = TypeVar("E", bound=Entity)
# Options that are not called as the field that they set.
_FLAGS = {"build": "--build-context"}


@dataclass(frozen=True)
class Loaded:
    """A checked document.

    folder: what relative paths start from. from_file: the fields that a file brought; their paths are read anew.
    changed: the fields that differ from what the deployment had. file: where it was read from.
    """

    spec: dict[str, Any]
    folder: Path
    from_file: frozenset[str]
    changed: frozenset[str]
    file: Path | None = None

    def brings(self, field: str) -> bool:
        """Say whether this command had something to say about a field."""
        return field in self.from_file or field in self.changed


def read_document(file: Path | None) -> Document:
    """Read a YAML file into a document; without a file an empty one. InvalidInput says where it is broken."""
    if file is None:
        return make_document({})
    try:
        # Once, and never sized up first: it may be a pipe.
        return load_document(file.read_bytes(), file=str(file))
    except OSError as error:
        raise InvalidInput(f"cannot read {file}: {error.strerror}", hint=f"ls -l {file.parent}") from error


def load(
    file: Path | None,
    choose_class: Callable[[Mapping[str, Any]], type[E]],
    *,
    overrides: Sequence[str] = (),
    options: Mapping[str, Any] = {},
    find_more: FindMore | None = None,
) -> E:
    """Load a document of a kind that may depend on its content.

    find_more: looks for what is wrong beyond the text, such as a model that is not registered.
    """
    document = read_document(file)
    _refuse_other_family(document, choose_class(document.data))
    if overrides:
        document = override_document(document, overrides, choose_class(document.data))
    given = {key: value for key, value in options.items() if value is not None}
    if given:
        flags = {key: _FLAGS.get(key, f"--{key.replace('_', '-')}") for key in given}
        origins: dict[tuple[str | int, ...], str] = {(key,): flag for key, flag in flags.items()}
        document = document.replace_data({**document.data, **given}, origins)
    model_class = choose_class(document.data)
    if find_more is not None:
        _refuse_all(document, check_document(document, model_class), find_more(document))
    return parse_checked(document, model_class)


def _refuse_all(document: Document, faults: Sequence[Problem], more: Sequence[Problem]) -> None:
    """Tell what only the registry and the disk know together with the faults of the text; NotFound for the former."""
    if not more:
        return
    error = refuse_document(document.file, [*faults, *more])
    if all(problem.is_not_found for problem in error.problems):
        raise NotFound(error.message, problems=error.problems)
    raise error


def _refuse_other_family(document: Document, model_class: type[Entity]) -> None:
    kind = find_kind_of_class(model_class)
    if kind is None:
        return
    if is_conda_file(document.data):
        raise InvalidInput(
            f"{document.file} is a conda file, no {kind.family}; nothing was changed",
            hint=f"mlctl environment create -n NAME --image python:3.11-slim -c {document.file}",
        )
    other = find_other_family(document.data, kind.family)
    if other is not None:
        article = "an" if other[0] in "aeiou" else "a"
        raise InvalidInput(
            f"{document.file} describes {article} {other}, no {kind.family}; nothing was changed",
            hint=f"mlctl {other} create -f {document.file}",
        )


def parse_checked(document: Document, model_class: type[E]) -> E:
    """Parse a document and check it against its schema as well: a disagreement is a bug of ours, said as such."""
    entity = parse_document(document, model_class)
    kind = find_kind_of_class(model_class)
    if kind is not None:
        faults = check_against_schema(document.data, read_schema(kind.schema_file))
        if faults:
            path, message = faults[0]
            where = ".".join(str(step) for step in path)
            raise InvalidInput(
                f"{document.file or 'the document'}: {where}: {message}",
                hint=f"{kind.schema_file} is stricter than mlctl here: please report this",
            )
    return entity


def read_schema(name: str) -> dict[str, Any]:
    """Return a JSON Schema that comes with mlctl: from the wheel, or from the checkout it runs in."""
    shipped = resources.files("mlctl") / "schemas" / name
    if shipped.is_file():
        return json.loads(shipped.read_text())
    return json.loads((Path(__file__).parents[2] / "schemas" / name).read_text())


def load_endpoint(
    file: Path | None, *, overrides: Sequence[str] = (), options: Mapping[str, Any] = {}
) -> OnlineEndpoint:
    """Load an endpoint."""
    return load(file, endpoint_class, overrides=overrides, options=options)


def update_endpoint(base: Mapping[str, Any], operations: Sequence[Operation], *, forces_text: bool) -> dict[str, Any]:
    """Return an endpoint's document after Azure CLI's generic update, checked anew."""
    changed = apply_operations(base, operations, forces_text, endpoint_class(base))
    return parse_checked(make_document(changed), endpoint_class(changed)).to_document()


def load_deployment(
    file: Path, *, overrides: Sequence[str] = (), options: Mapping[str, Any] = {}, find_more: FindMore | None = None
) -> Loaded:
    """Load a deployment. find_more: see `load`."""
    entity = load(file, deployment_class, overrides=overrides, options=options, find_more=find_more)
    given = frozenset(entity.model_fields_set)
    return Loaded(entity.to_document(), file.absolute().parent, given, given, file)


def update_deployment(
    row: DeploymentRow,
    file: Path | None,
    operations: Sequence[Operation],
    *,
    forces_text: bool,
    notice: Callable[[str], None],
    find_more: FindMore | None = None,
) -> Loaded:
    """Return a deployment's next document: a whole file replaces it, a partial one is merged, then `--set` and co.

    find_more: see `load`; it is given what the file itself says.
    """
    document = read_document(file)
    _refuse_other_family(document, deployment_class(document.data))
    more = find_more(document) if find_more is not None else ()
    own = {"name": row.name, "endpoint_name": row.endpoint}
    is_whole = file is not None and is_complete(document.data, MANAGED_DEPLOYMENT)
    if is_whole:
        document = document.replace_data({**document.data, **own})
        from_file = frozenset(document.data)
    else:
        from_file = frozenset(document.data) - {"$schema"}
        document = document.replace_data({**merge_top_level(row.spec, document.data), **own})
    changed = apply_operations(document.data, operations, forces_text, deployment_class(document.data))
    document = document.replace_data(changed)
    if more:
        _refuse_all(document, check_document(document, deployment_class(changed)), more)
    spec = parse_checked(document, deployment_class(changed)).to_document()
    if file is not None and not is_whole:
        fields = ", ".join(sorted(from_file))
        notice(f"{file} is no whole deployment: its fields were merged into {row.name} ({fields})")
    differing = frozenset(key for key in {*spec, *row.spec} if spec.get(key) != row.spec.get(key))
    return Loaded(spec, file.absolute().parent if file else Path.cwd(), from_file, differing, file)


def apply_operations(
    base: Mapping[str, Any], operations: Sequence[Operation], forces_text: bool, model_class: type[Entity]
) -> dict[str, Any]:
    """Return a map after Azure CLI's generic update. operations: `set`, `add`, `remove` with their tokens, in order."""
    flat: list[tuple[str, ...]] = []
    for verb, tokens in operations:
        flat += [("set", token) for token in tokens] if verb == "set" else [(verb, *tokens)]
    return apply_generic_update(dict(base), flat, force_string=forces_text, model_class=model_class)


def load_batch_endpoint(
    file: Path | None, *, overrides: Sequence[str] = (), options: Mapping[str, Any] = {}
) -> BatchEndpoint:
    """Load a batch endpoint."""
    return load(file, batch_endpoint_class, overrides=overrides, options=options)


def update_batch_endpoint(
    base: Mapping[str, Any], operations: Sequence[Operation], *, forces_text: bool
) -> dict[str, Any]:
    """Return a batch endpoint's document after Azure CLI's generic update, checked anew."""
    changed = apply_operations(base, operations, forces_text, BatchEndpoint)
    return parse_checked(make_document(changed), BatchEndpoint).to_document()


def update_schedule(base: Mapping[str, Any], operations: Sequence[Operation], *, forces_text: bool) -> dict[str, Any]:
    """Return a schedule's document after Azure CLI's generic update, checked anew."""
    from mlctl.entities.schedule import Schedule

    changed = apply_operations(base, operations, forces_text, Schedule)
    return parse_checked(make_document(changed), Schedule).to_document()


def load_batch_deployment(
    file: Path, *, overrides: Sequence[str] = (), options: Mapping[str, Any] = {}, find_more: FindMore | None = None
) -> Loaded:
    """Load a batch deployment, in one form whatever the file's. find_more: see `load`."""
    entity = load(file, batch_deployment_class, overrides=overrides, options=options, find_more=find_more)
    given = frozenset(entity.model_fields_set)
    return Loaded(normalize(entity), file.absolute().parent, given, given, file)


def update_batch_deployment(
    row: BatchDeploymentRow,
    file: Path | None,
    operations: Sequence[Operation],
    *,
    forces_text: bool,
    notice: Callable[[str], None],
    find_more: FindMore | None = None,
) -> Loaded:
    """Return a batch deployment's next document: a whole file replaces it, a partial one is merged, then `--set`."""
    document = read_document(file)
    _refuse_other_family(document, batch_deployment_class(document.data))
    more = find_more(document) if find_more is not None else ()
    kind = find_kind_of_class(batch_deployment_class(document.data))
    is_whole = file is not None and kind is not None and is_complete(document.data, kind)
    from_file = frozenset(document.data) - {"$schema"}
    base = {} if is_whole else _choose_base(row, document)
    merged = {**merge_top_level(base, document.data), "name": row.name, "endpoint_name": row.endpoint}
    if base.get("settings") and isinstance(document.data.get("settings"), dict):
        merged["settings"] = {**base["settings"], **document.data["settings"]}
    document = document.replace_data(merged)
    if more:
        _refuse_all(document, check_document(document, batch_deployment_class(merged)), more)
    spec = normalize(parse_checked(document, batch_deployment_class(merged)))
    if operations:
        flat = [(verb, [_strip_settings(row, token) for token in tokens]) for verb, tokens in operations]
        changed = apply_operations(spec, flat, forces_text, batch_deployment_class(spec))
        spec = normalize(parse_checked(make_document(changed), batch_deployment_class(changed)))
    if file is not None and not is_whole:
        notice(
            f"{file} is no whole deployment: its fields were merged into {row.name} ({', '.join(sorted(from_file))})"
        )
    differing = frozenset(key for key in {*spec, *row.spec} if spec.get(key) != row.spec.get(key))
    return Loaded(spec, file.absolute().parent if file else Path.cwd(), from_file, differing, file)


def _choose_base(row: BatchDeploymentRow, document: Document) -> dict[str, Any]:
    """Return what a partial document is merged into, in the document's own form."""
    has_settings = batch_deployment_class(document.data) is ModelBatchDeployment
    return with_settings(row.spec) if has_settings and not row.is_pipeline else dict(row.spec)


def _strip_settings(row: BatchDeploymentRow, token: str) -> str:
    """Let `--set settings.mini_batch_size=5` mean what it does in a file: what is kept has no such block."""
    return token if row.is_pipeline else token.removeprefix("settings.")


def read_names(
    file: Path, choose_class: Callable[[Mapping[str, Any]], type[Entity]] = deployment_class
) -> dict[str, str]:
    """Return the name and endpoint_name that a file gives, as far as it does."""
    document = read_document(file)
    _refuse_other_family(document, choose_class(document.data))
    data = document.data
    return {key: data[key] for key in ("name", "endpoint_name") if isinstance(data.get(key), str)}


def name_deployment(
    file: Path | None,
    name: str | None,
    endpoint: str | None,
    *,
    noun: str,
    example: str,
    choose_class: Callable[[Mapping[str, Any]], type[Entity]] = deployment_class,
) -> tuple[str, str]:
    """Return the names of the endpoint and the deployment to be changed, from the options or else from the file.

    example: name, endpoint and change, as words of the command that is proposed where one of the names is missing.
    """
    if file is not None and (name is None or endpoint is None):
        found = read_names(file, choose_class)
        name, endpoint = name or found.get("name"), endpoint or found.get("endpoint_name")
    if name is not None and endpoint is not None:
        return endpoint, name
    usual_name, usual_endpoint, change = example.split(" ", 2)
    raise InvalidInput(
        f"which {noun}? {file} does not name it, give --name and --endpoint-name"
        if file
        else f"which {noun}? give --name and --endpoint-name, or --file",
        hint=f"mlctl {noun.replace(' ', '-')} update -n {name or usual_name} -e {endpoint or usual_endpoint} "
        + (f"-f {file}" if file else change),
    )
