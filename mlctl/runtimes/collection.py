"""What a deployment's data_collector asks of a replica, as the file that the replica reads."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlctl.entities.stored import read_map

_SOURCE = (
    "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/local/providers"
    "/Microsoft.MachineLearningServices/workspaces/local/onlineEndpoints/{endpoint}/deployments/{deployment}"
)


def list_enabled(spec: Mapping[str, Any]) -> list[str]:
    """Return the names of what a deployment collects."""
    collections = read_map(read_map(spec, "data_collector"), "collections")
    # Azure writes it as text.
    return [name.lower() for name in collections if str(read_map(collections, name).get("enabled")).lower() == "true"]


def plan_collection(spec: Mapping[str, Any], *, root: Path, replica: str) -> dict[str, Any] | None:
    """Return the content of the file; None where nothing is collected. root: of all deployments' data.

    The first two keys are those of Azure's /etc/mdc-config.json, which azureml-ai-monitoring reads.
    """
    enabled = list_enabled(spec)
    collector = read_map(spec, "data_collector")
    rate = collector.get("sampling_rate")
    if not enabled:
        return None
    endpoint, deployment = spec["endpoint_name"], spec["name"]
    return {
        "collections": {
            name: {"enabled": True, "sampleRatePercentage": 100.0 * (1.0 if rate is None else rate)} for name in enabled
        },
        "runMode": "cloud",
        "folder": str(root / endpoint / deployment),
        "source": _SOURCE.format(endpoint=endpoint, deployment=deployment),
        "instanceId": replica,
        "rollingRate": collector.get("rolling_rate") or "hour",
        "captureHeaders": read_map(collector, "request_logging").get("capture_headers") or [],
    }


def collection_file(failure_file: Path, replica: str) -> Path:
    """Return where a replica's file lies: beside what it reports."""
    return failure_file.with_name(f"{replica}.collection.json")


def write_collection(file: Path, content: Mapping[str, Any]) -> None:
    """Write the file for this user only; raises OSError."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as writer:
        json.dump(content, writer)


def remove_collection(file: Path) -> None:
    """Remove the file, and those of the replica's workers beside it."""
    for path in (file, *file.parent.glob(f"{file.name}.*")):
        path.unlink(missing_ok=True)
