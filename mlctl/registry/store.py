"""The registry's SQLite file: opened, migrated, and written in immediate transactions only.

A `Store` belongs to one thread. Tables have a module each (`endpoints`, `deployments`, `replicas`, `assets`, `events`)
whose functions take the store; this one knows no table but `meta`.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

from mlctl.errors import BackendUnavailable

BUSY_TIMEOUT_MS = 30_000
# What a change takes beside its rows: drafts of Envoy's files, links, logs.
ROOM_BYTES = 1 << 20


class Store:
    """A connection to the registry. Reads see the last commit; writes go through `transaction()`.

    held: folders that must not be pruned before it is closed; what needs them is written down by then.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.held = ExitStack()
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, isolation_level=None, timeout=BUSY_TIMEOUT_MS / 1000)
        except (sqlite3.Error, OSError) as error:
            raise _translate(error, path) from error
        try:
            self._prepare()
        except (sqlite3.Error, OSError, UnicodeDecodeError) as error:
            self._connection.close()
            raise _translate(error, path) from error
        except BackendUnavailable:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA foreign_keys = ON")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._migrate()

    def _migrate(self) -> None:
        version = self._version()
        if version == len(_MIGRATIONS):
            return
        if version > len(_MIGRATIONS):
            raise BackendUnavailable(
                f"the registry at {self.path.parent} was written by a newer mlctl (schema {version}, this one knows "
                f"{len(_MIGRATIONS)})",
                hint="pip install --upgrade mlctl, or set MLCTL_HOME to another folder",
            )
        self.path.chmod(0o600)
        self._connection.execute("PRAGMA journal_mode = WAL")
        with self.transaction():
            for number in range(self._version(), len(_MIGRATIONS)):
                for statement in _statements(_MIGRATIONS[number]):
                    self._connection.execute(statement)
                self._connection.execute(f"PRAGMA user_version = {number + 1}")

    def _version(self) -> int:
        return int(self._connection.execute("PRAGMA user_version").fetchone()[0])

    @contextmanager
    def transaction(self) -> Generator[None]:
        """Write under the registry's one lock, all or nothing. Nested uses join the outer one."""
        if self._connection.in_transaction:
            yield
            return
        try:
            # A deferred BEGIN that later wants to write fails at once with "database is locked".
            self._connection.execute("BEGIN IMMEDIATE")
            yield
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            raise _translate(error, self.path) from error
        except BaseException:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def execute(self, sql: str, parameters: Sequence[Any] | dict[str, Any] = ()) -> int:
        """Run one writing statement inside a transaction; return the number of rows it changed."""
        with self.transaction():
            return self._connection.execute(sql, parameters).rowcount

    def row(self, sql: str, parameters: Sequence[Any] = ()) -> sqlite3.Row | None:
        """Return the first row of a query, or None."""
        try:
            return self._connection.execute(sql, parameters).fetchone()
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise _translate(error, self.path) from error

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """Return all rows of a query."""
        try:
            return self._connection.execute(sql, parameters).fetchall()
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise _translate(error, self.path) from error

    def require_room(self) -> None:
        """Refuse, before anything is asked for, what the daemon could not carry out for want of room on the disk."""
        folder = self.path.parent
        if shutil.disk_usage(folder).free < ROOM_BYTES:
            raise BackendUnavailable(
                f"the disk is full: less than {ROOM_BYTES >> 20} MB is free in {folder}; nothing was changed",
                hint=f"df -h {folder}; mlctl artifacts prune removes copies that nothing needs",
            )

    def get_meta(self, key: str) -> str | None:
        """Return a fact about the registry itself, or None."""
        row = self.row("SELECT value FROM meta WHERE key = ?", (key,))
        return row["value"] if row else None

    def set_meta(self, key: str, value: str) -> None:
        """Record a fact about the registry itself."""
        self.execute("INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", (key, value))

    def close(self) -> None:
        """Give the connection back, and let go of what was held."""
        self._connection.close()
        self.held.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_json(text: str) -> Any:
    """Return what a column of the registry holds as JSON."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise BackendUnavailable(
            "the registry is damaged: something in it is no JSON", hint="put back a copy of it; mlctl doctor tells more"
        ) from error


def _load_migrations() -> tuple[str, ...]:
    folder = resources.files("mlctl.registry") / "migrations"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
    return tuple(file.read_text() for file in files)


def _statements(script: str) -> list[str]:
    # executescript() would commit the open transaction.
    lines = "\n".join(line for line in script.splitlines() if not line.lstrip().startswith("--"))
    return [statement for statement in lines.split(";") if statement.strip()]


def _translate(error: Exception, path: Path) -> BackendUnavailable:
    # By its beginning: there are finer ones, as SQLITE_CORRUPT_INDEX.
    code = getattr(error, "sqlite_errorname", "")
    reason, hint = str(error), f"ls -l {path.parent}; df -h {path.parent}"
    if code.startswith("SQLITE_FULL"):
        reason = "the disk is full"
    elif code.startswith("SQLITE_IOERR_WRITE"):
        reason = "the disk is full or failing"
    elif code.startswith("SQLITE_READONLY") or (code.startswith("SQLITE_CANTOPEN") and _is_read_only(path)):
        reason, hint = "it is read-only", f"make it writable: ls -ld {path.parent}; findmnt -T {path.parent}"
    elif code.startswith("SQLITE_CANTOPEN"):
        reason = "it cannot be opened"
    elif code.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")) or isinstance(error, UnicodeDecodeError):
        reason = "it is not a registry" if code.startswith("SQLITE_NOTADB") else "it is damaged"
        hint = f"put back a copy of {path}, or set MLCTL_HOME to another folder; what runs serves on"
    return BackendUnavailable(f"cannot use the registry {path}: {reason}", hint=hint)


def _is_read_only(path: Path) -> bool:
    return path.parent.exists() and not os.access(path.parent, os.W_OK)


_MIGRATIONS = _load_migrations()
