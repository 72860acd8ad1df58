"""What README and docs/ name is there, and what there is to set is named in them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mlctl.cli.arguments import NOUNS
from mlctl.entities import batch_extensions, extensions, micro_batching
from mlctl.entities.batch_invocation import BatchInvocation, InvocationRetries
from scripts.reference import list_commands

ROOT = Path(__file__).parents[2]
# cli.md and az-surface.md are generated.
PAGES = (
    "README.md",
    "examples/README.md",
    "benchmarks/README.md",
    "docs/batch.md",
    "docs/scoring.md",
    "docs/metrics.md",
    "docs/pipelines.md",
)
COMMANDS = dict(list_commands())
GROUPS = {name.partition(" ")[0] for name in COMMANDS if " " in name}


def read(page: str) -> str:
    return (ROOT / page).read_text()


def list_properties(module: object) -> list[str]:
    named = [value for name, value in vars(module).items() if name.isupper() and isinstance(value, str)]
    return [value for value in named if value.startswith("mlctl.") and not value.endswith(".")]


@pytest.mark.parametrize("page", PAGES)
def test_commands_that_a_page_names_are_there(page: str) -> None:
    unknown: list[str] = []
    for noun, verb in re.findall(r"\bmlctl ([a-z][a-z-]+)(?: ([a-z][a-z-]+))?", read(page)):
        noun = NOUNS.get(noun, noun)
        if noun in GROUPS and verb and f"{noun} {verb}" not in COMMANDS:
            unknown.append(f"{noun} {verb}")
    assert unknown == []


@pytest.mark.parametrize("page", PAGES)
def test_files_that_a_page_names_are_there(page: str) -> None:
    named = re.findall(r"`((?:docs|examples|benchmarks|tests|mlctl)/[\w./-]+\w)`", read(page))
    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("name", [*list_properties(extensions), *list_properties(micro_batching)])
def test_every_property_of_a_deployment_is_told_of(name: str) -> None:
    assert f"`{name}" in read("docs/scoring.md") + read("README.md")


@pytest.mark.parametrize("name", list_properties(batch_extensions))
def test_every_property_of_a_batch_deployment_is_told_of(name: str) -> None:
    assert f"`{name}`" in read("docs/batch.md")


@pytest.mark.parametrize("name", [*BatchInvocation.list_fields(), *InvocationRetries.list_fields()])
def test_every_setting_of_a_job_is_told_of(name: str) -> None:
    assert name in read("docs/batch.md")


@pytest.mark.parametrize(
    "name", ["WORKER_COUNT", "WORKER_PRELOAD", "WORKER_TIMEOUT", "SCORING_TIMEOUT_MS", "AML_CORS_ORIGINS"]
)
def test_every_variable_that_the_server_follows_is_told_of(name: str) -> None:
    assert f"`{name}" in read("docs/scoring.md")
