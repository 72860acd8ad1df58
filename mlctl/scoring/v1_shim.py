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
_SCHEMA_UTIL = (
    "get_input_schema",
    "get_output_schema",
    "get_schemas_dict",
    "get_supported_versions",
    "is_schema_decorated",
)
_TYPES = "inference_schema.parameter_types"
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
    # named by the logging.json files of those who began with Azure's own
    "azureml_inference_server_http.log_config": StandIn("logging_file", ("AMLLogFormatter", "RootAccessFilter")),
    "azureml.contrib.services.aml_request": _REQUEST,
    "azureml.contrib.services.aml_response": _RESPONSE,
    # inference-schema
    "inference_schema.schema_decorators": StandIn("schema.decorators", ("input_schema", "output_schema")),
    "inference_schema.schema_util": StandIn("schema.declared", _SCHEMA_UTIL),
    f"{_TYPES}.abstract_parameter_type": StandIn("schema.parameter_type", ("AbstractParameterType",)),
    f"{_TYPES}.standard_py_parameter_type": StandIn("schema.standard_type", ("StandardPythonParameterType",)),
    f"{_TYPES}.numpy_parameter_type": StandIn("schema.numpy_type", ("NumpyParameterType",)),
    f"{_TYPES}.pandas_parameter_type": StandIn("schema.pandas_type", ("PandasParameterType",)),
    f"{_TYPES}.spark_parameter_type": StandIn("schema.spark_type", ("SparkParameterType",)),
    # what the workers of Azure's batch jobs have
    "azureml_user.parallel_run": StandIn("batch.entry_script", ("EntryScript",)),
}


def _list_packages(names: Sequence[str]) -> frozenset[str]:
    return frozenset(name[:at] for name in names for at, char in enumerate(name) if char == ".")


# Several packages install themselves below this one. Of any other, all is installed or nothing.
_SHARED = "azureml"
_PACKAGES = _list_packages([*STAND_INS])


class ShimFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the modules that nobody else has found."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return a stand-in for one of the modules."""
        if (fullname not in STAND_INS and fullname not in _PACKAGES) or _is_installed(fullname.partition(".")[0]):
            return None
        return importlib.machinery.ModuleSpec(fullname, self, origin="mlctl", is_package=fullname in _PACKAGES)

    def exec_module(self, module: ModuleType) -> None:
        """Fill a stand-in."""
        if found := STAND_INS.get(module.__name__):
            source = importlib.import_module(f"mlctl.scoring.{found.source}")
            vars(module).update({name: getattr(source, name) for name in found.names})


def _is_installed(root: str) -> bool:
    """Say whether a package is there that stand-ins must not mix with."""
    found = sys.modules.get(root)
    return root != _SHARED and found is not None and not isinstance(getattr(found, "__loader__", None), ShimFinder)


def install_shim() -> None:
    """Make the stand-ins importable, once."""
    if not any(isinstance(finder, ShimFinder) for finder in sys.meta_path):
        sys.meta_path.append(ShimFinder())
