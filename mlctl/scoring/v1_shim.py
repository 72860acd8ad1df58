"""`azureml.core.model.Model` for scripts that only ask it where their model lies, and `azureml.ai.monitoring`.

The finder stands behind all others: an installed azureml package is used as it is, and a script that imports none
never gets here.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType

_STOOD_IN_FOR = ("azureml", "azureml.core", "azureml.core.model")
# azureml-ai-monitoring: what each module offers. None of them holds anything else.
_MONITORING = {
    "azureml.ai": (),
    "azureml.ai.monitoring": ("Collector",),
    "azureml.ai.monitoring.context": ("BasicCorrelationContext", "CorrelationContext", "get_context"),
}


class ShimFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the modules that nobody else has found."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return a stand-in for one of the modules."""
        if fullname not in _STOOD_IN_FOR and fullname not in _MONITORING:
            return None
        is_package = fullname not in ("azureml.core.model", "azureml.ai.monitoring.context")
        return importlib.machinery.ModuleSpec(fullname, self, origin="mlctl", is_package=is_package)

    def exec_module(self, module: ModuleType) -> None:
        """Fill a stand-in."""
        if names := _MONITORING.get(module.__name__):
            from mlctl.scoring.collection import monitoring

            vars(module).update({name: getattr(monitoring, name) for name in names})
        elif module.__name__ in ("azureml.core", "azureml.core.model"):
            from mlctl.scoring.v1_model import Model

            vars(module)["Model"] = Model


def install_shim() -> None:
    """Make the stand-ins importable, once."""
    if not any(isinstance(finder, ShimFinder) for finder in sys.meta_path):
        sys.meta_path.append(ShimFinder())
