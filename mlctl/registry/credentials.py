"""What opens an endpoint: two keys with the day each was made, or signed tokens that expire."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mlctl.registry.secrets import SecretBox, new_key
from mlctl.registry.store import Store

KEY_NAMES = ("primary", "secondary")
TOKEN_LIFETIME_S = 2 * 3600
# Clients are asked to fetch the next token when half of this one's life is over.
REFRESH_AFTER_S = TOKEN_LIFETIME_S // 2
ISSUER = "mlctl"
ALGORITHM = "ES256"
_SIGNING_KEY = "signing_key"


@dataclass(frozen=True)
class EndpointKeys:
    """An endpoint's keys by name, and when each was made, in epoch seconds."""

    values: Mapping[str, str] = field(repr=False)
    created_at: Mapping[str, float]

    def replace_key(self, name: str) -> EndpointKeys:
        """Return the keys with one of them made anew."""
        return replace(
            self,
            values={**self.values, name: new_key()},
            created_at={**self.created_at, name: time.time()},
        )

    def encrypt(self, box: SecretBox) -> bytes:
        """Return the ciphertext that the registry keeps."""
        return box.encrypt({"values": dict(self.values), "created_at": dict(self.created_at)})


def make_keys() -> EndpointKeys:
    """Make both keys of a new endpoint."""
    now = time.time()
    return EndpointKeys({name: new_key() for name in KEY_NAMES}, dict.fromkeys(KEY_NAMES, now))


def read_keys(box: SecretBox, blob: bytes) -> EndpointKeys:
    """Return the keys behind a ciphertext."""
    found = box.decrypt(blob)
    return EndpointKeys(found["values"], found["created_at"])


@dataclass(frozen=True)
class Token:
    """A signed token for one endpoint; times in epoch seconds."""

    value: str = field(repr=False)
    expires_at: int
    refresh_after: int


class TokenSigner:
    """Signs tokens with the registry's own key, which is made when it is first needed and kept encrypted."""

    def __init__(self, store: Store, box: SecretBox) -> None:
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        pem = _load_signing_key(store, box)
        self._key: Any = load_pem_private_key(pem, password=None)

    def sign(self, endpoint: str, *, now: float) -> Token:
        """Sign a token that opens `endpoint` from now on."""
        import jwt

        issued = int(now)
        claims = {"iss": ISSUER, "aud": endpoint, "iat": issued, "exp": issued + TOKEN_LIFETIME_S}
        value = jwt.encode(claims, self._key, algorithm=ALGORITHM, headers={"kid": ISSUER})
        return Token(value, issued + TOKEN_LIFETIME_S, issued + REFRESH_AFTER_S)

    def public_keys(self) -> dict[str, Any]:
        """Return the JSON Web Key Set that tokens are checked with; it holds nothing secret."""
        from jwt.algorithms import ECAlgorithm

        key: dict[str, Any] = ECAlgorithm(ECAlgorithm.SHA256).to_jwk(self._key.public_key(), as_dict=True)
        return {"keys": [{**key, "kid": ISSUER, "alg": ALGORITHM, "use": "sig"}]}


def _load_signing_key(store: Store, box: SecretBox) -> bytes:
    with store.transaction():
        kept = store.get_meta(_SIGNING_KEY)
        if kept is None:
            kept = base64.b64encode(box.encrypt({"pem": _make_signing_key()})).decode()
            store.set_meta(_SIGNING_KEY, kept)
    return box.decrypt(base64.b64decode(kept))["pem"].encode()


def _make_signing_key() -> str:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def reencrypt(store: Store, old: SecretBox, new: SecretBox) -> int:
    """Put every secret of the registry under another key, all or none; return how many endpoints there are."""
    with store.transaction():
        rows = store.rows("SELECT name, credentials, accepted_credentials FROM endpoints")
        for row in rows:
            accepted = row["accepted_credentials"]
            store.execute(
                "UPDATE endpoints SET credentials = ?, accepted_credentials = ? WHERE name = ?",
                (
                    new.encrypt(old.decrypt(row["credentials"])),
                    new.encrypt(old.decrypt(accepted)) if accepted else None,
                    row["name"],
                ),
            )
        kept = store.get_meta(_SIGNING_KEY)
        if kept is not None:
            moved = new.encrypt(old.decrypt(base64.b64decode(kept)))
            store.set_meta(_SIGNING_KEY, base64.b64encode(moved).decode())
    return len(rows)
