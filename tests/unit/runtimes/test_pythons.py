"""Which interpreter a version gets, and what the running one has."""

import sys
from pathlib import Path

import pytest

from mlctl.runtimes import pythons
from mlctl.runtimes.pythons import choose_python, is_installed_here, is_new_enough, list_candidates, own_python, suits

OWN = f"{sys.version_info[0]}.{sys.version_info[1]}"


def make_python(folder: Path, version: str, *, works: bool = True) -> Path:
    """Make something that says it is a Python of that version."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"python{version.rpartition('.')[0]}"
    path.write_text(f"#!/bin/sh\necho {version}\n" if works else "#!/bin/sh\nexit 127\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("specifier", "version", "expected"),
    [
        ("", "3.11.7", True),
        ("==3.11.*", "3.11.7", True),
        ("==3.11.2", "3.11.7", True),
        ("==3.11.2.*", "3.11.7", True),
        ("==3.1.*", "3.11.7", False),
        (">=3.10,<3.12", "3.12.1", False),
    ],
)
def test_the_patch_level_is_not_looked_at(specifier: str, version: str, expected: bool):
    assert suits(specifier, version) is expected


def test_versions_that_the_scoring_server_cannot_run_on():
    assert not is_new_enough("==3.8.*")
    assert is_new_enough("==3.10.*")
    assert is_new_enough(">=3.8")


def test_candidates_are_found_on_path_of_pyenv_and_of_uv(tmp_path: Path):
    on_path = make_python(tmp_path / "bin", "3.30.1")
    pyenv = make_python(tmp_path / ".pyenv" / "versions" / "3.31.0" / "bin", "3.31.0")
    managed = make_python(tmp_path / "data" / "uv" / "python" / "cpython-3.32" / "bin", "3.32.0")
    make_python(tmp_path / "bin", "3.9.9")
    make_python(tmp_path / ".pyenv" / "shims", "3.33.0")
    (tmp_path / "bin" / "python3.30-config").touch(0o755)
    path = f"{tmp_path / 'bin'}:{tmp_path / '.pyenv' / 'shims'}"
    found = list_candidates({"PATH": path, "HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data")})
    assert [one for one in found if one.is_relative_to(tmp_path)] == [on_path, pyenv, managed]


def test_the_running_interpreter_goes_first_else_the_newest_that_suits(tmp_path: Path):
    candidates = [make_python(tmp_path, version) for version in ("3.30.1", "3.31.2", "3.32.3")]
    assert choose_python("", candidates) == own_python()
    assert choose_python(f"=={OWN}.*", candidates) == own_python()
    assert choose_python(">=3.30,<3.32", candidates).version == "3.31.2"


def test_without_one_that_suits_the_nearest_that_works_is_taken(tmp_path: Path):
    broken = make_python(tmp_path, "3.40.0", works=False)
    near, far = make_python(tmp_path, "3.39.1"), make_python(tmp_path, "3.12.0")
    assert choose_python("==3.40.*", [far, near, broken]).path == near
    assert choose_python("==3.8.*", []) == own_python()


def test_installed_packages_are_known_by_version_marker_and_extra():
    version = pythons.metadata.version("pytest")
    assert is_installed_here([])
    assert is_installed_here([f"PyTest=={version}", "nothing-such; python_version < '3'"])
    assert not is_installed_here(["pytest<1"])
    assert not is_installed_here(["nothing-such"])
    assert not is_installed_here(["pytest @ file:///pytest.whl"])
    assert not is_installed_here(["/home/me/pkg"])
    assert is_installed_here(["pyjwt[crypto]"])
    assert not is_installed_here(["requests[socks]"])
