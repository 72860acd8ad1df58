"""Bodies as events, events as lines, lines in files."""

from __future__ import annotations

import io
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from mlctl.scoring.collection.events import LARGEST_DATA_BYTES, EventBuilder, find_content_type, render_data
from mlctl.scoring.collection.files import EventFiles
from mlctl.scoring.collection.records import Exchange, OwnData, pack_exchanges, pack_large, pack_own, read_batches
from mlctl.scoring.collection.settings import CollectionSettings
from mlctl.scoring.collection.writer import Losses, Writer

AT = 1764037680.25  # 2025-11-25T02:28:00.25Z
HOUR = "2025/11/25/02"


@pytest.mark.parametrize(
    ("body", "content_type", "data", "kind"),
    [
        (b'{"a": [1, 2]}', "application/json", {"a": [1, 2]}, "application/json"),
        (b'{"a":\r\n [1]}', "", {"a": [1]}, "application/json"),
        ("{'é'}".encode(), "", "{'é'}", "text/plain"),
        (b"[NaN]", "application/json", "[NaN]", "application/json"),
        (b'{"a": ', "application/json", '{"a": ', "application/json"),
        (b"[" * 5000, "application/json", "[" * 5000, "application/json"),
        (b'a "quoted"\n\x01\xe2\x80\xa8line', "text/csv", 'a "quoted"\n\x01\u2028line', "text/csv"),
        (b'"\\ud800"', "application/json", "\ud800", "application/json"),
        (b"", "", "", "text/plain"),
        (None, "", None, "application/json"),
    ],
)
def test_a_body_stands_in_its_event_as_json_or_as_text(
    body: bytes | None, content_type: str, data: Any, kind: str
) -> None:
    line = EventBuilder("/x").build("request", AT, render_data(body, content_type), {"path": "/score"}, event_id="1")
    assert line.count(b"\n") == 1
    event = json.loads(line)
    assert (event["data"], event["datacontenttype"]) == (data, kind)
    assert event.get("contentrange") == (f"bytes 0-{len(body) - 1}/*" if body else None)
    assert (event["time"], event["specversion"], event["source"]) == ("2025-11-25T02:28:00.250Z", "1.0", "/x")
    assert event["type"] == "azureml.inference.request"


@pytest.mark.parametrize("body", [b"\xff\xfe", b"x" * (LARGEST_DATA_BYTES + 1)])
def test_what_is_binary_or_large_is_pointed_to(body: bytes) -> None:
    data = render_data(body, "")
    assert data.text is None
    event = json.loads(EventBuilder("/x").build("request", AT, data, {"p": 1}, event_id="1", url="file:///f"))
    assert (event["data"], event["datainblob"], event["contentrange"]) == (
        "file:///f",
        "true",
        f"bytes 0-{len(body) - 1}/*",
    )


def test_a_body_of_the_largest_size_is_not_pointed_to() -> None:
    assert render_data(b"x" * LARGEST_DATA_BYTES, "").text is not None


def test_a_content_type_is_found_in_any_case_and_without_parameters() -> None:
    assert find_content_type(b"x-a: 1\r\nContent-Type: text/html; charset=utf-8\r\n") == "text/html"
    assert find_content_type(b"x-content-type: no\r\n") == ""


@pytest.mark.parametrize(
    ("rolling", "folder"), [("minute", "2025/11/25/02/28"), ("hour", "2025/11/25/02"), ("day", "2025/11/25")]
)
def test_files_roll_in_utc(tmp_path: Path, rolling: str, folder: str) -> None:
    files = EventFiles(str(tmp_path / "data"), "blue-1", rolling)
    assert files.folder_at("request", AT) == str(tmp_path / "data" / "request" / folder)
    later = files.folder_at("request", AT + 86_400)
    assert later == str(tmp_path / "data" / "request" / folder.replace("/25", "/26", 1))


def test_files_are_for_this_user_only(tmp_path: Path) -> None:
    settings = CollectionSettings(str(tmp_path / "a"), "/x", "blue-1", "hour", {"own": 1.0}, (), ())
    umask = os.umask(0o077)
    try:
        Writer(settings, Losses()).write([OwnData(AT, "own", "c", "t", {}, '"' + "x" * LARGEST_DATA_BYTES + '"')])
    finally:
        os.umask(umask)
    found = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "a").rglob("*") if path.is_file()}
    assert found == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "a").rglob("*") if path.is_dir()} == {0o700}


def test_a_line_that_does_not_fit_is_taken_back(tmp_path: Path) -> None:
    files = EventFiles(str(tmp_path), "blue-1", "hour")
    files.append(str(tmp_path), b"first\n")
    written: list[int] = []

    def write_some(descriptor: int, content: memoryview) -> int:
        if written:
            raise OSError(28, "No space left on device")
        written.append(real_write(descriptor, content[:3]))
        return written[0]

    real_write = os.write
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mlctl.scoring.collection.files.os.write", write_some)
        with pytest.raises(OSError, match="No space"):
            files.append(str(tmp_path), b"second\n")
    files.append(str(tmp_path), b"third\n")
    assert (tmp_path / "blue-1.jsonl").read_bytes() == b"first\nthird\n"


def test_records_survive_the_way_to_the_writer_and_half_a_batch_is_none() -> None:
    small = Exchange(AT, b"id", "POST", "/score", b"", (b"v", None), 200, b"h", b"body", None)
    large = small._replace(body=b"x" * 100_000, answer=b"y")
    own = OwnData(AT, "own", "c", "t", {"h": "1"}, "[]")
    batches = [pack_exchanges([tuple(small)] * 2), pack_large(large), pack_own([own])]
    assert [batch.records for batch in batches] == [2, 1, 1]
    wire = b"".join(part for batch in batches for part in batch.parts)
    assert list(read_batches(io.BytesIO(wire))) == [[small, small], [large], [own]]
    first = len(batches[0].parts[0])
    for cut in (3, 20, first, first + 9, first + 5000):
        assert list(read_batches(io.BytesIO(wire[:cut]))) == ([[small, small]] if cut >= first else [])


def test_a_time_out_of_this_world_is_replaced(tmp_path: Path) -> None:
    settings = CollectionSettings(str(tmp_path), "/x", "blue-1", "hour", {"own": 1.0}, (), ())
    Writer(settings, Losses()).write([OwnData(at, "own", "c", "t", {}, "[]") for at in (1e18, -5.0, float("nan"), AT)])
    lines = [line for path in tmp_path.rglob("*.jsonl") for line in path.read_text().splitlines()]
    assert len(lines) == 4


def test_losses_are_said_once_a_minute(capsys: pytest.CaptureFixture[str]) -> None:
    now = [100.0]
    losses = Losses(lambda: now[0])
    error = OSError(28, "No space left on device", "/data/f")
    for _ in range(3):
        losses.add(10, error)
    assert capsys.readouterr().err.count("lost") == 1
    now[0] += 61
    losses.add(5, error)
    assert "The data collector lost 25 events: /data/f: No space left on device" in capsys.readouterr().err
    losses.say()
    assert not capsys.readouterr().err
