"""What all models share: frozen, no unknown fields, read-only ones dropped, rendered as az shapes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self, cast

from pydantic import BaseModel, ConfigDict, Discriminator, GetJsonSchemaHandler, Tag, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from mlctl.entities.values import AnyScalar, Scalar

# Tags of unions; they stand in pydantic's places of errors, where a field's name cannot be mistaken for them.
TEXT_TAG = "\x00text"
MAP_TAG = "\x00map"

ScalarMap = Mapping[str, Annotated[Scalar, AnyScalar()]]


def choose_text_or_map(value: object) -> str:
    """Choose the half of a union of text and a model."""
    return MAP_TAG if isinstance(value, Mapping | BaseModel) else TEXT_TAG


TextOrMap = Discriminator(choose_text_or_map)
TextTag = Tag(TEXT_TAG)
MapTag = Tag(MAP_TAG)


class Part(BaseModel, frozen=True):
    """A map in a document.

    read_only: fields that az prints and ignores on input. misplaced: hints for fields that people write here.
    """

    model_config = ConfigDict(extra="forbid", validate_by_name=False, validate_by_alias=True)
    read_only: ClassVar[frozenset[str]] = frozenset()
    misplaced: ClassVar[Mapping[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _drop_read_only(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        fields = cast("Mapping[str, Any]", value)
        return {name: part for name, part in fields.items() if name not in cls.read_only}

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler.resolve_ref_schema(handler(core_schema))
        for name in sorted(cls.read_only):
            schema["properties"][name] = {"description": "Printed by mlctl, ignored in files.", "readOnly": True}
        return schema

    @classmethod
    def list_fields(cls) -> dict[str, Any]:
        """Map the names of the fields, as documents spell them, to their types."""
        return {field.alias or name: field.annotation for name, field in cls.model_fields.items()}

    @classmethod
    def list_required(cls) -> tuple[str, ...]:
        """List the fields that have no default."""
        return tuple(field.alias or name for name, field in cls.model_fields.items() if field.is_required())


class Entity(Part, frozen=True):
    """A whole document: an endpoint, a deployment, a model or an environment."""

    read_only = frozenset({"$schema", "id", "resourceGroup", "creation_context", "provisioning_state"})
    label: ClassVar[str] = ""

    def to_document(self) -> dict[str, Any]:
        """Render as az does: snake_case, defaults filled in, nothing left out but what is not set."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    @classmethod
    def from_document(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_document` rendered; for documents of users there is `parsing.parse_document`."""
        return cls.model_validate(data)
