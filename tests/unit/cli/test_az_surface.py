"""Every command and flag that az has in the groups mlctl stands in for is taken, or refused with a reason."""

import contextlib
import io
from typing import Any

import click
import pytest

from mlctl.cli.arguments import normalize
from mlctl.cli.main import run
from scripts.reference import find_command, judge_flags, list_az_commands

COMMANDS = list(list_az_commands())
IDS = [f"{group} {verb}" for group, verb, _ in COMMANDS]
REASONS = (
    "there is no Azure ML registry on this machine",
    "mlctl builds none",
    "data assets are paths of this machine",
    "there are no connections to databases here",
    "there is no other node to connect to",
    "no form of it works in a shell",
)
VALUES = {"int": ["1"], "flag": [], "bool3": ["true"]}


def words_of(flag: dict[str, Any]) -> list[str]:
    if flag["name"] == "--workspace-name":
        return [flag["name"], "other"]
    return [flag["name"], *VALUES.get(flag["kind"], ["x=1"])]


@pytest.mark.parametrize(("group", "verb", "flags"), COMMANDS, ids=IDS)
def test_the_command_takes_all_of_its_flags_at_once(group: str, verb: str, flags: list[dict[str, Any]]):
    command = find_command(group, verb)
    assert command is not None
    line = [group, verb, *(word for flag in flags for word in words_of(flag))]
    invocation = normalize(line)
    command.make_context(verb, list(invocation.words[2:]))
    judge_flags(command, flags)


@pytest.mark.parametrize(("group", "verb", "flags"), COMMANDS, ids=IDS)
def test_short_flags_are_azs_too(group: str, verb: str, flags: list[dict[str, Any]]):
    command = find_command(group, verb)
    assert command is not None
    line = [group, verb]
    for flag in flags:
        line += [(flag["aliases"] or [flag["name"]])[0], *VALUES.get(flag["kind"], ["x=1"])]
    assert isinstance(command.make_context(verb, list(normalize(line).words[2:])), click.Context)


def refusals() -> list[tuple[str, str, str, list[str]]]:
    found: list[tuple[str, str, str, list[str]]] = []
    for group, verb, flags in COMMANDS:
        command = find_command(group, verb)
        assert command is not None
        required = [word for flag in flags if flag["required"] for word in words_of(flag)]
        for judged in judge_flags(command, flags):
            if judged.verdict == "refused":
                given = [] if judged.is_required else words_of({"name": judged.flag, "kind": judged.kind})
                found.append((f"{group} {verb}", judged.flag, judged.reason, [group, verb, *required, *given]))
    return found


@pytest.mark.parametrize(
    ("command", "flag", "reason", "line"), refusals(), ids=[f"{found[0]} {found[1]}" for found in refusals()]
)
def test_what_is_refused_says_why(
    command: str, flag: str, reason: str, line: list[str], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MLCTL_HOME", str(tmp_path))
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(line)
    assert (code, out.getvalue()) == (1, "")
    assert reason
    assert any(known in err.getvalue() for known in REASONS)
    assert list(tmp_path.iterdir()) == []
