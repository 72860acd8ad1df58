"""Turns a command line as az accepts it into one that Typer accepts. Called by `main` before Typer sees anything.

az's parser takes unique prefixes of flags, `--set` with several tokens, three-state flags, and its global arguments
anywhere. What az accepts is read from `surface.json`; mlctl's own flags are asked only when no flag of az fits.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources

from mlctl.errors import UsageError

NOUNS = {"online-endpoint": "endpoint", "online-deployment": "deployment", "batch-endpoint": "batch"}
FORMATS = ("json", "jsonc", "yaml", "yamlc", "table", "tsv", "none")
MANY_TOKENS = frozenset({"set-expr", "add-expr", "remove-expr", "kv-list"})
NO_VALUE = frozenset({"flag", "bool3"})

# Name, aliases, kind: as in surface.json.
Flag = tuple[str, Sequence[str], str]

GLOBAL: tuple[Flag, ...] = (
    ("--output", ("-o",), "string"),
    ("--query", (), "string"),
    ("--subscription", (), "string"),
    ("--resource-group", ("-g",), "string"),
    ("--workspace-name", ("-w",), "string"),
    ("--only-show-errors", (), "flag"),
    ("--verbose", (), "flag"),
    ("--debug", (), "flag"),
    ("--acquire-policy-token", (), "flag"),
    ("--change-reference", (), "string"),
    ("--help", ("-h",), "flag"),
)
OWN: Mapping[str, tuple[Flag, ...]] = {
    "endpoint": (("--timeout", (), "string"), ("--lines", ("-l",), "int"), ("--deployment-name", ("-d",), "string")),
    "deployment": (
        ("--timeout", (), "string"),
        ("--lines", ("-l",), "int"),
        ("--follow", (), "flag"),
        ("--request-file", ("-r",), "path"),
        ("--junit", (), "path"),
        ("--seconds", (), "string"),
    ),
    "batch": (
        *(("--name", ("-n",), "string"), ("--deployment-name", ("-d",), "string"), ("--input", (), "string")),
        *(("--input-type", (), "string"), ("--file", ("-f",), "path"), ("--set", (), "set-expr")),
        *(("--output-path", (), "string"), ("--instance-count", ("-c",), "int"), ("--job-name", (), "string")),
        *(("--mini-batch-size", ("-m",), "int"), ("--experiment-name", (), "string")),
        *(
            ("--from-deployment", (), "string"),
            ("--input-key", (), "string"),
            ("--rows", (), "flag"),
            ("--output-format", (), "string"),
        ),
        *(("--header", (), "flag"), ("--no-header", (), "flag"), ("--with-input", (), "flag")),
        *(("--no-input", (), "flag"), ("--stream", (), "flag"), ("--fail-on-failed-items", (), "flag")),
        ("--changed", (), "flag"),
    ),
    "job": (
        *(("--name", ("-n",), "string"), ("--web", ("-e",), "flag"), ("--timeout", (), "string")),
        *(("--max-results", ("-r",), "int"), ("--all-results", (), "flag"), ("--archived-only", (), "flag")),
        *(("--include-archived", (), "flag"), ("--output-name", (), "string")),
        *(("--all", (), "flag"), ("--file", ("-f",), "path"), ("--set", (), "set-expr")),
        *(("--stream", ("-s",), "flag"), ("--save-as", ("-a",), "path"), ("--skip-validation", (), "flag")),
    ),
    # Of az's reference the examples need two commands: the others take what those of models and environments take.
    "component": (
        *(("--name", ("-n",), "string"), ("--version", ("-v",), "string"), ("--label", ("-l",), "string")),
        *(("--set", (), "set-expr"), ("--add", (), "add-expr"), ("--remove", (), "remove-expr")),
        *(("--force-string", (), "flag"), ("--archived-only", (), "flag"), ("--include-archived", (), "flag")),
        *(("--max-results", ("-r",), "int"), ("--registry-name", (), "string")),
        *(("--share-with-name", (), "string"), ("--share-with-version", (), "string")),
    ),
    "job list": (("--parent-job-name", ("-p",), "string"),),
    "job download": (("--download-path", ("-p",), "path"),),
    "daemon": (("--lines", ("-l",), "int"),),
    "artifacts": (("--yes", ("-y",), "flag"), ("--dry-run", (), "flag"), ("--older-than", (), "string")),
    "validate": (("--kind", (), "string"), ("--azure", (), "flag")),
    "doctor": (("--clean", (), "flag"),),
}


@dataclass(frozen=True)
class Invocation:
    """A command line taken apart.

    words: what Typer gets. options: the global arguments by name without dashes. operations: `set`, `add`, `remove`
    with their tokens, in the order given (Azure CLI's generic update applies them in that order).
    """

    words: tuple[str, ...]
    options: Mapping[str, str] = field(default_factory=dict[str, str])
    operations: tuple[tuple[str, tuple[str, ...]], ...] = ()


def normalize(argv: Sequence[str]) -> Invocation:
    """Rewrite a command line; UsageError for an ambiguous prefix or a flag that lacks its value."""
    command, rest = _split_command(argv)
    reader = _Reader(list(rest), *_known_flags(command))
    reader.read()
    words = [*command, *reader.words]
    options = reader.options
    if "help" in options:
        words.append("--help")
    _check_output(options)
    return Invocation(tuple(words), options, tuple(reader.operations))


def _split_command(argv: Sequence[str]) -> tuple[list[str], Sequence[str]]:
    """Take noun and verb from the front; `az ml`'s own nouns are turned into mlctl's."""
    command: list[str] = []
    rest = list(argv)
    while rest and len(command) < 2 and not rest[0].startswith("-"):
        word = rest.pop(0)
        command.append(NOUNS.get(word, word) if not command else word)
    return command, rest


def _known_flags(command: Sequence[str]) -> tuple[list[Flag], list[Flag]]:
    """Return az's flags of a command, and those that mlctl adds to them."""
    noun, verb = [*command, "", ""][:2]
    text = (resources.files("mlctl.cli") / "surface.json").read_text() if verb else "{}"
    surface: dict[str, dict[str, list[Flag]]] = json.loads(text)
    group = {value: key for key, value in NOUNS.items()}.get(noun, noun)
    known = [*surface.get(group, {}).get(verb, []), *GLOBAL]
    names = {flag[0] for flag in known}
    own = [flag for flag in (*OWN.get(noun, ()), *OWN.get(f"{noun} {verb}", ())) if flag[0] not in names]
    return known, own


class _Reader:
    def __init__(self, tokens: list[str], flags: Sequence[Flag], own: Sequence[Flag]) -> None:
        self._tokens = tokens
        self._flags = flags
        self._own = own
        self.words: list[str] = []
        self.options: dict[str, str] = {}
        self.operations: list[tuple[str, tuple[str, ...]]] = []

    def read(self) -> None:
        while self._tokens:
            token = self._tokens.pop(0)
            if token == "--" or not token.startswith("-") or len(token) == 1:
                self.words.append(token)
            else:
                self._read_flag(token)

    def _read_flag(self, token: str) -> None:
        text, separator, value = token.partition("=") if token.startswith("--") else (token, "", "")
        flag = self._find(text)
        if flag is None and not token.startswith("--") and len(token) > 2:
            # -ovalue, as argparse reads it.
            flag, separator, value = self._find(token[:2]), "=", token[2:].removeprefix("=")
        if flag is None:
            self.words.append(token)
            return
        name, _, kind = flag
        values = self._values(flag, value if separator else None)
        if any(name == known for known, _, _ in GLOBAL):
            self.options[name.lstrip("-")] = values[0] if values else "true"
        elif kind in ("set-expr", "add-expr", "remove-expr"):
            self.operations.append((name.lstrip("-"), tuple(values)))
        elif kind == "flag":
            self.words.append(name)
        else:
            for one in values:
                self.words += [name, one]

    def _find(self, text: str) -> Flag | None:
        for flag in (*self._flags, *self._own):
            if text == flag[0] or text in flag[1]:
                return flag
        if not text.startswith("--"):
            return None
        for candidates in (self._flags, self._own):
            found = [flag for flag in candidates if flag[0].startswith(text)]
            if len(found) > 1:
                names = ", ".join(sorted(flag[0] for flag in found))
                raise UsageError(f"ambiguous option: {text} could match {names}")
            if found:
                return found[0]
        return None

    def _values(self, flag: Flag, value: str | None) -> list[str]:
        name, _, kind = flag
        if kind == "flag":
            return []
        if kind == "bool3":
            return [self._three_state(value)]
        if kind in MANY_TOKENS:
            found = [] if value is None else [value]
            while self._tokens and not _is_flag(self._tokens[0]):
                found.append(self._tokens.pop(0))
            if not found:
                raise UsageError(f"argument {name}: expected at least one argument")
            return found
        if value is not None:
            return [value]
        if not self._tokens or (_is_flag(self._tokens[0]) and self._find(self._tokens[0].partition("=")[0])):
            raise UsageError(f"argument {name}: expected one argument")
        return [self._tokens.pop(0)]

    def _three_state(self, value: str | None) -> str:
        if value is None and self._tokens and self._tokens[0].lower() in ("true", "false"):
            value = self._tokens.pop(0)
        return "false" if value is not None and value.lower() == "false" else "true"


def _is_flag(token: str) -> bool:
    return len(token) > 1 and token.startswith("-") and not token[1].isdigit()


def _check_output(options: Mapping[str, str]) -> None:
    output = options.get("output", "json").lower()
    if output not in FORMATS:
        raise UsageError(
            f"argument --output/-o: invalid choice: '{options['output']}' (choose from {', '.join(FORMATS)})"
        )
