"""What the environment says, read once and passed down."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlctl.errors import BackendUnavailable, InvalidInput

FIRST_PORT, LAST_PORT = 8600, 8699
FIRST_METRICS_PORT, LAST_METRICS_PORT = 8700, 8799
# Where private endpoints are reached, in the folder of sockets.
PRIVATE_SOCKET = "gateway.sock"
# Where the gateway sends requests for batch jobs, in the same folder.
JOBS_SOCKET = "jobs.sock"


@dataclass(frozen=True)
class Settings:
    """Where the registry lies and what a new one is made with.

    gateway_port: the port a new registry gets; None: the first free one from 8600 to 8699. metrics_port: likewise
    from 8700 on, 0: no metrics.
    """

    home: Path
    gateway_host: str = "127.0.0.1"
    gateway_port: int | None = None
    metrics_port: int | None = None

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.home / "registry.db"

    @property
    def secret_key(self) -> Path:
        """The file with the key that encrypts secrets."""
        return self.home / "secret.key"

    @property
    def artifacts(self) -> Path:
        """Copies of models and code by content hash."""
        return self.home / "artifacts"

    @property
    def mounts(self) -> Path:
        """What each generation of a deployment sees: links into the artifacts, under Azure's folder names."""
        return self.home / "mounts"

    @property
    def logs(self) -> Path:
        """Logs of daemon, gateway and replicas."""
        return self.home / "logs"

    @property
    def collected_data(self) -> Path:
        """What data collectors keep: ENDPOINT/DEPLOYMENT/COLLECTION/yyyy/MM/dd/HH/REPLICA.jsonl."""
        return self.home / "modelDataCollector"

    @property
    def gateway(self) -> Path:
        """Envoy's bootstrap and xDS files."""
        return self.home / "gateway"

    @property
    def access_log(self) -> Path:
        """Who asked what of the gateway."""
        return self.logs / "access.log"

    @property
    def jobs_lock(self) -> Path:
        """Held by the running jobs service."""
        return self.home / "jobs.lock"

    @property
    def daemon_lock(self) -> Path:
        """Held by the running daemon."""
        return self.home / "daemon.lock"


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Read MLCTL_HOME, MLCTL_GATEWAY_PORT, MLCTL_METRICS_PORT; the default home is the platform's for user data."""
    home = environ.get("MLCTL_HOME")
    if not home:
        import platformdirs

        home = platformdirs.user_data_dir("mlctl")
    return Settings(
        home=Path(home).expanduser().absolute(),
        gateway_port=_read_port(environ, "MLCTL_GATEWAY_PORT", 1),
        metrics_port=_read_port(environ, "MLCTL_METRICS_PORT", 0),
    )


def _read_port(environ: Mapping[str, str], name: str, least: int) -> int | None:
    text = environ.get(name, "")
    if not text:
        return None
    if not text.isdigit() or not least <= int(text) <= 65535:
        raise InvalidInput(f'{name}: "{text}" is not a port ({least} to 65535)')
    return int(text)


def registry_label(home: Path) -> str:
    """Name a registry in eight characters: processes carry it, so that two registries never touch each other's."""
    return hashlib.sha256(str(home).encode()).hexdigest()[:8]


def choose_run_dir(home: Path, environ: Mapping[str, str]) -> Path:
    """Return a short folder for sockets, one per user and registry (a Unix socket's path has 107 bytes at most)."""
    label = registry_label(home)
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    if runtime and Path(runtime).is_dir() and os.access(runtime, os.W_OK) and len(runtime) < 50:
        return Path(runtime) / f"mlctl-{label}"
    return Path(tempfile.gettempdir()) / f"mlctl-{os.getuid()}-{label}"


def ensure_private_dir(path: Path) -> Path:
    """Make a folder that only this user can enter; refuse one that somebody else has put there."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.lstat()
    except OSError as error:
        raise BackendUnavailable(f"cannot use {path}: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise BackendUnavailable(f"{path} is not a folder of yours", hint=f"remove it, or set TMPDIR: ls -ld {path}")
    if stat.S_IMODE(found.st_mode) != 0o700:
        path.chmod(0o700)
    return path
