"""AZUREML_DEBUG_PORT: a debugger that waits for the server to connect to it."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

NO_DEBUGGER = 255  # Azure's server exits with -1

Say = Callable[[str], None]


def has_debugger(say: Say) -> bool:
    """Say whether debugpy is installed."""
    say("!! Starting the inference server in DEBUGGING mode because AZUREML_DEBUG_PORT is set.")
    say("!! This environment variable should not be set in a production environment.")
    if importlib.util.find_spec("debugpy") is not None:
        return True
    say("** Cannot connect to a debugger because debugpy is not installed.")
    say("** pip install debugpy")
    return False


def connect_debugger(port: int, say: Say) -> None:
    """Connect to the debugger and wait for it; called in the process that runs the script."""
    say(f"** Connecting to debugger at port {port}...")
    debugpy: Any = importlib.import_module("debugpy")
    debugpy.connect(port)
    debugpy.wait_for_client()
