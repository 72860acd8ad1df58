"""Data assets as documents describe them: files that stay where they are, under a name and a version."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from mlctl.entities.parts import Entity, ScalarMap
from mlctl.entities.values import AssetName, Choice, Text


class DataType(StrEnum):
    """How the files are to be understood."""

    URI_FOLDER = "uri_folder"
    """A folder."""
    URI_FILE = "uri_file"
    """One file."""
    MLTABLE = "mltable"
    """A folder whose MLTable file says how tables are read."""


class Data(Entity, frozen=True):
    """A registered data asset."""

    label = "data asset"
    read_only = Entity.read_only | {"latest_version", "referenced_uris"}
    name: Annotated[str, AssetName()] = Field(description="Name of the asset.", examples=["transactions-nov"])
    version: Annotated[str, AssetName(is_version=True)] | None = Field(
        default=None, description="Version; the next number if left out."
    )
    type: Annotated[DataType, Choice(DataType)] = Field(
        default=DataType.URI_FOLDER, description="How the files are to be understood."
    )
    path: Annotated[str, Text()] = Field(
        description="File or folder; it is referenced, not copied.", examples=["./transactions"]
    )
    description: Annotated[str, Text(may_be_empty=True)] | None = Field(default=None, description="What it is for.")
    tags: ScalarMap = Field(default={}, description="Your own labels: any names and values.")
    properties: ScalarMap = Field(default={}, description="Further values, kept and shown.")
    datastore: Annotated[str, Text()] | None = Field(default=None, description="Where Azure uploads the files.")
