"""Envoy's whole configuration for three registries, as committed text; `--update-golden` writes it anew."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlctl.gateway import envoy
from mlctl.gateway.clusters import render_clusters, render_endpoints
from mlctl.gateway.envoy import Layout
from mlctl.gateway.listeners import render_listeners
from mlctl.gateway.route_config import render_routes
from mlctl.planning.routes import Access, Backend, Credential, EndpointRoutes, plan_batch_routes

RUN_DIR = Path("/run/user/1000/mlctl-12345678")
LAYOUT = Layout(
    Path("/home/user/mlctl/gateway"),
    RUN_DIR / "envoy.sock",
    "127.0.0.1",
    8600,
    private_socket=RUN_DIR / "gateway.sock",
    access_log=Path("/home/user/mlctl/logs/access.log"),
    metrics_port=8700,
)
FOLDER = Path(__file__).parent
KEYS = (Credential("primary", "PRIMARY-KEY"), Credential("secondary", "SECONDARY-KEY"))
BLUE = Backend("blue", ("/run/user/1000/mlctl-12345678/blue-0.sock",), 5000, 2)
GREEN = Backend("green", tuple(f"/run/user/1000/mlctl-12345678/green-{index}.sock" for index in range(2)), 10_000, 8)
SHADOW = Backend("shadow", (), 5000, 2)
CASES = {
    "empty": {},
    "one-deployment": {"fraud": EndpointRoutes("fraud", KEYS, (BLUE,), (("blue", 100),))},
    "split-and-mirror": {
        "fraud": EndpointRoutes(
            "fraud", KEYS, (BLUE, GREEN, SHADOW), (("blue", 90), ("green", 10)), mirror=("shadow", 20)
        )
    },
    "token-open-and-private": {
        "token": EndpointRoutes("token", (), (BLUE,), (("blue", 100),), access=Access.TOKEN),
        "open": EndpointRoutes("open", (), (BLUE,), (("blue", 100),), access=Access.OPEN),
        "private": EndpointRoutes("private", KEYS, (BLUE,), (("blue", 100),), is_private=True),
    },
    "batch": {"batch-endpoints/fraud": plan_batch_routes("Fraud", str(RUN_DIR / "jobs.sock"))},
}


def render(routes: dict[str, EndpointRoutes]) -> str:
    clusters = render_clusters(LAYOUT, routes)
    parts = {
        "bootstrap": envoy.render_bootstrap(LAYOUT),
        "lds": render_listeners(LAYOUT),
        "cds": [clusters[name] for name in sorted(clusters)],
        **{entrance.kind: render_routes(LAYOUT, routes, entrance) for entrance in envoy.ENTRANCES},
        "eds": render_endpoints(routes),
    }
    return json.dumps(parts, indent=1, sort_keys=True) + "\n"


@pytest.mark.parametrize("name", CASES)
def test_envoys_configuration_is_the_committed_one(name: str, pytestconfig: pytest.Config):
    path, rendered = FOLDER / f"{name}.json", render(CASES[name])
    if pytestconfig.getoption("--update-golden"):
        path.write_text(rendered)
    assert rendered == path.read_text(), "make golden writes the files anew: look at the difference"
