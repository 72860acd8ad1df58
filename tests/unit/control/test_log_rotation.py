from pathlib import Path

import pytest

from mlctl.control import log_rotation
from mlctl.control.log_rotation import rotate_logs
from mlctl.settings import Settings


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(log_rotation, "MAX_BYTES", 1000)
    monkeypatch.setattr(log_rotation, "KEPT_BYTES", 100)
    found = Settings(home=tmp_path)
    found.logs.mkdir()
    return found


def test_a_long_access_log_is_renamed_and_opened_anew(settings: Settings):
    settings.access_log.write_text("x" * 1001)
    reopened: list[bool] = []
    rotate_logs(settings, lambda: reopened.append(True))
    assert reopened == [True]
    assert settings.access_log.with_suffix(".log.1").stat().st_size == 1001
    assert not settings.access_log.exists()


def test_a_long_log_of_a_replica_keeps_its_last_whole_lines_and_its_writer(settings: Settings):
    path = settings.logs / "e" / "blue" / "r.log"
    path.parent.mkdir(parents=True)
    with path.open("a") as writer:
        writer.write("".join(f"line {number:04d}\n" for number in range(200)))
        writer.flush()
        rotate_logs(settings, lambda: None)
        writer.write("later\n")
    lines = path.read_text().splitlines()
    assert lines[-2:] == ["line 0199", "later"]
    assert lines[0].startswith("line 0")
    assert len(lines) <= 12


def test_short_logs_are_left_alone(settings: Settings):
    settings.access_log.write_text("x")
    rotate_logs(settings, lambda: pytest.fail("nothing was renamed"))
    assert settings.access_log.read_text() == "x"
