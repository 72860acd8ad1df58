"""Components: registered, looked at, changed, archived, and used by name in pipelines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import Machine, Ran

PREP: dict[str, Any] = {
    "$schema": "https://azuremlschemas.azureedge.net/latest/commandComponent.schema.json",
    "name": "prep",
    "display_name": "Prepare rows",
    "type": "command",
    "inputs": {"data": {"type": "uri_folder"}, "rate": {"type": "number", "default": 0.5}},
    "outputs": {"out": {"type": "uri_folder"}},
    "code": "./src",
    "environment": {"image": "python:3.11"},
    "command": "python prep.py --data ${{inputs.data}} --rate ${{inputs.rate}} --out ${{outputs.out}}",
}
VERSION = ("-n", "prep", "-v", "1")


@pytest.fixture
def work(machine: Machine) -> Machine:
    (machine.work / "src").mkdir()
    (machine.work / "src" / "prep.py").write_text("print('prep')")
    return machine


def create(machine: Machine, *flags: str, **changes: Any) -> Ran:
    path = machine.work / "prep.yml"
    path.write_text(json.dumps({key: value for key, value in {**PREP, **changes}.items() if value is not None}))
    return machine.run("component", "create", "-f", str(path), *flags)


def test_a_component_is_shown_as_az_shows_it(work: Machine) -> None:
    made = create(work).json
    assert {
        *("id", "name", "version", "type", "display_name", "inputs", "outputs", "code", "environment", "command"),
        *("tags", "properties", "is_deterministic", "creation_context", "resourceGroup", "environment_variables"),
    } == made.keys()
    assert (made["name"], made["version"], made["type"]) == ("prep", "1", "command")
    assert made["id"].endswith("/components/prep/versions/1")
    assert made["code"].startswith("azureml:/codes/")
    assert work.ok("component", "show", *VERSION).json == made
    assert (
        work.ok("component", "show", "-n", "prep", "--label", "latest", "--query", "version", "-o", "tsv").out == "1\n"
    )


def test_each_registration_without_a_version_makes_the_next(work: Machine) -> None:
    assert [create(work).json["version"] for _ in range(2)] == ["1", "2"]
    assert create(work, "--version", "7", "--name", "other").json["version"] == "7"
    assert [row["version"] for row in work.ok("component", "list", "-n", "prep").json] == ["2", "1"]
    listed = work.ok("component", "list").json
    assert {(row["name"], row["latest version"]) for row in listed} == {("prep", "2"), ("other", "7")}
    assert work.ok("component", "list", "--query", "[?contains(display_name,'rows')].name | [0]").json in (
        "prep",
        "other",
    )


def test_a_version_never_changes_its_content(work: Machine) -> None:
    create(work, version=3)
    assert create(work, version=3).json["version"] == "3"
    other = create(work, version=3, command="echo x")
    assert (other.code, "exists with other content" in other.err) == (1, True)
    (work.work / "src" / "prep.py").write_text("print('other')")
    assert create(work, version=3).code == 1
    fixed = work.run("component", "update", "-n", "prep", "-v", "3", "--set", "command=x")
    assert (fixed.code, "command cannot change" in fixed.err) == (1, True)
    changed = work.ok("component", "update", "-n", "prep", "-v", "3", "--set", "tags.team=risk", "description=d").json
    assert (changed["tags"], changed["description"]) == ({"team": "risk"}, "d")


def test_archived_components_are_found_by_version_only(work: Machine) -> None:
    create(work)
    create(work)
    work.ok("component", "archive", "-n", "prep", "-v", "2")
    assert work.ok("component", "show", "-n", "prep", "-l", "latest").json["version"] == "1"
    assert work.ok("component", "list", "--archived-only").json[0]["latest version"] == "2"
    work.ok("component", "restore", "-n", "prep", "-v", "2")
    assert work.ok("component", "show", "-n", "prep", "-l", "latest").json["version"] == "2"


def test_a_pipeline_keeps_the_steps_that_its_references_named(work: Machine) -> None:
    create(work)
    steps = {"a": {"component": "azureml:prep@latest", "inputs": {"data": "${{parent.inputs.data}}"}}}
    pipeline = {"type": "pipeline", "name": "pipe", "inputs": {"data": {"type": "uri_folder"}}, "jobs": steps}
    path = work.work / "pipe.yml"
    path.write_text(json.dumps(pipeline))
    made = work.ok("component", "create", "-f", str(path)).json
    create(work, command="echo later")
    assert (made["jobs"]["a"]["component"]["name"], made["jobs"]["a"]["component"]["version"]) == ("prep", "1")
    assert made["jobs"]["a"]["component"]["command"] == PREP["command"]
    updated = work.ok("component", "update", "-n", "pipe", "-v", "1", "--set", "description=d").json
    assert updated["jobs"] == made["jobs"]


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({"name": None}, 1, "the component has no name"),
        ({"code": "./gone"}, 1, "gone does not exist"),
        ({"coed": "./src"}, 1, "did you mean code?"),
        ({"environment": "azureml:gone:1"}, 3, "there is no environment azureml:gone:1"),
        ({"command": "echo ${{inputs.rte}}"}, 1, "${{inputs.rte}} names no input and no output"),
        ({"type": "sweep"}, 1, '"sweep" is not command'),
    ],
)
def test_a_component_that_cannot_run_is_refused(work: Machine, changes: dict[str, Any], code: int, said: str) -> None:
    refused = create(work, **changes)
    assert (refused.code, said in refused.err) == (code, True), refused.err
    assert work.ok("component", "list").json == []


def test_a_missing_component_is_told_with_what_there_is(work: Machine) -> None:
    create(work)
    gone = work.run("component", "show", "-n", "prep", "-v", "9")
    assert (gone.code, "prep has the versions 1" in gone.err) == (3, True)
    neither = work.run("component", "show", "-n", "prep")
    assert (neither.code, "either --version or --label" in neither.err) == (1, True)
    shared = ("--share-with-name", "p", "--share-with-version", "1", "--registry-name", "r")
    assert work.run("component", "share", *VERSION, *shared).code == 1


def test_the_code_of_a_component_is_kept(work: Machine) -> None:
    made = create(work).json
    assert work.ok("artifacts", "prune", "--yes", "--older-than", "0").json["removed"] == []
    digest = made["code"].split("/")[2]
    assert Path(work.home / "artifacts" / digest).is_dir()
