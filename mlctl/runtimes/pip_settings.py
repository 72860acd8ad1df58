"""Where packages come from: pip's settings, read as pip reads them, and handed on to uv, which does not read them.

Read from pip's files and variables directly: no process is started, and pip need not be there.
"""

from __future__ import annotations

import configparser
import hashlib
import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from mlctl.entities.requirement_lines import split_option

_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")
_OF_UV = ("UV_DEFAULT_INDEX", "UV_INDEX_URL")


@dataclass(frozen=True)
class PipSettings:
    """The settings that decide which packages are found. May hold credentials: never to be shown."""

    index_url: str = ""
    extra_index_urls: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    trusted_hosts: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    no_binary: tuple[str, ...] = ()
    only_binary: tuple[str, ...] = ()
    has_no_index: bool = False
    takes_prereleases: bool = False
    cert: str = ""
    timeout_s: str = ""

    def override(self, options: Iterable[str]) -> PipSettings:
        """Return the settings with the option lines of a requirement file over them, as pip does."""
        changed = self
        for option in options:
            name, value = split_option(option) or ("", "")
            changed = _apply(changed, name.removeprefix("--"), (value,))
        return changed

    def identify(self) -> list[str]:
        """Return what tells these settings from others: without credentials, which change, and with files' content."""
        words = [self.index_url, *self.extra_index_urls, *self.find_links, *self.no_binary, *self.only_binary]
        flags = [str(self.has_no_index), str(self.takes_prereleases)]
        return [hide_credentials(word) for word in words] + flags + [_digest(name) for name in self.constraints]

    def make_variables(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return uv's variables: addresses may hold passwords, and anybody may read a process's arguments."""
        variables = {
            # pip takes the best version of all indexes.
            "UV_INDEX_STRATEGY": environ.get("UV_INDEX_STRATEGY", "unsafe-best-match"),
            "UV_DEFAULT_INDEX": "" if any(environ.get(name) for name in _OF_UV) else self.index_url,
            "UV_INDEX": " ".join([*environ.get("UV_INDEX", "").split(), *self.extra_index_urls]),
            "UV_FIND_LINKS": ",".join([*filter(None, [environ.get("UV_FIND_LINKS", "")]), *self.find_links]),
            "SSL_CERT_FILE": self.cert or environ.get("SSL_CERT_FILE") or environ.get("REQUESTS_CA_BUNDLE", ""),
            "UV_HTTP_TIMEOUT": environ.get("UV_HTTP_TIMEOUT", self.timeout_s),
        }
        return {name: value for name, value in variables.items() if value}

    def make_arguments(self) -> list[str]:
        """Return uv's arguments for what has no secrets in it."""
        several = {
            "--allow-insecure-host": self.trusted_hosts,
            "--constraint": self.constraints,
            "--no-binary": self.no_binary,
            "--only-binary": self.only_binary,
        }
        words = [word for name, values in several.items() for value in values for word in (name, value)]
        words += ["--no-index"] if self.has_no_index else []
        return words + (["--prerelease", "allow"] if self.takes_prereleases else [])


def hide_credentials(text: str) -> str:
    """Take user names, passwords and tokens out of all addresses in a text."""
    return _CREDENTIALS.sub("", text)


def read_pip_settings(environ: Mapping[str, str]) -> PipSettings:
    """Read pip's files, the less particular first, then its variables."""
    values: dict[str, dict[str, str]] = {"global": {}, "install": {}}
    for file in _list_files(environ):
        parser = configparser.RawConfigParser(strict=False)
        try:
            parser.read(file)
        except (configparser.Error, UnicodeDecodeError):
            continue
        for section, found in values.items():
            if parser.has_section(section):
                found.update({_name_key(key): value for key, value in parser.items(section)})
    variables = {_name_key(key[4:]): value for key, value in environ.items() if key.startswith("PIP_") and value}
    settings = PipSettings()
    for key, value in {**values["global"], **values["install"], **variables}.items():
        settings = _apply(settings, key, value.split())
    return settings


def _list_files(environ: Mapping[str, str]) -> list[Path]:
    """Source: pip's documentation, "Configuration files"; user settings do not count beside PIP_CONFIG_FILE."""
    named = environ.get("PIP_CONFIG_FILE", "")
    if named == os.devnull:
        return []
    folders = [Path(folder) for folder in environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":") if folder]
    files = [*(folder / "pip" / "pip.conf" for folder in reversed(folders)), Path("/etc/pip.conf")]
    home = environ.get("HOME", "")
    if home and not (named and Path(named).exists()):
        config = Path(environ.get("XDG_CONFIG_HOME") or Path(home) / ".config")
        files += [Path(home) / ".pip" / "pip.conf", config / "pip" / "pip.conf"]
    return [*files, Path(sys.prefix) / "pip.conf", *([Path(named)] if named else [])]


def _name_key(key: str) -> str:
    return key.lower().replace("_", "-")


def _apply(settings: PipSettings, name: str, values: Iterable[str]) -> PipSettings:
    several = {
        "extra-index-url": "extra_index_urls",
        "find-links": "find_links",
        "trusted-host": "trusted_hosts",
        "constraint": "constraints",
        "no-binary": "no_binary",
        "only-binary": "only_binary",
    }
    one = {"index-url": "index_url", "cert": "cert", "timeout": "timeout_s", "default-timeout": "timeout_s"}
    flags = {"no-index": "has_no_index", "pre": "takes_prereleases"}
    words = tuple(value for value in values if value)
    if name in several:
        return replace(settings, **{several[name]: (*getattr(settings, several[name]), *words)})
    if name in one and words:
        return replace(settings, **{one[name]: words[0]})
    if name in flags:
        is_on = not words or words[0].lower() in ("1", "true", "yes", "on", "y")
        return replace(settings, **{flags[name]: is_on})
    return settings


def _digest(name: str) -> str:
    try:
        return hashlib.sha256(Path(name).read_bytes()).hexdigest()
    except OSError:
        return hide_credentials(name)
