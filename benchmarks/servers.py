"""Servers that serve one script each on the loopback address: mlctl's alone, and peers with the shortest adapters.

Everyone gets the same script, model and body, one worker, and the same variables of the environment.
"""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.http_client import render_request
from benchmarks.local_mlctl import find_free_port
from benchmarks.peers import end_at_last, ensure_venv, make_environ, run_azmlinfsrv, wait_until_ready
from benchmarks.subjects import Work
from mlctl.runtimes.processes import ProcessId, spawn

MLSERVER, LITSERVE, BENTOML = "mlserver==1.7.1", "litserve==0.2.19", "bentoml==1.4.40"
_BACKLOG = 2048
_MLSERVER = """
from fastapi import Request, Response
from mlserver import MLModel
from mlserver.handlers import custom_handler

import score


class Served(MLModel):
    async def load(self):
        score.init()
        return True

    @custom_handler(rest_path="/score")
    async def score(self, request: Request) -> Response:
        return Response(score.run((await request.body()).decode()), media_type="application/json")
"""
_LITSERVE = """
import json
import sys

import litserve

import score


class Served(litserve.LitAPI):
    def setup(self, device):
        score.init()

    def predict(self, request):
        return json.loads(score.run(json.dumps(request)))


if __name__ == "__main__":
    server = litserve.LitServer(Served(api_path="/score"), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), num_api_servers=1, generate_client_file=False)
"""
_BENTOML = """
import json

import bentoml

import score


@bentoml.service(workers=1)
class Served:
    def __init__(self):
        score.init()

    @bentoml.api(route="/score")
    def predict(self, data: list) -> dict:
        return json.loads(score.run(json.dumps({"data": data})))
"""


@dataclass(frozen=True)
class Server:
    """A server that runs. process: leads its session."""

    name: str
    process: ProcessId
    port: int


@contextmanager
def serve_mlctl(work: Work, folder: Path, *options: str, name: str = "mlctl") -> Generator[Server]:
    """Serve with mlctl's scoring server alone, which never answers 429 here."""
    words = ["--endpoint", "bench", "--deployment", "blue", "--replica", "blue-1", "--max-concurrent", "256", *options]
    environ = {"AML_APP_ROOT": str(work.script.parent), "AZUREML_ENTRY_SCRIPT": work.script.name}
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(_BACKLOG)
        port, fd = listener.getsockname()[1], listener.fileno()
        argv = [sys.executable, "-P", "-m", "mlctl.scoring", "--fd", str(fd), *words]
        process = spawn(
            argv,
            env={**make_environ(work.model_dir), **environ},
            cwd=folder,
            log_file=folder / f"{name}.log",
            pass_fds=(fd,),
        )
    with _ready(Server(name, process, port), work, folder) as server:
        yield server


@contextmanager
def serve_bare(work: Work, folder: Path) -> Generator[Server]:
    """Serve with next to no server."""
    port = find_free_port()
    process = spawn(
        [sys.executable, "-m", "benchmarks.bare_server", str(work.script), str(port)],
        env={**make_environ(work.model_dir), "PYTHONPATH": str(Path(__file__).parents[1])},
        cwd=folder,
        log_file=folder / "bare server.log",
    )
    with _ready(Server("bare server", process, port), work, folder) as server:
        yield server


@contextmanager
def serve_azmlinfsrv(work: Work, folder: Path) -> Generator[Server]:
    """Serve with the server of Azure's inference images."""
    with run_azmlinfsrv(work.script, work.model_dir, folder) as server:
        yield Server("azmlinfsrv", server.process, server.port)


@contextmanager
def serve_mlserver(work: Work, folder: Path) -> Generator[Server]:
    """Serve with MLServer, in its own process (`parallel_workers: 0`), with its handler of HTTP requests."""
    port = find_free_port()
    model = {"name": "served", "implementation": "adapter.Served"}
    settings = {"host": "127.0.0.1", "http_port": port, "grpc_port": find_free_port(), "parallel_workers": 0}
    files = {
        "adapter.py": _MLSERVER,
        "model-settings.json": json.dumps(model),
        "settings.json": json.dumps({**settings, "metrics_port": find_free_port(), "debug": False}),
    }
    with _serve(("MLServer", port), work, folder, files, [_tool(MLSERVER, "mlserver"), "start", "."]) as server:
        yield server


@contextmanager
def serve_litserve(work: Work, folder: Path) -> Generator[Server]:
    """Serve with LitServe."""
    port = find_free_port()
    words = [str(ensure_venv(LITSERVE)), "adapter.py", str(port)]
    with _serve(("LitServe", port), work, folder, {"adapter.py": _LITSERVE}, words) as server:
        yield server


@contextmanager
def serve_bentoml(work: Work, folder: Path) -> Generator[Server]:
    """Serve with BentoML."""
    port = find_free_port()
    words = [_tool(BENTOML, "bentoml"), "serve", "adapter:Served", "--host", "127.0.0.1", "--port", str(port)]
    with _serve(("BentoML", port), work, folder, {"adapter.py": _BENTOML}, words) as server:
        yield server


def _tool(requirement: str, name: str) -> str:
    return str(ensure_venv(requirement).with_name(name))


@contextmanager
def _serve(
    server: tuple[str, int], work: Work, folder: Path, files: Mapping[str, str], words: Sequence[str]
) -> Generator[Server]:
    name, port = server
    own = folder / name
    own.mkdir()
    for file, text in {**files, "score.py": work.script.read_text()}.items():
        (own / file).write_text(text)
    environ = {**make_environ(work.model_dir), "BENTOML_DO_NOT_TRACK": "True", "PYTHONPATH": str(own)}
    process = spawn(words, env=environ, cwd=own, log_file=folder / f"{name}.log")
    with _ready(Server(name, process, port), work, folder) as ready:
        yield ready


@contextmanager
def _ready(server: Server, work: Work, folder: Path) -> Generator[Server]:
    with end_at_last(server.process):
        request = render_request("/score", work.body)
        wait_until_ready(server.name, server.process, server.port, folder / f"{server.name}.log", request)
        yield server
