"""Stand-ins for Azure's packages, of which scripts use a little: a table of modules and where their names come from.

The finder stands behind all others: an installed package is used as it is, and a script that imports none never gets
here.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import NamedTuple


class StandIn(NamedTuple):
    """What a module offers: these names of a module of mlctl.scoring, which is imported when a script asks."""

    source: str
    names: tuple[str, ...]


_MODEL = StandIn("v1_model", ("Model",))
_REQUEST = StandIn("raw_api", ("AMLRequest", "rawhttp"))
_RESPONSE = StandIn("raw_api", ("AMLResponse",))
_CONTEXTS = ("BasicCorrelationContext", "CorrelationContext", "get_context")

# The packages above these modules are stood in for as well, empty unless they are named here.
STAND_INS: Mapping[str, StandIn] = {
    # azureml-core
    "azureml.core": _MODEL,
    "azureml.core.model": _MODEL,
    # azureml-ai-monitoring
    "azureml.ai.monitoring": StandIn("collection.monitoring", ("Collector",)),
    "azureml.ai.monitoring.context": StandIn("collection.monitoring", _CONTEXTS),
    # azureml-inference-server-http, and the name that its interface had before
    "azureml_inference_server_http.api.aml_request": _REQUEST,
    "azureml_inference_server_http.api.aml_response": _RESPONSE,
    "azureml.contrib.services.aml_request": _REQUEST,
    "azureml.contrib.services.aml_response": _RESPONSE,
    # what the workers of Azure's batch jobs have
    "azureml_user.parallel_run": StandIn("batch.entry_script", ("EntryScript",)),
}


def _list_packages(names: Sequence[str]) -> frozenset[str]:
    return frozenset(name[:at] for name in names for at, char in enumerate(name) if char == ".")


_PACKAGES = _list_packages([*STAND_INS])


class ShimFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the modules that nobody else has found."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return a stand-in for one of the modules."""
        if fullname not in STAND_INS and fullname not in _PACKAGES:
            return None
        return importlib.machinery.ModuleSpec(fullname, self, origin="mlctl", is_package=fullname in _PACKAGES)

    def exec_module(self, module: ModuleType) -> None:
        """Fill a stand-in."""
        if found := STAND_INS.get(module.__name__):
            source = importlib.import_module(f"mlctl.scoring.{found.source}")
            vars(module).update({name: getattr(source, name) for name in found.names})


def install_shim() -> None:
    """Make the stand-ins importable, once."""
    if not any(isinstance(finder, ShimFinder) for finder in sys.meta_path):
        sys.meta_path.append(ShimFinder())
