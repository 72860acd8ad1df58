"""Writes small ONNX models without the onnx package: protobuf by hand, as much as these need."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

_ELEMENTS = {"float": 1, "int64": 7, "string": 8, "bool": 9, "double": 11}
_ML = "ai.onnx.ml"


class Tensor(NamedTuple):
    """An input. shape: None for a dimension that may be any."""

    name: str
    kind: str
    shape: tuple[int | None, ...]


class Output(NamedTuple):
    """An output and the operator that makes it of inputs. is_map: it is a list of maps from class to probability."""

    name: str
    operator: str
    inputs: tuple[str, ...]
    is_map: bool = False


def write_onnx(path: Path, inputs: Sequence[Tensor], outputs: Sequence[Output]) -> Path:
    kinds = {one.name: one for one in inputs}
    graph = b"".join(_field(1, _node(one)) for one in outputs) + _field(2, b"test")
    graph += b"".join(_field(11, _value(one.name, _tensor(one))) for one in inputs)
    for one in outputs:
        kind = _maps() if one.is_map else _tensor(kinds[one.inputs[0]])
        graph += _field(12, _value(one.name, kind))
    opsets = _field(8, _number(2, 13)) + _field(8, _field(1, _ML.encode()) + _number(2, 1))
    path.write_bytes(_number(1, 7) + _field(7, graph) + opsets)
    return path


def _node(one: Output) -> bytes:
    content = b"".join(_field(1, name.encode()) for name in one.inputs) + _field(2, one.name.encode())
    content += _field(3, f"make_{one.name}".encode()) + _field(4, one.operator.encode())
    if one.operator == "ZipMap":
        classes = _field(1, b"classlabels_int64s") + _number(8, 0) + _number(8, 1) + _number(20, 7)
        content += _field(5, classes) + _field(7, _ML.encode())
    return content


def _value(name: str, kind: bytes) -> bytes:
    return _field(1, name.encode()) + _field(2, kind)


def _tensor(one: Tensor) -> bytes:
    dims = b"".join(_field(1, b"" if size is None else _number(1, size)) for size in one.shape)
    return _field(1, _number(1, _ELEMENTS[one.kind]) + _field(2, dims))


def _maps() -> bytes:
    """Write the type of a sequence of maps from int64 to float."""
    value = _field(1, _number(1, _ELEMENTS["float"]))
    return _field(4, _field(1, _field(5, _number(1, _ELEMENTS["int64"]) + _field(2, value))))


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)
