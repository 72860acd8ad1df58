"""mlctl's stand-ins for azureml-core and azureml-ai-monitoring, and these packages: the same program with each.

Contract 5.4 and 6.3. What docs/scoring.md lists as different is asserted to be so, on both sides.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mlctl.scoring.collection.intake import read_delivery
from tests.acceptance.scoring.beside_azure import install
from tests.acceptance.scoring.replicas import DEADLINE_S, wait_until

# The first test of a process makes the packages' venvs.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
CORE, MONITORING = "azureml-core==1.60.0.post1", "azureml-ai-monitoring==1.0.0"
OWN = Path(sys.executable)
STAND_IN = "from mlctl.scoring.v1_shim import install_shim\ninstall_shim()\n"


def run(
    python: Path,
    program: str,
    folder: Path,
    *words: str,
    environment: Mapping[str, str] | None = None,
    until: Callable[[], object] = lambda: True,
) -> list[Any]:
    """Run a program that writes a line of JSON for each thing that it found out.

    until: when its standard input ends, for programs that wait for that.
    """
    process = subprocess.Popen(
        [str(python), "-W", "ignore", "-c", program, *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), **(environment or {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until(lambda: process.poll() is not None or until(), "what the program is run for")
        out, err = process.communicate(timeout=DEADLINE_S)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, err
    return [json.loads(line) for line in out.splitlines() if line.startswith(("[", "{"))]


# Model.get_model_path

ASK_FOR_PATHS = """
import json, os, sys
from azureml.core.model import Model
for words in json.loads(sys.argv[1]):
    try:
        found = ["path", os.path.realpath(Model.get_model_path(*words))]
    except Exception as error:
        found = ["error", type(error).__name__]
    print(json.dumps(found))
"""
FILES = (
    *("one/1/m.pkl", "many/1/a", "many/2/b", "many/10/c", "two/1/a", "two/1/b", "none/1/", "bare/", "fold/3/sub/x"),
    "word/latest/w",
)


@pytest.fixture(name="models")
def _models(tmp_path: Path) -> Path:
    for name in FILES:
        path = tmp_path / "azureml-models" / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            path.touch()
    (tmp_path / "local").touch()
    return tmp_path


def find_paths(models: Path, asked: list[list[Any]]) -> tuple[list[Any], list[Any]]:
    """Return what azureml-core finds and what mlctl does."""
    core, words = install(CORE, "azureml-core-tests", same=()), json.dumps(asked)
    return run(core, ASK_FOR_PATHS, models, words), run(OWN, STAND_IN + ASK_FOR_PATHS, models, words)


def test_paths_of_models(models: Path) -> None:
    asked = [["one"], ["one", 1], ["one", None], ["many"], ["many", 2], ["many", 10], ["fold"], ["fold", 3]]
    asked += [["local"], ["local", 1], ["./local"], ["azureml-models"]]
    core, own = find_paths(models, asked)
    assert own == core
    assert {kind for kind, _ in own} == {"path"}


def test_models_that_are_not_there_and_versions_that_are_none(models: Path) -> None:
    asked = [["missing"], ["missing", 1], ["one", 2], ["one", "1"], ["one", True], ["one", 1.0], ["two"], ["none"]]
    core, own = find_paths(models, [*asked, ["bare"], ["one/1"], [""]])
    assert {kind for kind, _ in core} == {kind for kind, _ in own} == {"error"}
    assert (core[0], own[0]) == (["error", "ModelNotFoundException"],) * 2
    assert (core[2], own[2]) == (["error", "WebserviceException"], ["error", "ModelNotFoundException"])
    assert (core[3], own[3]) == (["error", "WebserviceException"], ["error", "TypeError"])


def test_versions_need_not_be_numbers_here(models: Path) -> None:
    core, own = find_paths(models, [["word"]])
    assert core == [["error", "ValueError"]]
    assert own == [["path", str((models / "azureml-models/word/latest/w").resolve())]]


# Collector

TO_FAKE = """
import os
from pathlib import Path
from mlctl.scoring.collection import monitoring
from mlctl.scoring.collection.settings import read_settings
class Fake:
    settings = read_settings(Path(os.environ["AZUREML_MDC_CONFIG_PATH"]))
    def draws(self, name): return True
    def collect(self, data):
        print(json.dumps({**data._asdict(), "headers": dict(data.headers)}), flush=True)
        return True
import json
monitoring.use(Fake())
"""
COLLECT = """
import json, sys
import pandas as pd
from azureml.ai.monitoring import Collector
from azureml.ai.monitoring.context import BasicCorrelationContext

def attempt(label, call):
    try:
        found = call()
    except Exception as error:
        found = [type(error).__name__, str(error).partition(" (")[0]]
    print(json.dumps([label, found]), flush=True)

def tell(name):
    told = []
    collector = Collector(name=name, on_error=lambda error: told.append(type(error).__name__))
    context = collector.collect(pd.DataFrame({"a": [1]}), BasicCorrelationContext(id="dropped", timestamp=1))
    return [told, context.get_id()]

for name in ("model_inputs", "MODEL_INPUTS", "Mixed", "mixed", "off", "request", "nowhere", "", None):
    attempt(["new", name], lambda: Collector(name=name) and "made")
    if name not in ("model_inputs", "mixed", "request"):
        attempt(["on_error", name], lambda: tell(name))
attempt("name is a word", lambda: Collector("model_inputs") and "made")
collector = Collector(name="model_inputs")
for data in ([1], {"a": 1}, None, pd.Series([1])):
    attempt(["data", type(data).__name__], lambda: collector.collect(data) and "taken")
context = BasicCorrelationContext(id="mine", timestamp=1700000000, headers={"X-A": "1"})
frame = pd.DataFrame({"a": [1, 2], "b": ["x", None], "c": [1.5, float("nan")], "d": [True, False]})
attempt("context", lambda: collector.collect(frame, context) is context)
attempt("second", lambda: Collector(name="mixed").collect(frame[:1], context).get_id())
attempt("made up", lambda: [len(BasicCorrelationContext().get_id()), BasicCorrelationContext().get_headers()])
sys.stdin.read()  # the package delivers in a thread, which it does not wait for
"""
CONFIG = {
    "collections": {
        "model_inputs": {"enabled": True, "sampleRatePercentage": 100},
        "Mixed": {"enabled": True},
        "off": {"enabled": False},
        "request": {"enabled": True},
    },
    "runMode": "cloud",
    **{"folder": "/nowhere", "source": "/s", "instanceId": "i"},
}


@contextmanager
def take_deliveries() -> Generator[tuple[int, list[Any]]]:
    """Stand where the package delivers; what comes is read as mlctl reads it."""
    taken: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            data = read_delivery(self.headers.items(), body, frozenset({"model_inputs", "mixed", "request"}))
            taken.append(data and {**data._asdict(), "headers": dict(data.headers)})
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1], taken
        server.shutdown()


def test_a_collector_checks_and_delivers_alike(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    python = install(MONITORING, "azureml-ai-monitoring-tests", same=("pandas",))
    config = {"AZUREML_MDC_CONFIG_PATH": str(tmp_path / "config.json")}
    with take_deliveries() as (port, taken):
        delivering = {**config, "AZUREML_MDC_PORT": str(port)}
        package = run(python, COLLECT, tmp_path, environment=delivering, until=lambda: len(taken) == 2)
    lines = run(OWN, STAND_IN + TO_FAKE + COLLECT, tmp_path, environment=config)
    own: list[Any] = [line for line in lines if isinstance(line, list)]
    collected: list[Any] = [line for line in lines if isinstance(line, dict)]
    assert own == package
    assert [_read(one) for one in collected] == [_read(one) for one in taken]
    assert [one["collection"] for one in collected] == ["model_inputs", "mixed"]


def _read(data: Any) -> Any:
    headers = {name.lower(): value for name, value in data["headers"].items()}  # the package sends them over HTTP
    return {**data, "headers": headers, "text": json.loads(data["text"])}


def test_nothing_is_configured(tmp_path: Path) -> None:
    program = (
        COLLECT[: COLLECT.index("for name in")] + 'attempt("new", lambda: Collector(name="model_inputs") and "made")'
    )
    python = install(MONITORING, "azureml-ai-monitoring-tests", same=("pandas",))
    package, own = run(python, program, tmp_path), run(OWN, STAND_IN + program, tmp_path)
    assert own == package == [["new", ["Exception", "custom logging is not enabled, drop the data"]]]
