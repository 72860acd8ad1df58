"""Environments with the real uv: built once, shared, whole or not there."""

import json
import os
import signal
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from mlctl.errors import BackendUnavailable, EnvironmentFailed
from mlctl.runtimes import environments
from mlctl.runtimes.environments import (
    MARKER,
    Interpreter,
    Recipe,
    ensure_environment,
    find_environment,
    read_reason,
    start_words,
)
from mlctl.runtimes.library import ensure_library
from tests.unit.runtimes.test_pythons import make_python
from tests.unit.runtimes.wheels import make_wheel
from tests.waiting import wait_until

SIX = Recipe(requirements=("six",))


def ensure(home: Path, recipe: Recipe, waits: list[str] | None = None, **changes: str) -> Interpreter:
    waits = [] if waits is None else waits
    return ensure_environment(home, recipe, dict(os.environ) | changes, on_wait=waits.append)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def built(home: Path) -> Interpreter:
    return ensure(home, SIX)


def forbid_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(subprocess, "Popen", refuse)


def run_in(interpreter: Interpreter, code: str) -> str:
    ran = subprocess.run([str(interpreter.python), "-c", code], capture_output=True, text=True, check=True)
    return ran.stdout.strip()


def list_drafts(home: Path) -> list[str]:
    return [path.name for path in (home / "environments").iterdir() if path.name.startswith((".new-", ".gone-"))]


def test_what_the_running_interpreter_has_needs_no_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    forbid_processes(monkeypatch)
    own = ensure(tmp_path, Recipe(f"=={sys.version_info[0]}.{sys.version_info[1]}.*", ("pytest",)))
    assert (own.python, own.is_own, own.drift, own.built_s) == (Path(sys.executable), True, (), None)
    assert list(tmp_path.iterdir()) == []


def test_an_environment_has_its_packages_and_what_the_scoring_server_needs(built: Interpreter, home: Path):
    assert built.built_s is not None
    assert built.packages >= 4
    assert (built.is_own, built.drift) == (False, ())
    code = "import six, uvicorn, httptools, uvloop; print(uvicorn.__version__)"
    assert run_in(built, code) == metadata.version("uvicorn")
    assert find_environment(built.python) == built.python.parent.parent
    assert list_drafts(home) == []


def test_an_environment_that_is_there_costs_no_process(built: Interpreter, home: Path, monkeypatch: pytest.MonkeyPatch):
    forbid_processes(monkeypatch)
    waits: list[str] = []
    again = ensure(home, Recipe(requirements=("six",)), waits)
    assert (again.python, again.built_s, again.packages, waits) == (built.python, None, built.packages, [])


def test_what_is_not_whole_is_built_anew(built: Interpreter, home: Path):
    marker = built.python.parent.parent / MARKER
    content = marker.read_text()
    marker.unlink()
    again = ensure(home, SIX)
    assert (again.python, again.built_s is not None) == (built.python, True)
    assert json.loads(marker.read_text()) == json.loads(content)


def test_parallel_commands_share_one_build(tmp_path: Path):
    code = (
        "import os, sys; from pathlib import Path; from mlctl.runtimes.environments import *\n"
        "recipe = Recipe(requirements=('six',))\n"
        "found = ensure_environment(Path(sys.argv[1]), recipe, dict(os.environ), on_wait=print)\n"
        "print(found.python, found.built_s is not None)"
    )
    words = [sys.executable, "-c", code, str(tmp_path)]
    running = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    outputs = [process.communicate(timeout=60)[0].split() for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    assert len({output[-2] for output in outputs}) == 1
    assert sorted(output[-1] for output in outputs) == ["False", "False", "True"]


SLOW_BACKEND = """
import pathlib, time
pathlib.Path({flag!r}).touch()
while not pathlib.Path({go!r}).exists():
    time.sleep(0.01)
def build_wheel(folder, *_):
    import shutil
    return pathlib.Path(shutil.copy({wheel!r}, folder)).name
"""


def test_a_killed_build_leaves_nothing_that_counts(tmp_path: Path):
    wheel, package, home = make_wheel(tmp_path / "wheels", "slow"), tmp_path / "slow", tmp_path / "home"
    package.mkdir()
    flag, go = tmp_path / "began", tmp_path / "go"
    (package / "backend.py").write_text(SLOW_BACKEND.format(flag=str(flag), go=str(go), wheel=str(wheel)))
    system = 'requires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    (package / "pyproject.toml").write_text(
        f'[build-system]\n{system}[project]\nname = "slow"\nversion = "1.0"\nrequires-python = ">=3.10"\n'
    )
    code = (
        "import os, sys; from pathlib import Path; from mlctl.runtimes.environments import *\n"
        "recipe = Recipe(requirements=(sys.argv[2],))\n"
        "ensure_environment(Path(sys.argv[1]), recipe, dict(os.environ), on_wait=lambda _: None)"
    )
    words = [sys.executable, "-c", code, str(home), str(package)]
    with subprocess.Popen(words, start_new_session=True) as process:
        wait_until(flag.exists)
        os.killpg(process.pid, signal.SIGKILL)
    assert len(list_drafts(home)) == 1
    go.touch()
    waits: list[str] = []
    found = ensure(home, Recipe(requirements=(str(package),)), waits)
    assert run_in(found, "import slow; print(slow.VERSION)") == "1.0"
    assert list_drafts(home) == []


def test_an_unknown_package_is_told_in_uvs_words_and_leaves_nothing(tmp_path: Path):
    with pytest.raises(EnvironmentFailed, match="nothing-such-package was not found"):
        ensure(tmp_path, Recipe(requirements=("nothing-such-package",)), PIP_NO_INDEX="1")
    assert list_drafts(tmp_path) == []
    assert not [path for path in (tmp_path / "environments").iterdir() if path.is_dir()]


def test_pins_that_contradict_each_other_are_told(tmp_path: Path):
    with pytest.raises(EnvironmentFailed, match=r"six==1\.16\.0.*(\n.*)*six==1\.17\.0"):
        ensure(tmp_path, Recipe(requirements=("six==1.16.0", "six==1.17.0")))


def test_a_pin_of_the_model_wins_over_ours(tmp_path: Path):
    wheel = make_wheel(tmp_path, "picky", "1.0", f"uvicorn<{metadata.version('uvicorn')}")
    found = ensure(tmp_path / "home", Recipe(requirements=(str(wheel),)))
    version = run_in(found, "import picky, uvicorn; print(uvicorn.__version__)")
    assert version != metadata.version("uvicorn")


def test_a_pin_that_the_scoring_server_cannot_do_with_is_refused(tmp_path: Path):
    assert environments.list_needs(["uvicorn==0.50", "six"])[0].startswith("uvicorn>=")
    with pytest.raises(EnvironmentFailed, match=r"uvicorn<0\.1"):
        ensure(tmp_path, Recipe(requirements=("uvicorn<0.1",)))


def test_links_are_found_as_pip_finds_them_and_another_index_is_another_environment(tmp_path: Path):
    make_wheel(tmp_path / "one", "mlctl_test_links", "1.0")
    make_wheel(tmp_path / "two", "mlctl_test_links", "2.0")
    recipe, home = Recipe(requirements=("mlctl_test_links",)), tmp_path / "home"
    first = ensure(home, recipe, PIP_FIND_LINKS=str(tmp_path / "one"))
    second = ensure(home, Recipe(requirements=("mlctl_test_links",), options=(f"--find-links {tmp_path / 'two'}",)))
    code = "import mlctl_test_links as m; print(m.VERSION)"
    assert (run_in(first, code), run_in(second, code)) == ("1.0", "2.0")
    assert first.python != second.python


def test_a_python_that_is_not_here_is_drift_until_it_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    fake = tmp_path / "bin"
    fake.mkdir()
    own = environments.own_interpreter()
    asked = Recipe("==3.40.*", ("pytest",))
    monkeypatch.setattr(environments.pythons, "list_candidates", lambda _: sorted(fake.iterdir()))  # pyright: ignore
    found = ensure(tmp_path / "home", asked)
    assert (found.python, found.is_own) == (own.python, True)
    assert found.drift == (f"Python 3.40 is not on this machine: {own.version} is used",)
    old = ensure(tmp_path / "home", Recipe("==3.8.*", ("pytest",)))
    assert old.drift == (f"Python 3.8 is too old, 3.10 is needed: {own.version} is used",)
    make_python(fake, "3.40.1")
    with pytest.raises(EnvironmentFailed):
        # It is taken, and no Python at all.
        ensure(tmp_path / "home", asked)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path):
    (tmp_path / "environments").write_text("in the way")
    with pytest.raises(BackendUnavailable, match="cannot write"):
        ensure(tmp_path, SIX)


def test_reasons_are_told_without_signs_progress_and_credentials():
    output = (
        "Using Python 3.11.7 environment at: x\nResolved 3 packages in 2ms\n"
        "  × No solution found when resolving dependencies:\n  ╰─▶ Because a and\n      b, no.\n"
        "error: Failed to fetch: `https://me:secret@localhost/simple/`\n  cause: tls\n"
    )
    assert read_reason(output).splitlines() == [
        "No solution found when resolving dependencies:",
        "Because a and",
        "b, no.",
        "Failed to fetch: `https://localhost/simple/`",
        "tls",
    ]
    assert read_reason("\n".join(f"line {number}" for number in range(40))).count("\n") == 11
    assert read_reason("") == "uv gave no reason"


def test_a_replica_is_started_from_a_copy_where_mlctl_is_not_installed(built: Interpreter, home: Path):
    python, script, word = start_words(built.python)
    assert (Path(python), word) == (built.python, "mlctl.scoring")
    assert Path(script).is_relative_to(home / "lib")
    ran = subprocess.run([python, script, word, "--help"], capture_output=True, text=True, check=True)
    assert "Serve one scoring script" in ran.stdout
    assert start_words(Path(sys.executable)) == [sys.executable, "-P", "-m", "mlctl.scoring"]


def test_the_copy_is_made_once_and_again_when_the_sources_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    first = ensure_library(tmp_path)
    before = first.stat().st_mtime_ns
    assert ensure_library(tmp_path).stat().st_mtime_ns == before
    package = tmp_path / "package" / "mlctl"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("changed")
    monkeypatch.setattr("mlctl.runtimes.library._PACKAGE", package)
    assert ensure_library(tmp_path) != first
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".new")) == []
