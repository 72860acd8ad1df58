"""What commands cost before they do anything: heavy libraries are loaded by those who need them only."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("pydantic", "jsonschema", "requests", "docker", "cryptography", "rich", "yaml", "jmespath", "jwt")
PROBE = (
    "import sys; from mlctl.cli.main import run; code = run(sys.argv[1:]);"
    f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr); sys.exit(code)"
)


def list_heavy(home: Path, *words: str) -> tuple[int, str]:
    environ = {**os.environ, "MLCTL_HOME": str(home), "MLCTL_METRICS_PORT": "0"}
    ended = subprocess.run(
        [sys.executable, "-c", PROBE, *words], env=environ, capture_output=True, text=True, check=False
    )
    return ended.returncode, ended.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "words", [("--help",), ("endpoint", "list"), ("endpoint", "show", "-n", "x"), ("daemon", "status")]
)
def test_looking_imports_nothing_heavy(tmp_path: Path, words: tuple[str, ...]):
    code, heavy = list_heavy(tmp_path, *words)
    assert code in (0, 3)
    assert heavy == "[]"


def test_help_of_the_root_imports_no_command(tmp_path: Path):
    probe = PROBE.replace(f"in {HEAVY!r}", "in ('mlctl.cli.endpoint', 'typer')")
    environ = {**os.environ, "MLCTL_HOME": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, "-c", probe, "--help"], env=environ, capture_output=True, text=True, check=True
    )
    assert ended.stderr.splitlines()[-1] == "[]"
