"""Fixtures for all tests: registries in temporary folders, and the option that rewrites golden files."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlctl.registry.store import Store


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden files anew")


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> None:
    """Give SIGINT its effect back: what a shell runs in its background, and all that tests start, ignores it."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _base_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Choose pytest's folder before any test sets TMPDIR to one that is removed in its end."""
    tmp_path_factory.getbasetemp()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "registry.db") as opened:
        yield opened
