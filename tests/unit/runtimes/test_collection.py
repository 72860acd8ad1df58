"""From a deployment's data_collector to the file that its replica reads."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

from mlctl.runtimes.collection import collection_file, list_enabled, plan_collection, write_collection


def make_spec(**collector: Any) -> dict[str, Any]:
    return {"name": "blue", "endpoint_name": "fraud", "data_collector": collector}


def test_nothing_is_planned_where_nothing_is_on() -> None:
    root = Path("/data")
    assert plan_collection({"name": "blue", "endpoint_name": "fraud"}, root=root, replica="blue-1") is None
    spec = make_spec(collections={"request": {"enabled": "false"}, "response": {"enabled": False}})
    assert plan_collection(spec, root=root, replica="blue-1") is None


def test_what_is_on_is_planned_with_its_share() -> None:
    spec = make_spec(
        collections={"request": {"enabled": "true"}, "Model_Inputs": {"enabled": True}, "x": {"enabled": "false"}},
        sampling_rate=0.25,
        rolling_rate="day",
        request_logging={"capture_headers": ["x-tenant"]},
    )
    assert list_enabled(spec) == ["request", "model_inputs"]
    planned = plan_collection(spec, root=Path("/data"), replica="blue-1")
    assert planned is not None
    assert planned["source"].endswith("/workspaces/local/onlineEndpoints/fraud/deployments/blue")
    assert {key: value for key, value in planned.items() if key != "source"} == {
        "collections": {
            "request": {"enabled": True, "sampleRatePercentage": 25.0},
            "model_inputs": {"enabled": True, "sampleRatePercentage": 25.0},
        },
        "runMode": "cloud",
        "folder": "/data/fraud/blue",
        "instanceId": "blue-1",
        "rollingRate": "day",
        "captureHeaders": ["x-tenant"],
    }


def test_a_sampling_rate_of_zero_is_not_taken_for_none() -> None:
    planned = plan_collection(
        make_spec(collections={"request": {"enabled": "true"}}, sampling_rate=0), root=Path("/data"), replica="blue-1"
    )
    assert planned is not None
    assert planned["collections"]["request"]["sampleRatePercentage"] == 0


def test_the_file_is_for_this_user_only(tmp_path: Path) -> None:
    file = collection_file(tmp_path / "blue-1.failure.json", "blue-1")
    write_collection(file, {"collections": {}})
    assert json.loads(file.read_text()) == {"collections": {}}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
