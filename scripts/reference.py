"""The generated parts of docs/: every command's help, and the table of what az has. Called by cog and by a test."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from mlctl.cli.arguments import GLOBAL, NOUNS
from mlctl.cli.main import COMMANDS, make_root

SOURCE = Path(__file__).parent.parent / "docs" / "reference" / "az-ml-surface.json"
GROUPS = (
    *("online-endpoint", "online-deployment", "model", "environment"),
    *("batch-endpoint", "batch-deployment", "data", "component", "compute", "job", "schedule"),
)
WIDTH = 100
REFUSED, ACCEPTED = "Refused: ", "Accepted as in az"


@dataclass(frozen=True)
class Judgement:
    """What mlctl does with a flag of az. verdict: works, accepted (without effect) or refused; reason: in words."""

    flag: str
    kind: str
    is_required: bool
    verdict: str
    reason: str


def list_commands() -> list[tuple[str, click.Command]]:
    """Return every command of mlctl with its words: `endpoint create`, `doctor`."""
    root = make_root()
    context = click.Context(root)
    found: list[tuple[str, click.Command]] = []
    for noun in COMMANDS:
        command = root.get_command(context, noun)
        assert command is not None
        if isinstance(command, click.Group):
            found += [(f"{noun} {name}", inner) for name, inner in sorted(command.commands.items())]
        else:
            found.append((noun, command))
    return found


def list_nouns() -> list[tuple[str, str]]:
    """Return every noun with its verbs, or with what it does if it has none: for the table in the README."""
    found: dict[str, list[str]] = {}
    for words, command in list_commands():
        noun, _, verb = words.partition(" ")
        summary = (command.help or "").splitlines()[0]
        if not summary.startswith(REFUSED):
            found.setdefault(noun, []).append(f"`{verb}`" if verb else summary)
    return [(noun, " ".join(verbs)) for noun, verbs in found.items()]


def list_az_commands() -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    """Yield (group, verb, flags) of the groups that mlctl stands in for."""
    for entry in json.loads(SOURCE.read_text()):
        words = entry["command"].split()
        if len(words) == 3 and words[1] in GROUPS:
            yield words[1], words[2], entry["flags"]


def find_command(group: str, verb: str) -> click.Command | None:
    """Return mlctl's command for one of az's."""
    noun = NOUNS.get(group, group)
    return dict(list_commands()).get(f"{noun} {verb}")


def judge_flags(command: click.Command, flags: list[dict[str, Any]]) -> list[Judgement]:
    """Say what mlctl does with each flag of a command; LookupError for one that it does not know."""
    return [_judge(command, flag) for flag in flags]


def _judge(command: click.Command, flag: dict[str, Any]) -> Judgement:
    facts = (flag["name"], flag["kind"], bool(flag["required"]))
    help_text = command.help or ""
    if help_text.startswith(REFUSED):
        return Judgement(*facts, "refused", help_text.splitlines()[0].removeprefix(REFUSED))
    if any(flag["name"] == name for name, _, _ in GLOBAL):
        return Judgement(*facts, "works", "")
    option = next((found for found in command.params if flag["name"] in found.opts), None)
    if not isinstance(option, click.Option):
        raise LookupError(f"{command.name} has no {flag['name']}")
    missing = set(flag["aliases"]) - set(option.opts)
    if missing:
        raise LookupError(f"{command.name} {flag['name']} has no {', '.join(sorted(missing))}")
    text = option.help or ""
    if text.startswith(REFUSED):
        return Judgement(*facts, "refused", text.removeprefix(REFUSED))
    if text.startswith(ACCEPTED):
        return Judgement(*facts, "accepted", text.removeprefix(ACCEPTED).lstrip(":, "))
    return Judgement(*facts, "works", "")


def render_help() -> str:
    """Render every command's --help as Markdown."""
    lines: list[str] = []
    noun = ""
    for words, command in list_commands():
        if words.split()[0] != noun:
            noun = words.split()[0]
            lines += [f"## mlctl {noun}", "", COMMANDS[noun], ""]
        if " " in words:
            lines += [f"### mlctl {words}", ""]
        context = click.Context(command, info_name=f"mlctl {words}", terminal_width=WIDTH, max_content_width=WIDTH)
        # The epilog is the same everywhere: it stands at the top of the page once.
        command.epilog = None
        text = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
        lines += ["```", text, "```", ""]
    return "\n".join(lines).rstrip()


def render_az_table() -> str:
    """Render the table: az's commands, and which of their flags work, have no effect, are refused."""
    lines = ["| `az ml` | works | accepted, without effect | refused |", "| --- | --- | --- | --- |"]
    reasons: dict[tuple[str, str], str] = {}
    for group, verb, flags in list_az_commands():
        command = find_command(group, verb)
        assert command is not None
        judged = judge_flags(command, flags)
        is_refused = (command.help or "").startswith(REFUSED)
        cells = [
            "all of it" if is_refused and verdict == "refused" else _list_flags(judged, verdict)
            for verdict in ("works", "accepted", "refused")
        ]
        lines.append(f"| `{group} {verb}` | {' | '.join(cells)} |")
        for found in judged:
            if found.verdict != "works":
                what = f"`{group} {verb}`" if is_refused else f"`{found.flag}`"
                reasons[(what, found.verdict)] = found.reason
    lines += ["", "| What | | Why |", "| --- | --- | --- |"]
    lines += [f"| {what} | {verdict} | {reason} |" for (what, verdict), reason in sorted(reasons.items())]
    return "\n".join(lines)


def _list_flags(judged: list[Judgement], verdict: str) -> str:
    return " ".join(f"`{found.flag}`" for found in judged if found.verdict == verdict) or "–"
