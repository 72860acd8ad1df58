"""Environments as documents describe them: what is installed where a model runs."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import Field, ValidationInfo, field_validator

from mlctl.entities.parts import Entity, Part, ScalarMap
from mlctl.entities.values import AnyMap, AssetName, Choice, Text, UrlPath, WholeNumber, refuse

_CONDA_HINT = "packages belong in a conda file: conda_file: conda.yml (or its content as a map)"


class OsType(StrEnum):
    """The operating system of the image."""

    LINUX = "linux"
    """Linux."""
    WINDOWS = "windows"
    """Windows; accepted, not run locally."""


class Build(Part, frozen=True):
    """A folder that is built into an image."""

    path: Annotated[str, Text()] = Field(description="Folder of the build: local, or the URL of a git repository.")
    dockerfile_path: Annotated[str, Text()] = Field(default="Dockerfile", description="The Dockerfile in that folder.")


class Route(Part, frozen=True):
    """A path that the container serves, and the port."""

    path: Annotated[str, UrlPath()] = Field(description="Path of the URL.", examples=["/score"])
    port: Annotated[int, WholeNumber(1, 65535)] = Field(description="Port in the container.", examples=[5001])


class InferenceConfig(Part, frozen=True):
    """Where a container of one's own answers."""

    liveness_route: Route = Field(description="Answers 200 as long as the process works.")
    readiness_route: Route = Field(description="Answers 200 when requests can be taken.")
    scoring_route: Route = Field(description="Where requests go.")


class InlineEnvironment(Entity, frozen=True):
    """An environment described where it is used; without a name it belongs to that deployment alone."""

    label = "environment"
    misplaced: ClassVar[Mapping[str, str]] = {"dependencies": _CONDA_HINT, "channels": _CONDA_HINT}
    name: Annotated[str, AssetName()] | None = Field(default=None, description="Name to register it under.")
    version: Annotated[str, AssetName(is_version=True)] | None = Field(
        default=None, description="Version; the next number if left out."
    )
    description: Annotated[str, Text(may_be_empty=True)] | None = Field(default=None, description="What it is for.")
    tags: ScalarMap = Field(default={}, description="Your own labels: any names and values.")
    properties: ScalarMap = Field(default={}, description="Further values, kept and shown.")
    image: Annotated[str, Text()] | None = Field(default=None, description="Base image; this or build.")
    build: Build | None = Field(
        default=None, description="What to build the image from; this or image.", validate_default=True
    )
    conda_file: Annotated[str | Mapping[str, Any], AnyMap(or_text=True)] | None = Field(
        default=None, description="Conda file to install over the image: its path, or its content as a map."
    )
    inference_config: InferenceConfig | None = Field(
        default=None, description="Where a container of one's own answers."
    )
    os_type: Annotated[OsType, Choice(OsType)] = Field(
        default=OsType.LINUX, description="Operating system of the image."
    )
    datastore: Annotated[str, Text()] | None = Field(default=None, description="Where Azure uploads the build folder.")

    @field_validator("build")
    @classmethod
    def _check_build(cls, value: Build | None, info: ValidationInfo) -> Build | None:
        if "image" not in info.data:
            return value
        if value is not None and info.data["image"] is not None:
            refuse("stands beside image, only one of them is allowed")
        if value is None and info.data["image"] is None:
            refuse("is missing, and so is image: one of them is needed", "for example image: python:3.11-slim")
        return value

    @field_validator("conda_file")
    @classmethod
    def _check_conda_file(cls, value: Any, info: ValidationInfo) -> Any:
        if value is not None and info.data.get("build") is not None:
            refuse("stands beside build, it goes with image only", "install the packages in the Dockerfile")
        return value


class Environment(InlineEnvironment, frozen=True):
    """A registered environment: an image, a conda file over an image, or a folder to build."""

    name: Annotated[str, AssetName()] = Field(description="Name of the environment.", examples=["fraud-infer"])
