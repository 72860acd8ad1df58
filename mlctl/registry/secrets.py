"""Endpoint keys, encrypted with a key that lies beside the registry in a file of mode 0600."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlctl.errors import BackendUnavailable


def new_key() -> str:
    """Return a new endpoint key: 32 random bytes in URL-safe text."""
    return secrets.token_urlsafe(32)


class SecretBox:
    """Encrypts small maps under the key in `path`, which is made when missing."""

    def __init__(self, path: Path) -> None:
        # Loading cryptography costs more than most commands take.
        from cryptography.fernet import Fernet

        self._path = path
        self._fernet = Fernet(_load_key(path))

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
                f"the secrets of this registry were not made with the key in {self._path}",
                hint="put the right key file back, or regenerate: mlctl endpoint regenerate-keys -n NAME",
            ) from error


def _load_key(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return _make_key(path)
    except OSError as error:
        raise BackendUnavailable(f"cannot read {path}: {error.strerror}") from error


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
