"""Models, environments and the copies the registry keeps of them, by the command line."""

import json
import os
import socket
from pathlib import Path

import pytest

from tests.acceptance.conftest import Machine

VERSION = ("-n", "fraud-model", "-v", "1")


@pytest.fixture
def models(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine with versions 1 and 2 of a model."""
    monkeypatch.chdir(machine.work)
    for version in ("one", "two"):
        folder = machine.work / version
        folder.mkdir()
        (folder / "model.pkl").write_text(version)
        machine.ok("model", "create", "-n", "fraud-model", "-p", f"./{version}", "--tags", f"from={version}", "bare")
    return machine


def test_create_takes_all_of_azs_flags(models: Machine):
    flags = ("--stage", "dev", "--type", "mlflow_model", "--description", "d", "--datastore", "s", "-d", "azureml:t:1")
    made = models.ok("model", "create", "-n", "full", "-v", "7", "-p", "./one", *flags).json
    assert {key: made[key] for key in ("version", "stage", "type", "description")} == {
        **{"version": "7", "stage": "dev", "type": "mlflow_model", "description": "d"}
    }
    assert models.ok("model", "show", "-n", "fraud-model", "-v", "1").json["tags"] == {"from": "one", "bare": ""}
    assert models.ok("model", "create", "-n", "quiet", "-p", "./one", "--no-wait").out == ""


def test_the_same_version_may_be_created_again_by_its_number(models: Machine):
    assert models.ok("model", "create", *VERSION, "-p", "./one").json["version"] == "1"
    refused = models.run("model", "create", *VERSION, "-p", "./two")
    assert (refused.code, "never changes" in refused.err) == (1, True)


def test_an_archived_version_vanishes_but_can_be_named(models: Machine):
    assert models.ok("model", "archive", "-n", "fraud-model", "-v", "2").out == ""
    assert [row["version"] for row in models.ok("model", "list", "-n", "fraud-model").json] == ["1"]
    assert models.ok("model", "list").json[0]["latest version"] == "1"
    assert models.ok("model", "show", "-n", "fraud-model", "-l", "latest").json["version"] == "1"
    assert models.ok("model", "show", "-n", "fraud-model", "-v", "2").json["version"] == "2"
    archived = models.ok("model", "list", "-n", "fraud-model", "--archived-only").json
    assert [row["version"] for row in archived] == ["2"]
    assert len(models.ok("model", "list", "-n", "fraud-model", "--include-archived").json) == 2
    both = models.run("model", "list", "--archived-only", "--include-archived")
    assert (both.code, "exclude each other" in both.err) == (1, True)
    models.ok("model", "restore", "-n", "fraud-model", "-v", "2")
    assert models.ok("model", "show", "-n", "fraud-model", "-l", "latest").json["version"] == "2"


def test_without_a_version_all_of_them_are_archived(models: Machine):
    models.ok("model", "archive", "-n", "fraud-model")
    assert models.ok("model", "list").json == []
    gone = models.run("model", "show", "-n", "fraud-model", "-l", "latest")
    assert (gone.code, "mlctl model restore -n fraud-model" in gone.err) == (3, True)
    assert models.run("model", "archive", "-n", "nobody").code == 3
    models.ok("model", "restore", "-n", "fraud-model")
    assert len(models.ok("model", "list", "-n", "fraud-model").json) == 2


def test_a_deployment_finds_an_archived_model_by_its_version_only(models: Machine):
    models.ok("model", "archive", "-n", "fraud-model", "-v", "2")
    models.create_endpoint()
    models.deploy("blue", "--all-traffic", model="azureml:fraud-model:2")
    models.deploy("green", model="azureml:fraud-model@latest")
    show = ("deployment", "show", "-e", "fraud-endpoint", "--query", "model", "-o", "tsv", "-n")
    assert models.ok(*show, "blue").out.endswith("/models/fraud-model/versions/2\n")
    assert models.ok(*show, "green").out.endswith("/models/fraud-model/versions/1\n")


def test_what_deployments_describe_inline_is_not_listed(models: Machine):
    models.create_endpoint()
    models.deploy("blue", model={"path": "./one"})
    assert [row["name"] for row in models.ok("model", "list").json] == ["fraud-model"]
    assert models.ok("environment", "list").json == []


def test_update_changes_words_and_refuses_content(models: Machine):
    set_ = ("--set", "tags.team=risk", "description=better", "--stage", "production", "--remove", "tags.bare")
    changed = models.ok("model", "update", *VERSION, *set_).json
    assert changed["tags"] == {"from": "one", "team": "risk"}
    assert (changed["description"], changed["stage"]) == ("better", "production")
    context = changed["creation_context"]
    assert context["last_modified_at"] > context["created_at"]
    for content in ("type=mlflow_model", "path=./two", "version=9", "flavors={}"):
        refused = models.run("model", "update", *VERSION, "--set", content)
        assert (refused.code, "keeps its content" in refused.err) == (1, True), content
    assert models.run("model", "update", "-n", "fraud-model").code == 1
    assert models.run("model", "update", "-n", "fraud-model", "-v", "9", "--stage", "x").code == 3
    assert [row["version"] for row in models.ok("model", "list", "-n", "fraud-model", "-s", "production").json] == ["1"]
    assert len(models.ok("model", "list", "-n", "fraud-model", "-r", "1").json) == 1


def test_download_brings_the_files_back_under_the_models_name(models: Machine):
    for _ in range(2):
        assert models.ok("model", "download", *VERSION, "-p", "out").out == ""
    copy = models.work / "out" / "fraud-model" / "one" / "model.pkl"
    assert copy.read_text() == "one"
    copy.write_text("mine now")
    assert models.run("model", "download", "-n", "fraud-model", "-v", "9").code == 3


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("model", "package", *VERSION, "-f", "p.yml"), "mlctl builds none"),
        (("model", "list", "--registry-name", "shared"), "no Azure ML registry on this machine"),
        (("environment", "create", "-n", "e", "--registry-name", "shared"), "no Azure ML registry on this machine"),
        (
            ("model", "share", *VERSION, *("--share-with-name", "m", "--share-with-version", "1"), "--registry-name=r"),
            "cannot be shared",
        ),
    ],
)
def test_what_one_machine_cannot_do_is_refused_with_the_reason(models: Machine, words: tuple[str, ...], reason: str):
    refused = models.run(*words)
    assert (refused.code, refused.out) == (1, "")
    assert reason in refused.err


def test_an_environment_keeps_its_build_folder(machine: Machine, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(machine.work)
    context = machine.work / "context"
    context.mkdir()
    (context / "Dockerfile.gpu").write_text("FROM scratch")
    create = ("environment", "create", "-n", "infer", "-b", "context", "-d", "Dockerfile.gpu", "--os-type", "linux")
    made = machine.ok(*create).json
    assert made["build"] == {"path": "context", "dockerfile_path": "Dockerfile.gpu"}
    assert "path" not in made
    assert machine.ok(*create).json["version"] == "1"
    (context / "Dockerfile.gpu").write_text("FROM other")
    assert machine.ok(*create).json["version"] == "2"
    both = machine.run("environment", "create", "-n", "infer", "-b", "context", "-d", "Dockerfile.gpu", "-i", "x")
    assert (both.code, "give --image or --build-context, not both" in both.err) == (1, True)
    assert "there is no Dockerfile in" in machine.run("environment", "create", "-n", "x", "-b", "context").err
    machine.ok("environment", "update", "-n", "infer", "-v", "1", "--set", "description=old")
    machine.ok("environment", "archive", "-n", "infer", "-l", "latest")
    assert machine.ok("environment", "list").json[0]["latest version"] == "1"


def test_equal_content_makes_no_new_version_of_an_environment(machine: Machine):
    create = ("environment", "create", "-n", "infer", "-i", "python:3.11")
    assert [machine.ok(*create).json["version"] for _ in range(2)] == ["1", "1"]
    assert machine.ok(*create[:-1], "python:3.12").json["version"] == "2"


def test_prune_removes_what_nothing_needs(models: Machine):
    models.create_endpoint()
    models.deploy("blue", model={"path": "./one"})
    models.deploy(
        "red",
        code_configuration={
            "code": str(models.write_script("# other\ndef init(): ...\n\ndef run(raw_data): ...\n", "other").parent),
            "scoring_script": "score.py",
        },
    )
    folder = models.home / "artifacts"
    stored = models.ok("artifacts", "list").json
    assert {row["name"] for row in stored} == {"one", "two", "src", "other"}
    used = next(row for row in stored if row["name"] == "other")["used_by"]
    assert used == ["deployment fraud-endpoint/red"]
    models.ok("deployment", "delete", "-n", "red", "-e", "fraud-endpoint", "--yes")
    assert models.ok("artifacts", "prune", "--yes").json["kept_as_too_young"] == 1
    dry = models.ok("artifacts", "prune", "--dry-run", "--older-than", "0").json
    assert ([row["name"] for row in dry["removed"]], dry["dry_run"]) == (["other"], True)
    unsure = models.run("artifacts", "prune", "--older-than", "0")
    assert (unsure.code, "add --yes" in unsure.err) == (1, True)
    done = models.ok("artifacts", "prune", "--older-than", "0", "--yes").json
    assert done["freed_bytes"] == (models.work / "other" / "score.py").stat().st_size
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        row["hash"] for row in models.ok("artifacts", "list").json
    )
    assert models.score(azureml_model_deployment="blue").status_code == 200
    assert models.ok("artifacts", "prune", "--older-than", "0", "--yes").json["removed"] == []


def test_a_copy_that_was_never_written_down_is_pruned(models: Machine):
    lost = models.home / "artifacts" / ("0" * 64)
    (lost / "model").mkdir(parents=True)
    (lost / "model" / "m.pkl").write_text("12345")
    assert models.ok("artifacts", "prune", "--older-than", "0", "--yes").json["freed_bytes"] == 5
    assert not lost.exists()


def test_doctor_finds_and_removes_what_was_left_behind(models: Machine):
    models.create_endpoint()
    assert all(row["level"] == "ok" for row in models.ok("doctor").json if row["name"] != "disk")
    strays = [
        models.home / "artifacts" / ".new-4194305-abc",
        models.home / "artifacts" / f".new-{os.getpid()}-abc",
        models.home / "mounts" / "fraud-endpoint" / "gone",
        Path(os.environ["TMPDIR"]) / f"mlctl-{os.getuid()}-01234567",
    ]
    for path in strays:
        path.mkdir(parents=True)
    in_use = Path(os.environ["TMPDIR"]) / f"mlctl-{os.getuid()}-89abcdef"
    in_use.mkdir()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(in_use / "wake.sock"))
    listener.listen()
    for path in (strays[-1], in_use):
        os.utime(path, (0, 0))
    found = [row for row in models.ok("doctor").json if row["name"] == "leftovers"]
    assert {row["level"] for row in found} == {"warning"}
    assert {row["remedy"] for row in found} == {"mlctl doctor --clean"}
    models.ok("doctor", "--clean")
    assert in_use.exists()
    # This process is alive: it may be writing.
    assert [path.exists() for path in strays] == [False, True, False, False]
    assert [row["text"] for row in models.ok("doctor").json if row["name"] == "leftovers"] == ["none"]
    listener.close()
    assert "sockets of no registry" in models.ok("doctor").out


def test_doctor_says_when_nothing_is_served_and_when_the_address_is_taken(models: Machine):
    models.create_endpoint()
    models.ok("daemon", "stop")
    rows = {row["name"]: row for row in models.ok("doctor").json}
    assert (rows["daemon"]["level"], rows["daemon"]["remedy"]) == ("warning", "mlctl daemon start")
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", models.port))
        other.listen()
        ran = models.run("doctor")
    assert ran.code == 1
    assert {row["name"]: row["level"] for row in ran.json}["gateway"] == "error"


def test_doctor_exits_1_when_the_registry_is_damaged(machine: Machine):
    machine.home.mkdir(parents=True)
    assert machine.ok("doctor").json[0]["text"].startswith("none yet")
    (machine.home / "registry.db").write_bytes(b"no database at all, whatever it is called" * 100)
    ran = machine.run("doctor")
    assert (ran.code, ran.json[0]["level"]) == (1, "error")


def test_doctor_ends_a_replica_that_nothing_knows(served: Machine):
    from mlctl.registry.store import Store
    from tests.waiting import wait_until

    os.kill(served.pid("daemon"), 9)
    row = next(replica for replica in served.replicas() if replica.deployment == "green")
    with Store(served.home / "registry.db") as store:
        store.execute("DELETE FROM replicas WHERE id = ?", (row.id,))
    assert f"replica {row.id} that nothing knows" in served.ok("doctor").out
    served.ok("doctor", "--clean")
    wait_until(lambda: row.pid not in served.processes(), what="the orphan's end")


def test_validate_lists_every_problem_of_every_file(machine: Machine):
    good = machine.write_deployment()
    bad = machine.work / "bad.yml"
    bad.write_text("name: blue\nendpoint_name: e\ninstance_count: two\nmodel: x\ninstance_type: t\n")
    ran = machine.run("validate", good, str(bad))
    assert ran.code == 1
    first, second = ran.json
    assert first == {"file": good, "kind": "managedOnlineDeployment", "valid": True, "problems": []}
    assert [(problem["line"], problem["column"]) for problem in second["problems"]] == [(2, 16), (3, 17), (4, 8)]
    assert set(second["problems"][0]) == {"line", "column", "message", "hint"}
    assert machine.ok("validate", good).json[0]["valid"] is True
    assert machine.run("validate", str(machine.work / "nowhere.yml")).code == 1
    assert machine.run("validate").code == 2


def test_the_logs_of_an_endpoint_are_those_of_its_only_deployment(machine: Machine):
    machine.create_endpoint()
    none = machine.run("endpoint", "get-logs", "-n", "fraud-endpoint")
    assert (none.code, "no deployments" in none.err) == (1, True)
    machine.deploy("blue")
    assert machine.ok("endpoint", "get-logs", "-n", "fraud-endpoint").out
    machine.deploy("green")
    several = machine.run("endpoint", "get-logs", "-n", "fraud-endpoint")
    assert (several.code, "-d blue" in several.err) == (1, True)
    assert machine.ok("endpoint", "get-logs", "-n", "fraud-endpoint", "-d", "green").out


def test_completion_knows_the_names(served: Machine, monkeypatch: pytest.MonkeyPatch):
    def complete(words: str) -> list[str]:
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(len(words.split(" ")) - 1))
        monkeypatch.setenv("_MLCTL_COMPLETE", "complete_bash")
        return served.ok().out.split()

    assert complete("mlctl endpoint show -n ") == ["fraud-endpoint"]
    assert complete("mlctl deployment show -e fraud-endpoint -n b") == ["blue"]
    assert complete("mlctl online-deployment show -n ") == ["blue", "green"]
    assert complete("mlctl deployment list -e fr") == ["fraud-endpoint"]
    assert complete("mlctl doc") == ["doctor"]
    assert "--clean" in complete("mlctl doctor --")


def test_json_of_doctor_is_a_list_of_findings(machine: Machine):
    machine.ok("model", "list")
    assert set(json.loads(machine.ok("doctor").out)[0]) == {"name", "level", "text", "remedy"}
