"""Azure's datastores, which scripts name in their paths: folders below the registry's home."""

from __future__ import annotations

import re
from pathlib import Path

from mlctl.settings import Settings

_DATASTORE = re.compile(r"(?:azureml:)?azureml://(?:.*/)?datastores/(?P<store>[A-Za-z0-9_]+)/paths/(?P<path>.+)")


def find_datastore(settings: Settings, uri: str) -> Path | None:
    """Return the folder for `azureml://datastores/NAME/paths/DIR`: HOME/datastores/NAME/DIR; None for other texts."""
    found = _DATASTORE.fullmatch(uri)
    if found is None or ".." in Path(found["path"]).parts:
        return None
    return settings.home / "datastores" / found["store"] / found["path"].strip("/")
