"""Types of single values, for `Annotated[...]` in the models: what each accepts, and how it says no in plain words."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NoReturn, cast

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import PydanticCustomError, core_schema

from mlctl.entities.names import (
    ASSET_NAME_MAX_LENGTH,
    NAME_MAX_LENGTH,
    NAME_MIN_LENGTH,
    NAME_PATTERN,
    find_asset_name_fault,
    find_name_fault,
    normalize_name,
)
from mlctl.entities.references import Asset, parse_reference
from mlctl.errors import InvalidInput

_URL_PATH = r"/[^\s?#]*"
Scalar = str | int | float | bool | None


def refuse(message: str, hint: str = "", *, key: str = "") -> NoReturn:
    """Refuse a value, or a key's in it, from within a validator; `parsing` puts path and place before the message."""
    raise PydanticCustomError("refused", "{message}", {"message": message, "hint": hint, "key": key})


def show_value(value: object) -> str:
    """Render a value as a message quotes it: text in quotation marks, maps and lists by their kind."""
    if isinstance(value, str):
        return json.dumps(value if len(value) <= 60 else value[:60] + "…", ensure_ascii=False)
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "nothing"
    if isinstance(value, int | float):
        return str(value) if abs(value) < 10**40 else "a huge number"
    return "a map" if isinstance(value, Mapping) else "a list"


def list_words(words: tuple[str, ...]) -> str:
    """Join as people do: `key, aml_token or aad_token`."""
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


class Value:
    """A type of value: `check` returns it in its final form or refuses it, `json_schema` tells editors the same."""

    def check(self, value: Any) -> Any:
        """Return the value in its final form, or refuse it."""
        raise NotImplementedError

    def json_schema(self) -> dict[str, Any]:
        """Describe what `check` accepts."""
        raise NotImplementedError

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self.check)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return self.json_schema()


@dataclass(frozen=True)
class WholeNumber(Value):
    """A whole number within bounds, both included; text is not turned into numbers."""

    low: int
    high: int

    def check(self, value: Any) -> int:
        """Refuse what is not a whole number or out of bounds."""
        if type(value) is not int:
            refuse(f"{show_value(value)} is not a whole number ({self.low} to {self.high})")
        if value < self.low:
            refuse(f"{show_value(value)} is less than {self.low}")
        if value > self.high:
            refuse(f"{show_value(value)} is more than {self.high}")
        return value

    def json_schema(self) -> dict[str, Any]:
        """Describe the bounds."""
        return {"type": "integer", "minimum": self.low, "maximum": self.high}


@dataclass(frozen=True)
class Fraction(Value):
    """A number within bounds, both included."""

    low: float
    high: float

    def check(self, value: Any) -> float:
        """Refuse what is not a number or out of bounds."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            refuse(f"{show_value(value)} is not a number ({self.low:g} to {self.high:g})")
        if not self.low <= value <= self.high:
            refuse(f"{show_value(value)} is not between {self.low:g} and {self.high:g}")
        return float(value)

    def json_schema(self) -> dict[str, Any]:
        """Describe the bounds."""
        return {"type": "number", "minimum": self.low, "maximum": self.high}


@dataclass(frozen=True)
class Text(Value):
    """Text; numbers are not turned into text, as in Azure."""

    may_be_empty: bool = False

    def check(self, value: Any) -> str:
        """Refuse other types, and empty text where that makes no sense."""
        if value is None or (value == "" and not self.may_be_empty):
            refuse("is empty")
        if not isinstance(value, str):
            quoted = f'write it in quotation marks: "{show_value(value)}"'
            refuse(f"{show_value(value)} is not text", quoted if isinstance(value, int | float) else "")
        return value

    def json_schema(self) -> dict[str, Any]:
        """Describe the text."""
        return {"type": "string"} if self.may_be_empty else {"type": "string", "minLength": 1}


@dataclass(frozen=True)
class UrlPath(Value):
    """The path of a URL, from its first slash on."""

    def check(self, value: Any) -> str:
        """Refuse whole URLs, queries, and text that no path begins with."""
        text = Text().check(value)
        if re.fullmatch(_URL_PATH, text) is None:
            near = text.partition("://")[2].partition("/")[2] if "://" in text else text.partition("?")[0]
            near = "".join(near.split()).lstrip("/")
            refuse(f"{show_value(text)} is not the path of a URL", f"did you mean /{near}?")
        return text

    def json_schema(self) -> dict[str, Any]:
        """Describe the first sign and those that may not follow."""
        return {"type": "string", "pattern": f"^{_URL_PATH}$"}


@dataclass(frozen=True)
class Flag(Value):
    """true or false. as_text: Azure wants the text 'true' or 'false' here, both forms are taken."""

    as_text: bool = False

    def check(self, value: Any) -> bool:
        """Refuse everything else."""
        if isinstance(value, bool):
            return value
        if self.as_text and isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        refuse(f"{show_value(value)} is not true or false")

    def json_schema(self) -> dict[str, Any]:
        """Describe both forms."""
        if not self.as_text:
            return {"type": "boolean"}
        return {"anyOf": [{"type": "boolean"}, {"type": "string", "pattern": f"^({_fold('true')}|{_fold('false')})$"}]}


def _fold(word: str) -> str:
    """Make a pattern that ignores case, and underscores: `aml_token` is also `AMLToken` and `amlToken`."""
    return "".join("_?" if sign == "_" else f"[{sign.upper()}{sign}]" for sign in word)


@dataclass(frozen=True)
class Choice(Value):
    """One word of an enum, whatever its case. only: the members that are allowed here, all of them by default."""

    enum: type[StrEnum]
    only: tuple[StrEnum, ...] = ()

    @property
    def members(self) -> tuple[StrEnum, ...]:
        """The members that are allowed."""
        return self.only or tuple(self.enum)

    def check(self, value: Any) -> StrEnum:
        """Find the member that is meant."""
        words = tuple(self.members)
        if value is None:
            refuse(f"is empty ({list_words(words)})")
        member = match_word(value, words)
        if member is None:
            refuse(f"{show_value(value)} is not {list_words(words)}")
        return self.enum(member)

    def json_schema(self) -> dict[str, Any]:
        """List the words for completion, and allow for their other spellings."""
        words = [str(member) for member in self.members]
        pattern = f"^({'|'.join(_fold(word) for word in words)})$"
        return {"anyOf": [{"enum": words}, {"type": "string", "pattern": pattern}]}


def match_word(value: object, words: tuple[str, ...]) -> str | None:
    """Find the word that a user wrote in any case, with or without underscores."""
    if not isinstance(value, str):
        return None
    return next((word for word in words if re.fullmatch(_fold(word), value)), None)


@dataclass(frozen=True)
class Name(Value):
    """The name of an endpoint or deployment; in lower case from then on."""

    def check(self, value: Any) -> str:
        """Apply the rules of `names`."""
        text = Text().check(value)
        fault = find_name_fault(text)
        if fault is not None:
            refuse(fault)
        return normalize_name(text)

    def json_schema(self) -> dict[str, Any]:
        """Describe the same rules."""
        lengths = {"minLength": NAME_MIN_LENGTH, "maxLength": NAME_MAX_LENGTH}
        return {"type": "string", "pattern": NAME_PATTERN, **lengths}


@dataclass(frozen=True)
class AssetName(Value):
    """The name or version of a model or environment; a version may be written as a number."""

    is_version: bool = False

    def check(self, value: Any) -> str:
        """Apply the rules of `names`."""
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        text = Text().check(str(value) if self.is_version and is_number else value)
        fault = find_asset_name_fault(text, "version" if self.is_version else "name")
        if fault is not None:
            refuse(fault)
        return text

    def json_schema(self) -> dict[str, Any]:
        """Describe the types; the pattern is left to `check`."""
        types: Any = ["string", "number"] if self.is_version else "string"
        return {"type": types, "minLength": 1, "maxLength": ASSET_NAME_MAX_LENGTH}


@dataclass(frozen=True)
class ReferenceText(Value):
    """A reference to a registered model or environment; kept as it was written."""

    asset: Asset

    def check(self, value: Any) -> str:
        """Parse it, keep the text."""
        if not isinstance(value, str):
            refuse(f"{show_value(value)} is neither a reference (azureml:NAME:VERSION) nor a map")
        try:
            parse_reference(value, self.asset)
        except InvalidInput as error:
            refuse(error.message, error.hint)
        return value

    def json_schema(self) -> dict[str, Any]:
        """Describe the prefix; the rest is left to `check`."""
        return {"type": "string", "pattern": "^[aA][zZ][uU][rR][eE][mM][lL]:."}


@dataclass(frozen=True)
class ComputeReference(Value):
    """A reference to an attached cluster: `azureml:NAME`."""

    def check(self, value: Any) -> str:
        """Refuse plain names."""
        text = Text().check(value)
        if not text.removeprefix("azureml:") or not text.startswith("azureml:"):
            name = text.removeprefix("azureml:") or "NAME"
            refuse(f"{show_value(text)} is not a reference", f"did you mean azureml:{name}?")
        return text

    def json_schema(self) -> dict[str, Any]:
        """Describe the prefix."""
        return {"type": "string", "pattern": "^azureml:."}


@dataclass(frozen=True)
class ComputeName(Value):
    """The name of a compute, with or without `azureml:` before it, or its id; the name alone from then on."""

    def check(self, value: Any) -> str:
        """Apply the rules of `names`."""
        text = Text().check(value)
        name = re.sub(r"(?i)^azureml:", "", text)
        found = re.fullmatch(r"(?i)/subscriptions/.+/computes/([^/]+)", name)
        fault = find_asset_name_fault(found[1] if found else name)
        if fault is not None:
            refuse(f"{show_value(text)} names no compute: {fault}", "write azureml:NAME or local")
        return found[1] if found else name

    def json_schema(self) -> dict[str, Any]:
        """Describe the type; the rest is left to `check`."""
        return {"type": "string", "minLength": 1}


_NOT_IN_FILE_NAMES = '~"#%&*:<>?/\\{|}'


@dataclass(frozen=True)
class FileName(Value):
    """The name of a file that Azure can store; no path."""

    def check(self, value: Any) -> str:
        """Refuse the signs that Azure refuses, and what is too long."""
        text = Text().check(value)
        bad = sorted({sign for sign in text if sign in _NOT_IN_FILE_NAMES})
        if bad:
            hint = "name the file only: its folder is chosen with --output-path" if "/" in bad else ""
            refuse(f"{show_value(text)} holds {' '.join(bad)}, which no file name may", hint)
        if text in (".", "..") or len(text) > 255 or not text.isprintable():
            refuse(f"{show_value(text)} is no file name")
        return text

    def json_schema(self) -> dict[str, Any]:
        """Describe the same rules."""
        signs = "".join(f"\\{sign}" for sign in _NOT_IN_FILE_NAMES)
        return {"type": "string", "pattern": f"^[^{signs}]+$", "maxLength": 255}


@dataclass(frozen=True)
class AnyScalar(Value):
    """Text, a number, true, false or nothing: kept as written."""

    def check(self, value: Any) -> Scalar:
        """Refuse maps and lists."""
        if value is None or isinstance(value, str | int | float):
            return value
        refuse(f"{show_value(value)} stands where one value belongs")

    def json_schema(self) -> dict[str, Any]:
        """List the types."""
        return {"type": ["string", "number", "boolean", "null"]}


@dataclass(frozen=True)
class AnyMap(Value):
    """A map that is not looked into. or_text: the path of a file may stand in its place."""

    or_text: bool = False

    def check(self, value: Any) -> Any:
        """Refuse everything that is neither."""
        if isinstance(value, Mapping):
            return dict(cast("Mapping[str, Any]", value))
        if self.or_text and isinstance(value, str) and value:
            return value
        refuse(f"{show_value(value)} is not {'a path or ' if self.or_text else ''}a map")

    def json_schema(self) -> dict[str, Any]:
        """List the types."""
        return {"type": ["string", "object"], "minLength": 1} if self.or_text else {"type": "object"}
