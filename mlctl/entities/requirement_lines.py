"""Lines of requirement files and of a conda file's pip section, as pip reads them. Pure; files are read by `ops`."""

from __future__ import annotations

import re
from collections.abc import Iterator

_LONG = {"-r": "--requirement", "-c": "--constraint", "-i": "--index-url", "-f": "--find-links", "-e": "--editable"}
_OPTION = re.compile(r"(?P<name>--[a-z][a-z-]*)(?:\s*=\s*|\s+|$)(?P<value>.*)|(?P<short>-[rcife])\s*(?P<rest>.*)")
_COMMENT = re.compile(r"(^|\s)#.*$")
_ARCHIVE = (".whl", ".tar.gz", ".zip", ".tar.bz2")


def split_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield what a requirement file says, each with its line number from 1; comments go, continued lines are joined."""
    begun, first = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        first = first if begun else number
        if line.endswith("\\"):
            begun += line[:-1]
            continue
        joined, begun = strip_comment(begun + line), ""
        if joined:
            yield first, joined
    if strip_comment(begun):
        yield first, strip_comment(begun)


def strip_comment(line: str) -> str:
    """Return a line without its comment and the blanks around it."""
    return _COMMENT.sub("", line).strip()


def split_option(line: str) -> tuple[str, str] | None:
    """Return an option line as its long name and value (`-r a.txt`: `--requirement`, `a.txt`); None for packages."""
    found = _OPTION.fullmatch(line)
    if found is None:
        return None
    if found["short"]:
        return _LONG[found["short"]], found["rest"].strip()
    return found["name"], found["value"].strip()


def is_path(text: str) -> bool:
    """Say whether a requirement is a file or folder of this machine rather than a name or an address."""
    if re.match(r"\.{1,2}(/|$|\[)|/", text):
        return True
    return text.endswith(_ARCHIVE) and "://" not in text and "@" not in text
