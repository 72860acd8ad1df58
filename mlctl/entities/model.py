"""Models as documents describe them: files under a name and a version."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from mlctl.entities.parts import Entity, ScalarMap
from mlctl.entities.values import AnyMap, AssetName, Choice, Text


class ModelType(StrEnum):
    """How the files of a model are to be understood."""

    CUSTOM_MODEL = "custom_model"
    """Any file or folder; the scoring script knows how to load it."""
    MLFLOW_MODEL = "mlflow_model"
    """A folder with an MLmodel file."""
    TRITON_MODEL = "triton_model"
    """A model repository of Triton."""


class InlineModel(Entity, frozen=True):
    """A model described where it is used; without a name it belongs to that deployment alone."""

    read_only = Entity.read_only | {
        "allowed_deployment_templates",
        "default_deployment_template",
        "intellectual_property",
        "job_name",
        "latest_version",
        "system_metadata",
    }
    label = "model"
    name: Annotated[str, AssetName()] | None = Field(default=None, description="Name to register it under.")
    version: Annotated[str, AssetName(is_version=True)] | None = Field(
        default=None, description="Version; the next number if left out."
    )
    description: Annotated[str, Text(may_be_empty=True)] | None = Field(default=None, description="What it is for.")
    tags: ScalarMap = Field(default={}, description="Your own labels: any names and values.")
    properties: ScalarMap = Field(default={}, description="Further values, kept and shown.")
    type: Annotated[ModelType, Choice(ModelType)] = Field(
        default=ModelType.CUSTOM_MODEL, description="How the files are to be understood."
    )
    path: Annotated[str, Text()] = Field(description="File or folder of the model.", examples=["./model/model.pkl"])
    stage: Annotated[str, Text()] | None = Field(default=None, description="Stage in its life, in your own words.")
    flavors: Annotated[Mapping[str, Any], AnyMap()] | None = Field(
        default=None, description="Flavours of an MLflow model."
    )
    datastore: Annotated[str, Text()] | None = Field(default=None, description="Where Azure uploads the files.")


class Model(InlineModel, frozen=True):
    """A registered model."""

    name: Annotated[str, AssetName()] = Field(description="Name of the model.", examples=["fraud-model"])
