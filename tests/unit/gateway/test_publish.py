"""Publishing while no Envoy runs."""

from pathlib import Path

import pytest

from mlctl.errors import BackendUnavailable
from mlctl.gateway.publish import Gateway
from mlctl.planning.routes import Backend, Credential, EndpointRoutes

ROUTES = {
    "fraud": EndpointRoutes(
        "fraud", (Credential("primary", "p" * 32),), (Backend("blue", ("/run/b.sock",), 5000, 2),), (("blue", 100),)
    )
}


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    return Gateway(tmp_path / "xds", tmp_path, "127.0.0.1", 8600, tmp_path / "envoy.log")


def read_all(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*.json")}


def test_prepare_writes_what_envoy_starts_with(gateway: Gateway, tmp_path: Path):
    gateway.prepare()
    assert sorted(read_all(tmp_path / "xds")) == [
        *("bootstrap.json", "cds/resources.json", "lds/resources.json", "rds-private/resources.json"),
        "rds/resources.json",
    ]


def test_prepare_leaves_the_files_of_a_running_envoy(gateway: Gateway, tmp_path: Path):
    gateway.prepare()
    with pytest.raises(BackendUnavailable):
        gateway.publish(ROUTES, timeout_s=0)
    before = read_all(tmp_path / "xds")
    gateway.prepare()
    assert read_all(tmp_path / "xds") == before


def test_without_envoy_publish_says_so_and_the_files_stay(gateway: Gateway, tmp_path: Path):
    gateway.prepare()
    with pytest.raises(BackendUnavailable) as raised:
        gateway.publish(ROUTES, timeout_s=0)
    assert raised.value.hint == "mlctl daemon status"
    assert "p" * 32 in (tmp_path / "xds/rds/resources.json").read_text()


def test_envoy_is_started_for_this_registry_alone(gateway: Gateway, tmp_path: Path):
    command = gateway.command()
    assert command[1:3] == ["-c", str(tmp_path / "xds" / "bootstrap.json")]
    assert "--disable-hot-restart" in command
    assert 1 <= int(command[command.index("--concurrency") + 1]) <= 4


def test_what_does_not_answer_is_not_ready(gateway: Gateway):
    assert not gateway.is_ready()
