"""Envoy's whole configuration for three registries, as committed text; `--update-golden` writes it anew."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlctl.gateway import envoy
from mlctl.gateway.envoy import Layout
from mlctl.planning.routes import Backend, Credential, EndpointRoutes

LAYOUT = Layout(Path("/home/user/mlctl/gateway"), Path("/run/user/1000/mlctl-12345678/envoy.sock"), "127.0.0.1", 8600)
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
}


def render(routes: dict[str, EndpointRoutes]) -> str:
    clusters = envoy.render_clusters(LAYOUT, routes)
    parts = {
        "bootstrap": envoy.render_bootstrap(LAYOUT),
        "lds": envoy.render_listeners(LAYOUT),
        "cds": [clusters[name] for name in sorted(clusters)],
        "rds": envoy.render_routes(LAYOUT, routes),
        "eds": envoy.render_endpoints(routes),
    }
    return json.dumps(parts, indent=1, sort_keys=True) + "\n"


@pytest.mark.parametrize("name", CASES)
def test_envoys_configuration_is_the_committed_one(name: str, pytestconfig: pytest.Config):
    path, rendered = FOLDER / f"{name}.json", render(CASES[name])
    if pytestconfig.getoption("--update-golden"):
        path.write_text(rendered)
    assert rendered == path.read_text(), "make golden writes the files anew: look at the difference"
