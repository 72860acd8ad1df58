"""The workspace, as far as a local registry is one: its secrets' key, and what scripts ask of it."""

from __future__ import annotations

import contextlib
from pathlib import Path
from urllib.parse import urlsplit

from mlctl.errors import InvalidInput
from mlctl.ops.documents import LOCATION, Document, workspace_id
from mlctl.ops.session import Session
from mlctl.registry import events
from mlctl.registry.credentials import reencrypt
from mlctl.registry.secrets import KEY_FILE, SecretBox


def show(session: Session, name: str | None) -> Document:
    """Return a workspace; every name is one here: it is where models and environments are looked up."""
    workspace = name or session.workspace
    return {
        "id": workspace_id(workspace, session.resource_group),
        "name": workspace,
        "location": LOCATION,
        "resource_group": session.resource_group,
        "resourceGroup": session.resource_group,
        "display_name": workspace,
        "public_network_access": "Disabled",
        "encryption_key_identifier": session.secret_box.path.as_uri(),
        "tags": {},
    }


def update(session: Session, name: str | None, *, encryption_key_identifier: str) -> Document:
    """Put every secret of the registry under the key in the user's own file, all at once or not at all."""
    path = _read_key_uri(encryption_key_identifier)
    old = session.secret_box
    with session.store.transaction():
        count = reencrypt(session.store, old, SecretBox(path, makes_key=False))
        session.store.set_meta(KEY_FILE, str(path))
        events.record(session.store, "workspace.key", f"secrets of {count} endpoints are under {path}")
    del session.secret_box
    if old.path == session.settings.secret_key and path != old.path:
        # Nothing is under it any more.
        with contextlib.suppress(OSError):
            old.path.unlink()
    return show(session, name)


def _read_key_uri(uri: str) -> Path:
    parts = urlsplit(uri)
    if parts.scheme != "file":
        raise InvalidInput(
            f"--encryption-key-identifier: {uri} is not on this machine", hint="give a file: file:/path/to/key"
        )
    path = Path(parts.path).absolute()
    if not path.is_file():
        raise InvalidInput(
            f"--encryption-key-identifier: there is no file {path}",
            hint=f"make one: head -c 48 /dev/urandom | base64 > {path}; chmod 600 {path}",
        )
    if path.stat().st_mode & 0o077:
        raise InvalidInput(f"{path} can be read by others", hint=f"chmod 600 {path}")
    return path
