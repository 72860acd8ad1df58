"""Small real replicas on Unix sockets, a real Envoy before them, and a client that shows everything it got."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import socketserver
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
import uvicorn
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from mlctl.gateway.publish import Gateway
from mlctl.planning.routes import Backend, Credential, EndpointRoutes
from tests.acceptance.conftest import free_port
from tests.waiting import wait_until

PRIMARY, SECONDARY = "primary-" + "k" * 24, "secondary-" + "s" * 24
KEYS = (Credential("primary", PRIMARY), Credential("secondary", SECONDARY))
SIGNING_KEY = ec.generate_private_key(ec.SECP256R1())
_PUBLIC_KEY: dict[str, Any] = ECAlgorithm(ECAlgorithm.SHA256).to_jwk(SIGNING_KEY.public_key(), as_dict=True)
PUBLIC_KEYS = {"keys": [{**_PUBLIC_KEY, "kid": "mlctl", "alg": "ES256", "use": "sig"}]}


@dataclass(frozen=True)
class Received:
    """A request as a replica saw it; header names are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    size_bytes: int


class Replica:
    """Records every request and answers with its name. `hold` keeps answers back until it is cleared."""

    def __init__(self, path: Path, name: str, *, status: int = 200) -> None:
        self.path, self.name, self.status = str(path), name, status
        self.received: list[Received] = []
        self.hold = threading.Event()

    def start(self) -> Replica:
        """Listen; over an older socket if there is one."""
        Path(self.path).unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(self.path)
        listener.listen(1024)
        config = uvicorn.Config(
            self._app, interface="asgi3", lifespan="off", ws="none", log_config=None, access_log=False,
            proxy_headers=False, timeout_keep_alive=75, timeout_graceful_shutdown=1,
        )  # fmt: skip
        self._server, self._listener = uvicorn.Server(config), listener
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listener]}, daemon=True)
        self._thread.start()
        wait_until(lambda: self._server.started, what=f"{self.name} to start")
        return self

    def stop(self) -> None:
        """End like a process that exits: the socket's file stays, nobody listens."""
        self.hold.clear()
        self._server.should_exit = True
        self._thread.join(10)
        self._listener.close()

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        size, is_more = 0, True
        while is_more:
            message = await receive()
            size += len(message.get("body", b""))
            is_more = message.get("more_body", False)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        query = f"?{scope['query_string'].decode()}" if scope["query_string"] else ""
        self.received.append(Received(scope["method"], scope["raw_path"].decode() + query, headers, size))
        while self.hold.is_set():
            await asyncio.sleep(0.005)
        await send({"type": "http.response.start", "status": self.status, "headers": [(b"x-replica", b"1")]})
        await send({"type": "http.response.body", "body": json.dumps({"from": self.name}).encode()})


class BreakingReplica:
    """Reads a request, sends `answer` and closes the connection; counts the requests."""

    def __init__(self, path: Path, answer: bytes = b"") -> None:
        self.path, self.requests = str(path), 0
        owner = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                while self.rfile.readline().strip():
                    pass
                owner.requests += 1
                self.wfile.write(answer)

        self._server = socketserver.ThreadingUnixStreamServer(self.path, Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@dataclass(frozen=True)
class Answer:
    """What a client got; `headers` in order, names in lower case, without the date."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def header(self, name: str) -> str | None:
        return next((value for found, value in self.headers if found == name), None)


def sign(audience: str, *, lifetime_s: int = 60, key: ec.EllipticCurvePrivateKey | None = None) -> str:
    """Sign a token as the registry does; `key`: as somebody else does."""
    now = int(time.time())
    claims = {"iss": "mlctl", "aud": audience, "iat": now, "exp": now + lifetime_s}
    return jwt.encode(claims, key or SIGNING_KEY, algorithm="ES256", headers={"kid": "mlctl"})


@dataclass
class Front:
    """Envoy as the daemon runs it: the gateway's files, command and log, in a folder of its own."""

    folder: Path
    port: int
    metrics_port: int = field(default_factory=free_port)
    gateway: Gateway = field(init=False)
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        (self.folder / "run").mkdir(exist_ok=True)
        self.gateway = self.new_gateway()

    @property
    def log_file(self) -> Path:
        return self.folder / "envoy.log"

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    def new_gateway(self) -> Gateway:
        """Return what a restarted daemon has: the same folders, no memory."""
        return Gateway(
            self.folder / "xds",
            self.folder / "run",
            "127.0.0.1",
            self.port,
            self.log_file,
            access_log=self.folder / "access.log",
            metrics_port=self.metrics_port,
            jwks=json.dumps(PUBLIC_KEYS),
        )

    def start(self) -> Front:
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(self.gateway.command(), stdout=log, stderr=log, umask=0o077)
        wait_until(self.gateway.is_ready, what="Envoy to be ready")
        return self

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def socket(self, name: str) -> Path:
        return self.folder / f"{name}.sock"

    def send(self, path: str = "/endpoints/fraud/score", *, key: str | None = PRIMARY, **options: Any) -> Answer:
        """POST `{}` with a valid key; options: method, body, headers, and host instead of 127.0.0.1."""
        headers = {"Authorization": f"Bearer {key}"} if key is not None else {}
        headers |= {"Host": options["host"]} if "host" in options else {}
        headers |= options.get("headers", {})
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(options.get("method", "POST"), path, options.get("body", b"{}"), headers)
            found = connection.getresponse()
            kept = [(name.lower(), value) for name, value in found.getheaders() if name.lower() != "date"]
            return Answer(found.status, kept, found.read())
        finally:
            connection.close()

    def send_raw(self, request: bytes) -> str:
        """Send bytes and return the answer up to where the connection closes, or what came in one piece."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(request)
            return connection.recv(1 << 16).decode()


def make_backend(deployment: str, sockets: Sequence[str], *, timeout_ms: int = 10_000, cap: int = 1000) -> Backend:
    return Backend(deployment, tuple(sockets), timeout_ms, cap)


def make_routes(*backends: Backend, endpoint: str = "fraud", **changes: Any) -> dict[str, EndpointRoutes]:
    """Make one endpoint's routes: the first deployment gets everything unless `traffic` says otherwise."""
    wanted: dict[str, Any] = {
        "credentials": KEYS,
        "traffic": ((backends[0].deployment, 100),) if backends else (),
        **changes,
    }
    return {endpoint: EndpointRoutes(endpoint, backends=backends, **wanted)}
