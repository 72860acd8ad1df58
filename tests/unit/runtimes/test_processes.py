import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlctl.runtimes.processes import (
    ExitWatcher,
    ProcessId,
    find_labelled,
    is_running,
    kill_session,
    reap,
    send_signal,
    spawn,
)
from tests.waiting import wait_until

SLEEP = "import signal; signal.pause()"


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[ProcessId]:
    process = run(tmp_path, SLEEP, "--label-of-this-test", str(tmp_path))
    yield process
    kill_session(process)
    wait_until(lambda: not is_running(process))


def run(folder: Path, code: str, *arguments: str) -> ProcessId:
    argv = [sys.executable, "-c", code, *arguments]
    return spawn(argv, env={"PATH": os.environ["PATH"]}, cwd=folder, log_file=folder / "log")


def test_a_process_has_a_session_of_its_own_and_no_input(sleeper: ProcessId):
    assert os.getsid(sleeper.pid) == sleeper.pid
    assert Path(f"/proc/{sleeper.pid}/fd/0").readlink() == Path("/dev/null")


def test_nothing_but_the_three_descriptors_is_inherited(sleeper: ProcessId):
    # While it loads its modules it has files open of its own.
    wait_until(lambda: {path.name for path in Path(f"/proc/{sleeper.pid}/fd").iterdir()} == {"0", "1", "2"})


def test_what_it_writes_is_the_owners_alone(tmp_path: Path):
    process = run(tmp_path, "import os; print('hello'); open('made', 'w')")
    wait_until(lambda: not is_running(process))
    assert (tmp_path / "log").read_text() == "hello\n"
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o600


def test_a_process_is_not_mistaken_for_a_later_one_with_its_pid(sleeper: ProcessId):
    stranger = ProcessId(sleeper.pid, sleeper.start_ticks - 1)
    assert not is_running(stranger)
    send_signal(stranger, signal.SIGKILL)
    assert is_running(sleeper)


def test_a_process_is_found_by_words_of_its_arguments(sleeper: ProcessId, tmp_path: Path):
    wait_until(lambda: find_labelled("--label-of-this-test", str(tmp_path)) == [sleeper])
    assert find_labelled("--label-of-this-test", "elsewhere") == []


def test_an_exit_is_noticed_at_once(sleeper: ProcessId):
    noticed = threading.Event()
    ExitWatcher().watch(sleeper, noticed.set)
    os.kill(sleeper.pid, signal.SIGKILL)
    assert noticed.wait(5)
    assert not is_running(sleeper)


def test_watching_what_has_ended_calls_back_at_once(tmp_path: Path):
    process = run(tmp_path, "pass")
    wait_until(lambda: not is_running(process))
    noticed = threading.Event()
    ExitWatcher().watch(process, noticed.set)
    assert noticed.is_set()


def test_an_ended_child_does_not_stay_a_zombie(tmp_path: Path):
    process = run(tmp_path, "pass")
    wait_until(lambda: not is_running(process))
    assert not Path(f"/proc/{process.pid}").exists()
    assert reap(process.pid) is None


def test_killing_a_session_takes_along_what_it_started(tmp_path: Path):
    code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {SLEEP!r}, 'grand', sys.argv[1]]); {SLEEP}"
    process = run(tmp_path, code, str(tmp_path))
    wait_until(lambda: len(find_labelled("grand", str(tmp_path))) == 1)
    kill_session(process)
    wait_until(lambda: find_labelled("grand", str(tmp_path)) == [])
    wait_until(lambda: not is_running(process))
