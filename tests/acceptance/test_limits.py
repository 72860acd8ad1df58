"""Limits, probes and codes as a client sees them through gateway and replica."""

from __future__ import annotations

import json
import os
import signal
import threading
import urllib.request
from collections import Counter

import requests

from tests.acceptance.conftest import Machine, free_port
from tests.waiting import wait_until

GREEN = {"azureml_model_deployment": "green"}


def score_many(machine: Machine, count: int, body: dict[str, object]) -> list[requests.Response]:
    key, answers = machine.key(), list[requests.Response]()
    threads = [
        threading.Thread(target=lambda: answers.append(machine.score(body, key=key, **GREEN))) for _ in range(count)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def limit_green(machine: Machine, **settings: int) -> None:
    machine.ok("deployment", "update", "-f", machine.write_deployment("green", request_settings=settings))


def test_what_waits_too_long_and_what_is_too_much_is_429_with_retry_after(served: Machine):
    limit_green(served, max_concurrent_requests_per_instance=1, max_queue_wait_ms=100, request_timeout_ms=10_000)
    answers = score_many(served, 6, {"sleep_s": 0.5})
    counted = Counter(answer.status_code for answer in answers)
    # At most 2 x 1 x 1 are let in; of these one runs and the other waits longer than 100 ms.
    assert counted == {200: 1, 429: 5}
    assert {answer.headers["retry-after"] for answer in answers if answer.status_code == 429} == {"1"}
    assert all("application/json" in answer.headers["content-type"] for answer in answers)


def test_a_model_slower_than_its_limit_is_408(served: Machine):
    limit_green(served, max_concurrent_requests_per_instance=10, request_timeout_ms=200)
    answer = served.score({"sleep_s": 1}, **GREEN)
    assert (answer.status_code, answer.json()["error"]["code"]) == (408, "RequestTimeout")


def test_an_exception_in_run_is_424_and_names_the_status_behind_it(served: Machine):
    limit_green(served, max_concurrent_requests_per_instance=10)
    answer = served.score({"raise": True}, **GREEN)
    assert answer.status_code == 424
    assert answer.headers["ms-azureml-model-error-statuscode"] == "500"
    assert answer.headers["azureml-model-deployment"] == "green"


def test_the_limit_of_bodies_can_be_lowered(served: Machine):
    file = served.work / "endpoint.yml"
    file.write_text('name: fraud-endpoint\nproperties: {mlctl.max_body_bytes: "many"}\n')
    refused = served.run("endpoint", "update", "-f", str(file))
    assert (refused.code, 'mlctl.max_body_bytes: "many" is not a whole number' in refused.err) == (1, True)
    file.write_text('name: fraud-endpoint\nproperties: {mlctl.max_body_bytes: "1000"}\n')
    served.ok("endpoint", "update", "-f", str(file))
    assert served.score({"x": "y" * 900}).status_code == 200
    answer = served.score({"x": "y" * 1000})
    assert (answer.status_code, "larger than 1000 bytes" in answer.text) == (413, True)
    file.write_text("name: fraud-endpoint\n")
    served.ok("endpoint", "update", "-f", str(file))


def test_a_body_above_the_limit_is_413_before_it_is_sent(served: Machine):
    headers = {"Authorization": f"Bearer {served.key()}", "Content-Length": str(101 * 1024 * 1024)}
    session = requests.Session()
    prepared = session.prepare_request(requests.Request("POST", served.uri, headers=headers))
    prepared.headers["Content-Length"] = headers["Content-Length"]
    answer = session.send(prepared, timeout=10)
    session.close()
    assert answer.status_code == 413


def test_the_request_id_is_the_gateways_and_the_clients_own_is_echoed(served: Machine):
    answer = served.score(x_request_id="mine", x_ms_client_request_id="client-1")
    assert answer.headers["x-request-id"] != "mine"
    assert answer.headers["x-ms-client-request-id"] == "client-1"


def test_a_long_id_of_the_client_is_cut_to_40_characters(served: Machine):
    answer = served.score(x_ms_client_request_id="c" * 60)
    assert answer.headers["x-ms-client-request-id"] == "c" * 40
    assert "x-ms-client-request-id" not in served.score().headers


def test_a_replica_that_hangs_is_found_by_its_probes_and_replaced(served: Machine):
    probe = {"initial_delay": 0, "period": 1, "timeout": 1, "failure_threshold": 2}
    path = served.write_deployment("green", liveness_probe=probe, readiness_probe={**probe, "failure_threshold": 1})
    served.ok("deployment", "update", "-f", path)
    victim = next(row for row in served.replicas("ready") if row.deployment == "green")
    os.kill(victim.pid or 0, signal.SIGSTOP)
    try:
        wait_until(lambda: served.score(**GREEN).status_code == 503, what="it to be taken out")
        wait_until(lambda: victim.id not in {row.id for row in served.replicas()}, what="it to be replaced")
    finally:
        wait_until(lambda: [row for row in served.replicas("ready") if row.deployment == "green"])
    assert served.score(**GREEN).status_code == 200
    kinds = [event["kind"] for event in served.ok("deployment", "events", "-n", "green", "-e", "fraud-endpoint").json]
    assert "replica.probe_failed" in kinds


def test_starting_is_503_with_retry_after(served: Machine):
    script = "import time\ndef init(): time.sleep(3)\ndef run(raw_data): return 1\n"
    served.write_script(script, folder="slow")
    code = {"code": "./slow", "scoring_script": "score.py"}
    served.ok("deployment", "create", "-f", served.write_deployment("red", code_configuration=code), "--no-wait")
    red = {"azureml_model_deployment": "red"}
    wait_until(lambda: served.score(**red).status_code == 503)
    answer = served.score(**red)
    assert answer.headers.get("retry-after") == "1" or answer.status_code == 200
    wait_until(lambda: served.score(**red).status_code == 200)
    served.ok("deployment", "delete", "-n", "red", "-e", "fraud-endpoint", "--yes")


def test_the_access_log_tells_who_came_and_events_who_changed_what(served: Machine):
    key = served.key("secondary")
    served.score(key=key, x_ms_client_request_id="of-this-test")
    log = served.home / "logs" / "access.log"

    def find() -> list[str]:
        return [line for line in log.read_text().splitlines() if "of-this-test" in line] if log.exists() else []

    wait_until(find)
    line = json.loads(find()[0])
    assert (line["credential"], line["endpoint"], line["deployment"]) == ("secondary", "fraud-endpoint", "blue")
    assert key not in log.read_text()
    rows = served.ok("deployment", "events", "-n", "blue", "-e", "fraud-endpoint").json
    assert {"deployment.create", "replica.ready"} <= {row["kind"] for row in rows}
    assert all(row["os_user"] for row in rows)


def test_prometheus_finds_metrics_where_status_says(machine: Machine):
    os.environ["MLCTL_METRICS_PORT"] = str(free_port())
    machine.create_endpoint()
    machine.deploy("blue", "--all-traffic")
    assert machine.score().status_code == 200
    address = machine.ok("daemon", "status").json["metrics"]
    with urllib.request.urlopen(address, timeout=10) as answer:
        assert 'envoy_cluster_name="fraud-endpoint/blue"' in answer.read().decode()
