"""Envoy's log: why it refused a configuration, without the keys that it quotes. Used by `publish`."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection
from pathlib import Path

_REFUSAL = re.compile(r"config update (?:rejected|failure): (.*?)(?=\n\d{4}-\d\d-\d\dT|\Z)", re.DOTALL)
# Envoy prints the whole message that breaks a rule, and the rule after it.
_BROKEN_RULE = re.compile(r"Proto constraint validation failed.*", re.DOTALL)
_QUOTED_KEY = re.compile(rb'(?<=\bkey: ")(?:[^"\\]|\\.)+(?=")')


class EnvoyLog:
    """The file that Envoy's output is appended to by whoever started it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def size(self) -> int:
        """Return its length in bytes, 0 when there is none yet."""
        try:
            return self._path.stat().st_size
        except OSError:
            return 0

    def find_refusal(self, offset: int) -> str | None:
        """Return why Envoy refused a configuration, if it did after `offset`; keys are not masked yet."""
        if self.size() <= offset:
            return None
        with contextlib.suppress(OSError), self._path.open("rb") as file:
            file.seek(offset)
            found = _REFUSAL.search(file.read().decode(errors="replace"))
            if found is not None:
                return _summarise(found[1])
        return None

    def mask(self, secrets: Collection[str]) -> None:
        """Write asterisks over keys, each byte for byte: Envoy goes on appending to this very file."""
        with contextlib.suppress(OSError), self._path.open("r+b") as file:
            content = file.read()
            for start, end in _find_secrets(content, secrets):
                file.seek(start)
                file.write(b"*" * (end - start))


def mask(text: str, secrets: Collection[str]) -> str:
    """Return the text with every secret replaced."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def _summarise(reason: str) -> str:
    rule = _BROKEN_RULE.search(reason)
    return " ".join(rule[0].split()) if rule else reason.strip().partition("\n")[0]


def _find_secrets(content: bytes, secrets: Collection[str]) -> list[tuple[int, int]]:
    spans = [match.span() for match in _QUOTED_KEY.finditer(content)]
    for secret in filter(None, secrets):
        spans += [match.span() for match in re.finditer(re.escape(secret.encode()), content)]
    return spans
