"""Copies of models and code, kept under the hash of their content. Never links to the user's files."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlctl import leases
from mlctl.errors import BackendUnavailable, InvalidInput
from mlctl.registry.store import Store

SKIPPED = frozenset({"__pycache__", ".git", ".ipynb_checkpoints", ".DS_Store"})
_CHUNK = 1 << 20
# What is being written, and what is about to be removed.
DRAFT, GONE = ".new-", ".gone-"


@dataclass(frozen=True)
class Artifact:
    """A stored copy. `path` is the folder that holds it, under its own base name `name`: Azure's layout of a model."""

    hash: str
    name: str
    files: int
    size_bytes: int
    path: Path


def store_artifact(store: Store, folder: Path, source: Path) -> Artifact:
    """Copy a file or folder into `folder`, unless the same content is there already.

    InvalidInput: `source` is missing, empty or holds a dangling link. BackendUnavailable: the copy cannot be written.
    """
    if not source.exists():
        raise InvalidInput(f"{source} does not exist")
    draft: Path | None = None
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Named after its process: what a killed one leaves behind can be told from what is being written.
        draft = Path(tempfile.mkdtemp(prefix=f"{DRAFT}{os.getpid()}-", dir=folder))
        artifact = _copy_into(draft, folder, source.resolve(), source.name or source.resolve().name)
        _keep(store, draft, artifact)
    except OSError as error:
        raise BackendUnavailable(
            f"cannot copy {source} to {folder}: {error.strerror}", hint=f"df -h {folder}"
        ) from error
    finally:
        if draft is not None:
            shutil.rmtree(draft, ignore_errors=True)
    return artifact


def find_artifact(store: Store, folder: Path, digest: str) -> Artifact | None:
    """Return a stored artifact, or None."""
    row = store.row("SELECT * FROM artifacts WHERE hash = ?", (digest,))
    if row is None:
        return None
    return Artifact(digest, row["name"], row["files"], row["size_bytes"], folder / digest)


def _copy_into(draft: Path, folder: Path, source: Path, name: str) -> Artifact:
    digest, files, size_bytes = hashlib.sha256(name.encode()), 0, 0
    for path, relative in _walk(source, Path(name)):
        target = draft / relative
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        copied, content = _copy_file(path, target)
        executable = os.access(path, os.X_OK)
        target.chmod(0o500 if executable else 0o400)
        digest.update(f"\0{relative}\0{int(executable)}\0{content}".encode())
        files, size_bytes = files + 1, size_bytes + copied
    if not files:
        # Source: az's client, which refuses to upload an empty folder.
        raise InvalidInput(f"{source} is empty: there is no file in it", hint=f"ls -la {source}")
    return Artifact(digest.hexdigest(), name, files, size_bytes, folder / digest.hexdigest())


def _walk(source: Path, relative: Path) -> Iterator[tuple[Path, Path]]:
    """Yield the files of a tree in a fixed order, links followed, each with its place in the copy."""
    if not source.is_dir():
        _refuse_special(source)
        yield source, relative
        return
    for current, folders, files in os.walk(source, followlinks=True):
        here = Path(current)
        above = (source / part for part in here.relative_to(source).parents)
        if here != source and here.resolve() in {folder.resolve() for folder in above}:
            raise InvalidInput(f"{here} is a link to a folder above itself")
        folders[:] = sorted(set(folders) - SKIPPED)
        for file in sorted(set(files) - SKIPPED):
            if not (here / file).exists():
                raise InvalidInput(f"{here / file} is a link to nothing")
            _refuse_special(here / file)
            yield here / file, relative / (here / file).relative_to(source)


def _refuse_special(path: Path) -> None:
    """Refuse pipes, sockets and devices: reading one may never end."""
    if not path.is_file():
        raise InvalidInput(f"{path} is no ordinary file, and cannot be copied", hint=f"take it away: ls -l {path}")


def _copy_file(source: Path, target: Path) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    with source.open("rb") as reader, target.open("xb") as writer:
        while chunk := reader.read(_CHUNK):
            digest.update(chunk)
            writer.write(chunk)
            size += len(chunk)
        writer.flush()
        os.fsync(writer.fileno())
    return size, digest.hexdigest()


def _keep(store: Store, draft: Path, artifact: Artifact) -> None:
    """Put the copy in its place and write it down, under the registry's lock: nobody prunes it in between.

    Nor afterwards, as long as the store is open: who needs the copy is still to be written down.
    """
    with store.transaction():
        if not artifact.path.exists():
            draft.rename(artifact.path)
        store.held.enter_context(leases.hold(artifact.path))
        store.execute(
            "INSERT INTO artifacts VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (hash) DO UPDATE SET created_at = excluded.created_at",
            (artifact.hash, artifact.name, artifact.files, artifact.size_bytes, time.time()),
        )


@dataclass(frozen=True)
class StoredCopy:
    """A stored copy as the registry lists it. stored_at: when it was stored last, in epoch seconds."""

    hash: str
    name: str
    files: int
    size_bytes: int
    stored_at: float


def list_copies(store: Store, folder: Path) -> list[StoredCopy]:
    """Return every stored copy, newest first: also those that were never written down (a command was killed)."""
    rows = store.rows("SELECT hash, name, files, size_bytes, created_at FROM artifacts")
    known = [StoredCopy(*row) for row in rows]
    hashes = {copy.hash for copy in known}
    found = [_measure(path) for path in _folders(folder) if len(path.name) == 64 and path.name not in hashes]
    return sorted([*known, *found], key=lambda copy: copy.stored_at, reverse=True)


def forget_copies(store: Store, folder: Path, hashes: Sequence[str]) -> None:
    """Take copies out of the registry and out of sight; `sweep` then removes their files. Call in a transaction."""
    for digest in hashes:
        store.execute("DELETE FROM artifacts WHERE hash = ?", (digest,))
        path = folder / digest
        if path.exists():
            path.rename(folder / f"{GONE}{digest}-{time.time_ns()}")


def sweep(folder: Path) -> None:
    """Remove the files of copies that were forgotten."""
    for path in _folders(folder):
        if path.name.startswith(GONE):
            shutil.rmtree(path, ignore_errors=True)


def list_strays(folder: Path) -> list[Path]:
    """Return what killed commands left behind: drafts of processes that are gone, forgotten copies."""
    return [path for path in _folders(folder) if path.name.startswith(GONE) or _is_abandoned(path)]


def _is_abandoned(path: Path) -> bool:
    pid = path.name.removeprefix(DRAFT).partition("-")[0]
    return path.name.startswith(DRAFT) and not (pid.isdigit() and Path(f"/proc/{pid}").exists())


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def _measure(path: Path) -> StoredCopy:
    files = [file for file in path.rglob("*") if file.is_file()]
    names = [child.name for child in path.iterdir()]
    size_bytes = sum(file.stat().st_size for file in files)
    return StoredCopy(path.name, names[0] if names else "", len(files), size_bytes, path.stat().st_mtime)
