"""What is shipped: the wheel holds everything that is read at run time."""

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_wheel_holds_schemas_migrations_and_the_table_of_flags(tmp_path: Path):
    words = ["-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run([sys.executable, *words], cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"mlctl/schemas/{path.name}" for path in (ROOT / "schemas").iterdir()} <= names
    assert {"mlctl/registry/migrations/0001_initial.sql", "mlctl/cli/surface.json"} <= names
    assert not [name for name in names if name.startswith("tests/")]
