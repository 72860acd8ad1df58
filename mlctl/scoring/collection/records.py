"""What travels from the replica to the writer, and how: a length, marshalled records, large bodies behind them.

marshal because it is the fastest that Python has; both ends are the same interpreter.
"""

from __future__ import annotations

import marshal
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO, NamedTuple

_LENGTH = struct.Struct(">Q")
LARGE_BYTES = 64 * 1024


class Exchange(NamedTuple):
    """A request and its answer. body: None if it was not read or is not collected; answer likewise.

    at: when it was answered, epoch seconds. headers: those to capture, in their order; content_type: the request's.
    """

    at: float
    request_id: bytes
    method: str
    path: str
    content_type: bytes
    headers: tuple[bytes | None, ...]
    status: int
    answer_headers: bytes
    body: bytes | None
    answer: bytes | None


class OwnData(NamedTuple):
    """What a script collected. text: JSON. headers: the correlation context's."""

    at: float
    collection: str
    correlation_id: str
    data_type: str
    headers: Mapping[str, str]
    text: str


class Batch(NamedTuple):
    """What goes over in one piece. records: how many are lost with it."""

    parts: Sequence[bytes]
    records: int


_KINDS: dict[str, type[Exchange] | type[OwnData]] = {"exchange": Exchange, "own": OwnData}


def pack_exchanges(exchanges: Sequence[tuple[Any, ...]]) -> Batch:
    """Pack small exchanges together."""
    return _pack("exchange", exchanges, ())


def pack_large(exchange: Exchange) -> Batch:
    """Pack one exchange so that its bodies need not be copied."""
    bodies = (exchange.body, exchange.answer)
    return _pack("exchange", [tuple(exchange[:-2])], bodies)


def pack_own(collected: Sequence[OwnData]) -> Batch:
    """Pack what a script collected."""
    return _pack("own", [(*one[:4], dict(one.headers), one.text) for one in collected], ())


def _pack(kind: str, records: Sequence[tuple[Any, ...]], bodies: Sequence[bytes | None]) -> Batch:
    sizes = [None if body is None else len(body) for body in bodies]
    head = marshal.dumps((kind, [tuple(record) for record in records], sizes))
    return Batch([_LENGTH.pack(len(head)) + head, *(body for body in bodies if body)], len(records))


def read_batches(stream: BinaryIO) -> Iterator[list[Exchange | OwnData]]:
    """Yield what arrives until the other end is gone; half a batch is none."""
    while len(prefix := stream.read(_LENGTH.size)) == _LENGTH.size:
        (length,) = _LENGTH.unpack(prefix)
        head = stream.read(length)
        if len(head) < length:
            return
        kind, records, sizes = marshal.loads(head)
        bodies = [None if size is None else stream.read(size) for size in sizes]
        if any(body is not None and len(body) < size for body, size in zip(bodies, sizes, strict=True)):
            return
        yield [_KINDS[kind](*record, *bodies) for record in records]
