"""What Envoy itself answers when no replica does: Azure's status codes, JSON, words a caller can act on."""

from __future__ import annotations

from typing import Any

Resource = dict[str, Any]

# For what has no wording of its own below: the text that the route or Envoy gives.
ERROR_BODY: Resource = {
    "json_format": {"error": {"code": "%RESPONSE_CODE%", "message": "%LOCAL_REPLY_BODY%"}},
    "content_type": "application/json",
}


def _on_flags(*flags: str) -> Resource:
    return {"response_flag_filter": {"flags": list(flags)}}


def _on_status(status: int) -> Resource:
    value = {"default_value": status, "runtime_key": f"mlctl.reply.{status}"}
    return {"status_code_filter": {"comparison": {"op": "EQ", "value": value}}}


def _both(*filters: Resource) -> Resource:
    return {"and_filter": {"filters": list(filters)}}


def _mapper(when: Resource, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> Resource:
    added = [{"header": {"key": key, "value": value}} for key, value in (headers or {}).items()]
    return {
        "filter": when,
        "status_code": status,
        "body_format_override": {
            "json_format": {"error": {"code": code, "message": message}},
            "content_type": "application/json",
        },
        **({"headers_to_add": added} if added else {}),
    }


_RETRY = {"retry-after": "1"}

# The first that fits answers.
MAPPERS: list[Resource] = [
    _mapper(
        _on_status(401),
        401,
        "Unauthorized",
        "the credential is missing, wrong or expired: send the header Authorization: Bearer KEY",
        {"www-authenticate": "Bearer"},
    ),
    _mapper(
        _on_flags("UO"),
        429,
        "TooManyRequests",
        "too many requests are in flight (2 x max_concurrent_requests_per_instance x instance_count): try again",
        _RETRY | {"ms-azureml-model-error-reason": "too_many_pending_request"},
    ),
    _mapper(
        _both(_on_status(403), {"header_filter": {"header": {"name": "upgrade", "present_match": True}}}),
        400,
        "BadRequest",
        "the connection cannot be upgraded: send plain HTTP requests",
    ),
    _mapper(_on_status(403), 403, "Forbidden", "the token is genuine, but not for this endpoint"),
    _mapper(_on_status(404), 404, "NotFound", "%LOCAL_REPLY_BODY%"),
    _mapper(_on_status(413), 413, "PayloadTooLarge", "%LOCAL_REPLY_BODY%"),
    _mapper(_on_flags("UT"), 408, "RequestTimeout", "the model took longer than request_timeout_ms"),
    _mapper(
        _on_flags("UH", "NC"),
        503,
        "ModelNotReady",
        "no replica is ready: it is starting, or it failed",
        _RETRY | {"ms-azureml-model-error-reason": "model_not_ready"},
    ),
    _mapper(
        _on_flags("UF", "UC", "UR", "LR", "URX", "UPE"),
        503,
        "ReplicaLost",
        "the replica ended before it answered",
        _RETRY,
    ),
    _mapper(_on_flags("OM"), 503, "Overloaded", "the gateway has too many connections: try again", _RETRY),
    _mapper(_on_status(400), 400, "BadRequest", "this is not a valid HTTP request, or its path is refused"),
    _mapper(_on_status(408), 408, "RequestTimeout", "the request took too long to arrive"),
    _mapper(_on_status(426), 426, "UpgradeRequired", "HTTP/1.0 is not supported: send HTTP/1.1"),
    _mapper(_on_status(431), 431, "HeadersTooLarge", "the headers are larger than 60 KiB, or more than 100"),
]
