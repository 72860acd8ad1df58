"""Who is let in: the filters that every request passes, and what each endpoint's routes tell them.

By default everything is refused. A route says which keys open it, or that a token for this very endpoint does.
"""

from __future__ import annotations

from typing import Any

from mlctl.gateway.envoy import (
    AUDIENCE_FILTER,
    CREDENTIAL_HEADER,
    KEY_FILTER,
    TOKEN_FILTER,
    TOKEN_REQUIREMENT,
    TYPES,
    Layout,
    Resource,
)
from mlctl.planning.routes import Access, EndpointRoutes

ISSUER = "mlctl"
_PROVIDER = "registry"
_CLAIMS = "claims"
_OFF: Resource = {"@type": f"{TYPES}/envoy.config.route.v3.FilterConfig", "disabled": True}


def access_filters(layout: Layout) -> list[Resource]:
    """Render the filters, in the order in which a request passes them: token, key, audience of the token."""
    provider = {
        "issuer": ISSUER,
        "local_jwks": {"inline_string": layout.jwks},
        "from_headers": [{"name": "Authorization", "value_prefix": "Bearer "}],
        "payload_in_metadata": _CLAIMS,
        "clock_skew_seconds": 5,
    }
    tokens: dict[str, Any] = {
        "@type": f"{TYPES}/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
        "providers": {_PROVIDER: provider},
        "requirement_map": {TOKEN_REQUIREMENT: {"provider_name": _PROVIDER}},
    }
    keys = {
        "@type": f"{TYPES}/envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuth",
        "key_sources": [{"header": "authorization"}],
    }
    audience = {"@type": f"{TYPES}/envoy.extensions.filters.http.rbac.v3.RBAC"}
    named = [(TOKEN_FILTER, tokens)] if layout.jwks else []
    named += [(KEY_FILTER, keys), (AUDIENCE_FILTER, audience)]
    return [{"name": name, "typed_config": config} for name, config in named]


def let_in_rules(endpoint: EndpointRoutes) -> Resource:
    """Render what an endpoint's routes add: which filter asks for what, and who is named in the access log."""
    match endpoint.access:
        case Access.KEY:
            return {"typed_per_filter_config": {KEY_FILTER: _keys(endpoint)}}
        case Access.TOKEN:
            rules = {KEY_FILTER: _OFF, TOKEN_FILTER: _token(), AUDIENCE_FILTER: _audience(endpoint.endpoint)}
            return {"typed_per_filter_config": rules, "request_headers_to_add": [_named("token")]}
        case Access.OPEN:
            return {
                "typed_per_filter_config": {KEY_FILTER: _OFF},
                "request_headers_to_add": [_named("none")],
                # Nobody asked for it: the model is not to see it either.
                "request_headers_to_remove": ["authorization"],
            }


def _keys(endpoint: EndpointRoutes) -> Resource:
    return {
        "@type": f"{TYPES}/envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuthPerRoute",
        "credentials": [{"key": found.value, "client": found.name} for found in endpoint.credentials],
        "key_sources": [{"header": "authorization"}],
        # Without this, here, the key would reach the replica, and a client could forge the header.
        "forwarding": {"header": CREDENTIAL_HEADER, "hide_credentials": True},
    }


def _token() -> Resource:
    return {
        "@type": f"{TYPES}/envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig",
        "requirement_name": TOKEN_REQUIREMENT,
    }


def _audience(endpoint: str) -> Resource:
    """Answer 403 to a genuine token of another endpoint."""
    claim = {
        "filter": TOKEN_FILTER,
        "path": [{"key": _CLAIMS}, {"key": "aud"}],
        "value": {"string_match": {"exact": endpoint}},
    }
    policy = {"permissions": [{"any": True}], "principals": [{"metadata": claim}]}
    return {
        "@type": f"{TYPES}/envoy.extensions.filters.http.rbac.v3.RBACPerRoute",
        "rbac": {"rules": {"action": "ALLOW", "policies": {"audience": policy}}},
    }


def _named(name: str) -> Resource:
    header = {"key": CREDENTIAL_HEADER, "value": name}
    return {"header": header, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
