"""Endpoint keys, encrypted with a key that lies beside the registry in a file of mode 0600."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlctl.errors import BackendUnavailable, InvalidInput
from mlctl.registry.store import Store

# The registry's note of the user's own key file.
KEY_FILE = "secret_key_file"
FERNET_KEY_LENGTH = 44
LEAST_KEY_BYTES = 32


def new_key() -> str:
    """Return a new endpoint key: 32 random bytes in URL-safe text."""
    return secrets.token_urlsafe(32)


def open_secret_box(store: Store, default: Path) -> SecretBox:
    """Return the box with the key that this registry's secrets are under: the user's file, else its own."""
    users = store.get_meta(KEY_FILE)
    return SecretBox(Path(users), makes_key=False) if users else SecretBox(default)


class SecretBox:
    """Encrypts small maps under the key in `path`; the registry's own is made when missing, a user's never."""

    def __init__(self, path: Path, *, makes_key: bool = True) -> None:
        # Loading cryptography costs more than most commands take.
        from cryptography.fernet import Fernet

        self.path = path
        self._fernet = Fernet(_as_fernet_key(_load_key(path, makes_key=makes_key), path))

    def encrypt(self, values: Mapping[str, Any]) -> bytes:
        """Return the ciphertext of a map."""
        return self._fernet.encrypt(json.dumps(dict(values)).encode())

    def decrypt(self, blob: bytes) -> dict[str, Any]:
        """Return the map behind a ciphertext; BackendUnavailable when the key is not the one it was made with."""
        from cryptography.fernet import InvalidToken

        try:
            return json.loads(self._fernet.decrypt(blob))
        except InvalidToken as error:
            raise BackendUnavailable(
                f"the secrets of this registry were not made with the key in {self.path}",
                hint="put the right key file back, or regenerate: mlctl endpoint regenerate-keys -n NAME",
            ) from error


def _as_fernet_key(content: bytes, path: Path) -> bytes:
    """Take a Fernet key as it is; of anything else that is long enough, a hash."""
    text = content.strip()
    if len(text) == FERNET_KEY_LENGTH:
        return text
    if len(text) < LEAST_KEY_BYTES:
        raise InvalidInput(
            f"{path} holds {len(text)} bytes, a key needs {LEAST_KEY_BYTES} at least",
            hint=f"make one: head -c 48 /dev/urandom | base64 > {path}; chmod 600 {path}",
        )
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest())


def _load_key(path: Path, *, makes_key: bool) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        if makes_key and isinstance(error, FileNotFoundError):
            return _make_key(path)
        raise BackendUnavailable(
            f"cannot read {path}, the key of this registry's secrets: {error.strerror}", hint="put the key file back"
        ) from error


def _make_key(path: Path) -> bytes:
    from cryptography.fernet import Fernet

    draft = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(Fernet.generate_key())
            file.flush()
            os.fsync(file.fileno())
        # A link fails if another process was first: both then use the one key.
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
        return path.read_bytes()
    except OSError as error:
        raise BackendUnavailable(f"cannot write {path}: {error.strerror}") from error
    finally:
        draft.unlink(missing_ok=True)
