"""What is asked for most answers at once: nothing heavy is imported for it."""

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("pydantic", "jsonschema", "requests", "docker")
ASK = """
import sys
from mlctl.cli.main import run
code = run({words!r})
print(code, [name for name in {heavy!r} if name in sys.modules], file=sys.stderr)
"""


def ask(words: tuple[str, ...], home: Path, **environ: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-c", ASK.format(words=words, heavy=HEAVY)],
        env={"MLCTL_HOME": str(home), "MLCTL_METRICS_PORT": "0", **environ},
        capture_output=True,
        text=True,
        check=True,
    )
    return ended.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "words",
    [
        *(("--help",), ("endpoint", "list"), ("model", "list"), ("environment", "list"), ("artifacts", "list")),
        *(("batch", "list"), ("data", "list"), ("compute", "list")),
    ],
    ids=" ".join,
)
def test_nothing_heavy_is_imported(words: tuple[str, ...], tmp_path: Path):
    assert ask(words, tmp_path) == "0 []"


def test_completion_imports_nothing_heavy(tmp_path: Path):
    asked = {"COMP_WORDS": "mlctl endpoint show -n ", "COMP_CWORD": "4", "_MLCTL_COMPLETE": "complete_bash"}
    assert ask((), tmp_path, **asked) == "0 []"
