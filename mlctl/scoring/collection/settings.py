"""What a replica collects: read from the file that the runtime wrote, also read by azureml-ai-monitoring.

{"collections": {"request": {"enabled": true, "sampleRatePercentage": 100}}, "runMode": "cloud",
 "folder": "…/modelDataCollector/fraud-endpoint/blue", "source": "/subscriptions/…", "instanceId": "blue-1f",
 "rollingRate": "hour", "captureHeaders": ["x-tenant"]}
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

PAYLOADS = ("request", "response")
# Whoever may read the collected data must not be able to call the endpoint with it.
NEVER_CAPTURED = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key", "api-key"})


class CollectionSettings(NamedTuple):
    """rates: the share that is kept, 0 to 1, for each collection that is on, by its lower-case name.

    folder: of the deployment. source: its resource id. instance: names the files. rolling: minute, hour or day.
    captured: names of headers in lower case. refused: those asked for that hold credentials.
    """

    folder: str
    source: str
    instance: str
    rolling: str
    rates: Mapping[str, float]
    captured: tuple[str, ...]
    refused: tuple[str, ...]

    @property
    def has_own(self) -> bool:
        """Whether a script may collect anything."""
        return any(name not in PAYLOADS for name in self.rates)


def read_settings(file: Path) -> CollectionSettings:
    """Read the file; raises OSError, ValueError or KeyError for what the runtime did not write."""
    found = json.loads(file.read_text("utf-8"))
    names = tuple(dict.fromkeys(name.lower() for name in found.get("captureHeaders") or ()))
    return CollectionSettings(
        folder=found["folder"],
        source=found["source"],
        instance=found["instanceId"],
        rolling=found.get("rollingRate") or "hour",
        rates={
            name.lower(): float(one.get("sampleRatePercentage", 100)) / 100
            for name, one in found["collections"].items()
            if one.get("enabled")
        },
        captured=tuple(name for name in names if name not in NEVER_CAPTURED),
        refused=tuple(name for name in names if name in NEVER_CAPTURED),
    )


def copy_for_worker(file: Path, number: int) -> Path:
    """Write what one of several workers reads, beside the replica's file: its instance has a name of its own.

    Raises as `read_settings`.
    """
    found = json.loads(file.read_text("utf-8"))
    own = file.with_name(f"{file.name}.{number}")
    descriptor = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as writer:
        json.dump({**found, "instanceId": f"{found['instanceId']}-{number}"}, writer)
    return own
