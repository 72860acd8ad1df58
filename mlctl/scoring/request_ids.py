"""The three ids of a request and how they travel back: table 2.7 of the scoring contract."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import NamedTuple

from mlctl.scoring.answers import Answer, refuse

_LONGEST = 100
_REQUEST_ID_TOO_LONG = refuse(431, f"x-request-id must not exceed {_LONGEST} characters")
_OTHER_ID_TOO_LONG = refuse(431, f"x-ms-request-id and x-ms-client-request-id must not exceed {_LONGEST} characters")


_NOT_IN_CLIENT_ID = bytes(byte for byte in range(256) if not (chr(byte).isalnum() and byte < 128) and byte not in b"-_")


class RequestIds(NamedTuple):
    """The id that the log shows, the headers to send back as they go over the wire, a refusal of too long ids."""

    request_id: bytes
    headers: bytes
    refusal: Answer | None = None


# Not uuid.uuid4(): os.urandom() lets go of the interpreter lock, and with the lock goes the batch of requests that the
# loop is about to hand to run(). An instance of its own: scripts call random.seed().
_random_bits = random.Random().getrandbits


def make_id() -> bytes:
    """Make a UUID, version 4."""
    digits = b"%032x" % _random_bits(128)
    variant = b"89ab"[digits[16] & 3 : (digits[16] & 3) + 1]
    return b"%b-%b-4%b-%b%b-%b" % (digits[:8], digits[8:12], digits[13:16], variant, digits[17:20], digits[20:])


def assign_ids(headers: Mapping[bytes, bytes]) -> RequestIds:
    """Read the ids that the client sent and make up the missing ones. `headers` has lower-case names."""
    own = headers.get(b"x-request-id") or make_id()
    if len(own) > _LONGEST:
        return RequestIds(b"-", b"", _REQUEST_ID_TOO_LONG)
    service = headers.get(b"x-ms-request-id")
    client = headers.get(b"x-ms-client-request-id")
    if client:
        # As Azure's front, which lets nothing else through; it cuts to 40 characters, and so does the gateway.
        client = client.translate(None, _NOT_IN_CLIENT_ID)
    if not service and not client:
        return RequestIds(own, b"x-request-id: %b\r\nx-ms-request-id: %b\r\n" % (own, own))
    if max(len(service or b""), len(client or b"")) > _LONGEST:
        return RequestIds(own, b"x-request-id: %b\r\n" % own, _OTHER_ID_TOO_LONG)
    ids = (own, service or client, client or service)
    return RequestIds(own, b"x-request-id: %b\r\nx-ms-request-id: %b\r\nx-ms-client-request-id: %b\r\n" % ids)
