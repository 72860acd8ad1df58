"""The least a server in Python can be: run() where the bytes arrive, on one thread. Run as a program, by `servers`.

It knows nothing of HTTP but where a body begins, has no limits, ids or log, and answers no probe while run() is busy:
no server that one would use. It shows what sockets and a loaded machine alone take from the bare loop.
"""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from pathlib import Path
from typing import Any

import uvloop


def _serve(script: Path, port: int) -> None:
    spec = importlib.util.spec_from_file_location("entry_module", script)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{script} is not a Python file")
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.init()

    class Connection(asyncio.Protocol):
        """Takes each piece that arrives for a whole request, as the pieces of wrk and of the client here are."""

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self._transport: Any = transport

        def data_received(self, data: bytes) -> None:
            answer = module.run(data.partition(b"\r\n\r\n")[2].decode()).encode()
            head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(answer)
            self._transport.write(head + answer)

    async def listen() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Connection, "127.0.0.1", port)
        await server.serve_forever()

    uvloop.run(listen())


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), int(sys.argv[2]))
