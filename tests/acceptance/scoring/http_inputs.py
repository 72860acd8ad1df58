"""Inputs for a fuzz test, drawn from a seed: valid requests, valid ones in a row, and mutated ones."""

from __future__ import annotations

import random
from dataclasses import dataclass

_PATHS = ("/score", "/score", "/score", "/", "/swagger.json", "/nope", "/score/", "/score?a=1&b=[1,2]&b=x", "/%73core")
_METHODS = ("POST", "POST", "POST", "GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND")
_NAMES = ("accept", "X-Request-Id", "x-ms-client-request-id", "TraceId", "cookie", "x_under", "Origin", "User-Agent")
_BODIES = (b"", b"{}", b'{"data": [[1, 2]]}', b"[" * 500, b"\xff\xfe", b'"\\ud800"', b"NaN", b"x" * 5000, b"\0" * 9)
_TOKENS = (
    *(b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b"\r\n\r\n", b"HTTP/1.1", b"HTTP/9.9", b"POST", b"\xff", b"%00"),
    *(b"Content-Length: 5\r\n", b"Content-Length: -1\r\n", b"Content-Length: 99999999999999999999999\r\n"),
    *(b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip, chunked\r\n", b"Connection: close\r\n"),
    *(
        b"Upgrade: websocket\r\nConnection: Upgrade\r\n",
        b"Expect: 100-continue\r\n",
        b"0\r\n\r\n",
        b"ffffffffffffffff\r\n",
    ),
    *(
        b"CONNECT x:1 HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"a" * 3000,
    ),
)


@dataclass(frozen=True)
class Input:
    """What is sent, in pieces. methods: of the requests that must be answered; None: it is mutated, anything goes."""

    pieces: tuple[bytes, ...]
    methods: tuple[str, ...] | None

    @property
    def data(self) -> bytes:
        return b"".join(self.pieces)


def draw_input(seed: int, index: int) -> Input:
    """Draw one input; the same for the same numbers, whatever was drawn before."""
    rng = random.Random(f"{seed}/{index}")
    methods, requests = _draw_requests(rng)
    if rng.random() < 0.3:
        return Input(_cut(rng, b"".join(requests)), methods)
    return Input(_cut(rng, _mutate(rng, b"".join(requests))), None)


def _draw_requests(rng: random.Random) -> tuple[tuple[str, ...], list[bytes]]:
    methods = tuple(rng.choice(_METHODS) for _ in range(rng.choice((1, 1, 1, 2, 5))))
    return methods, [_draw_request(rng, method) for method in methods]


def _draw_request(rng: random.Random, method: str) -> bytes:
    head = [f"{method} {rng.choice(_PATHS)} HTTP/1.1".encode(), b"Host: replica"]
    for _ in range(rng.choice((0, 0, 1, 3, 40))):
        value = rng.randbytes(rng.randrange(20)).hex()
        head.append(f"{rng.choice(_NAMES)}:{' ' * rng.randrange(3)}{value}".encode())
    body = rng.choice(_BODIES) if method in ("POST", "PUT", "PATCH") or rng.random() < 0.1 else b""
    if rng.random() < 0.2:
        head.append(b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__")
    if rng.random() < 0.1:
        head.append(b"Expect: 100-continue")
    if body and rng.random() < 0.5:
        return b"\r\n".join([*head, b"Transfer-Encoding: chunked", b"", _draw_chunks(rng, body)])
    if body or rng.random() < 0.5:
        head.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join([*head, b"", body])


def _draw_chunks(rng: random.Random, body: bytes) -> bytes:
    chunks: list[bytes] = []
    while body:
        size = rng.choice((1, 7, 1000, len(body)))
        extension = rng.choice((b"", b"", b";a=b"))
        chunks.append(b"%x%b\r\n%b\r\n" % (len(body[:size]), extension, body[:size]))
        body = body[size:]
    return b"".join([*chunks, b"0\r\n", rng.choice((b"", b"", b"x-trailer: 1\r\n")), b"\r\n"])


def _mutate(rng: random.Random, data: bytes) -> bytes:
    for _ in range(rng.choice((1, 1, 2, 5))):
        at, end = sorted((rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)))
        match rng.randrange(7):
            case 0:
                data = data[:at]
            case 1:
                data = data[:at] + rng.randbytes(rng.randrange(1, 30)) + data[at:]
            case 2:
                data = data[:at] + rng.choice(_TOKENS) + data[at:]
            case 3:
                data = data[:at] + data[end:]
            case 4:
                data = data[:end] + data[at:]
            case 5:
                lines = data.split(b"\r\n")
                lines.insert(rng.randrange(len(lines) + 1), rng.choice(_TOKENS).strip())
                data = b"\r\n".join(lines)
            case _:
                flipped = bytearray(data)
                for _ in range(min(len(flipped), rng.randrange(1, 9))):
                    flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
                data = bytes(flipped)
    return data


def _cut(rng: random.Random, data: bytes) -> tuple[bytes, ...]:
    """Cut the data into the pieces that are sent one by one; mostly one."""
    cuts = sorted(rng.randrange(len(data) + 1) for _ in range(rng.choice((0, 0, 0, 1, 3))))
    return tuple(data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True))
