"""What of a job can still be changed after it was started: `job update`. Source: az's surface 1.8."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mlctl.entities.parts import Entity, ScalarMap
from mlctl.entities.values import Text


class JobLabels(Entity, frozen=True):
    """What people say about a job."""

    label = "job"
    display_name: Annotated[str, Text()] | None = Field(default=None, description="Name for people.")
    description: Annotated[str, Text(may_be_empty=True)] | None = Field(default=None, description="What it is for.")
    tags: ScalarMap = Field(default={}, description="Your own labels: any names and values.")
    properties: ScalarMap = Field(default={}, description="Further values, kept and shown.")
