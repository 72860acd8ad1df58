"""A machine whose registry lies on a file system of its own: small, filled up, made read-only; needs root."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.acceptance.conftest import Machine, boot

SIZE = "32m"
FILLER = "filler"


@contextlib.contextmanager
def boot_on_small_disk() -> Generator[Machine]:
    """Boot a machine on a tmpfs of 32 MB, unmounted at the end whatever happens."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount file systems")
    with boot() as machine:
        machine.home.mkdir(mode=0o700)
        mounted = mount("-t", "tmpfs", "-o", f"size={SIZE},mode=700", "tmpfs", str(machine.home))
        if mounted.returncode != 0:
            pytest.skip(f"this machine lets nobody mount: {mounted.stderr}")
        try:
            yield machine
            make_writable(machine)
            free_disk(machine)
            machine.stop()
        finally:
            for pid in machine.processes():
                os.kill(pid, signal.SIGKILL)
            while machine.home.is_mount():
                subprocess.run(["umount", "-l", str(machine.home)], check=True)


def mount(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["mount", *words], capture_output=True, text=True, check=False)


def fill_disk(machine: Machine, *, leave_bytes: int = 0) -> None:
    """Take all room that is left, or all but some."""
    with (machine.home / FILLER).open("ab", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            with contextlib.suppress(OSError):
                while free_bytes(machine) >= leave_bytes + size or size == 1:
                    if size == 1 and leave_bytes:
                        break
                    file.write(bytes(size))


def free_bytes(machine: Machine) -> int:
    found = os.statvfs(machine.home)
    return found.f_bavail * found.f_frsize


def free_disk(machine: Machine) -> None:
    (machine.home / FILLER).unlink(missing_ok=True)


def is_full(machine: Machine) -> bool:
    """Say whether not one page more can be written."""
    probe = machine.home / "probe"
    try:
        probe.write_bytes(bytes(4096))
    except OSError as error:
        return error.errno == errno.ENOSPC
    finally:
        probe.unlink(missing_ok=True)
    return False


def make_read_only(machine: Machine) -> None:
    """Make the registry read-only for whatever is opened from now on.

    A file system on which files are open for writing cannot be remounted: it is mounted over itself, read-only.
    """
    assert mount("--bind", str(machine.home), str(machine.home)).returncode == 0
    assert mount("-o", "remount,ro,bind", str(machine.home)).returncode == 0


def make_writable(machine: Machine) -> None:
    """Take back what `make_read_only` did."""
    if os.statvfs(machine.home).f_flag & os.ST_RDONLY:
        subprocess.run(["umount", "-l", str(machine.home)], check=True)


def list_leftovers(home: Path) -> list[str]:
    """Return what looks like half of something: drafts of copies, of Envoy's files, of keys."""
    drafts = [path for path in home.rglob("*") if path.name.startswith((".new-", ".gone-"))]
    drafts += [path for path in (home / "gateway").rglob(".*") if path.is_file()]
    return [str(path.relative_to(home)) for path in drafts]
