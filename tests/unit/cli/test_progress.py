"""What the moving line of a waiting command says."""

import pytest

from mlctl.cli.progress import Progress
from mlctl.registry.events import Event


def test_the_line_tells_how_long_init_has_run_and_how_long_it_may():
    progress = Progress()
    started = Event(1, 0.0, "fraud", "blue", "replica.started", "started", {"limit_s": 300.0}, "me")
    try:
        progress.begin("replicas of blue are starting")
        progress._begun_at -= 700
        progress.tick(700.0)
        assert progress._status.status == "replicas of blue are starting · 700 s"
        # The next try has the whole limit again, whatever the ones before took.
        progress.event(started)
        progress.tick(700.1)
        assert progress._status.status == "blue is in init()"
        progress._begun_at -= 34
        progress.tick(734.1)
        assert progress._status.status == "blue is in init() · 34 s of 300 s"
    finally:
        progress.close()


def test_a_cause_is_told_once_however_many_tries_fail_of_it(capsys: pytest.CaptureFixture[str]):
    progress = Progress()
    try:
        for replica, cause in (("blue-1", "of this"), ("blue-2", "of this"), ("blue-3", "of that")):
            told = f"{replica} did not start: {cause}"
            progress.event(Event(1, 0.0, "fraud", "blue", "replica.exited", told, {"replica": replica}, "me"))
    finally:
        progress.close()
    lines = [line for line in capsys.readouterr().err.splitlines() if "did not start" in line]
    assert [line.split()[2] for line in lines] == ["blue-1", "blue-3"]
