"""pip's settings as pip itself reads them, and as uv is given them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlctl.runtimes.pip_settings import PipSettings, hide_credentials, read_pip_settings

INDEX = "https://me:secret@localhost/simple"
CONF = f"""[global]
index-url = {INDEX}
extra-index-url =
    file:///a
    file:///b
timeout = 7
[install]
find-links = /wheels
no-index = false
"""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip" / "pip.conf").write_text(CONF)
    return {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "XDG_CONFIG_DIRS": str(tmp_path / "none")}


def test_they_are_what_pip_says_they_are(environ: dict[str, str], tmp_path: Path):
    environ["PATH"] = os.environ["PATH"]
    environ["PIP_CONFIG_FILE"] = str(tmp_path / "named.conf")
    (tmp_path / "named.conf").write_text("[global]\ntimeout = 9\n[freeze]\ntimeout = 1\n")
    for named in (environ, {key: value for key, value in environ.items() if key != "PIP_CONFIG_FILE"}):
        ran = subprocess.run(
            [sys.executable, "-m", "pip", "config", "list"], env=named, capture_output=True, text=True, check=True
        )
        settings = read_pip_settings(named)
        for key, value in (("timeout", settings.timeout_s), ("index-url", settings.index_url)):
            assert (f"global.{key}='{value}'" in ran.stdout) is bool(value)


def test_files_variables_and_option_lines_override_in_pips_order(environ: dict[str, str]):
    settings = read_pip_settings(environ | {"PIP_FIND_LINKS": "/more", "PIP_NO_INDEX": "1", "PIP_PRE": "0"})
    assert settings.extra_index_urls == ("file:///a", "file:///b")
    assert (settings.has_no_index, settings.takes_prereleases, settings.timeout_s) == (True, False, "7")
    assert settings.find_links == ("/more",)
    changed = settings.override(["--index-url file:///mine", "--extra-index-url=file:///c", "--pre", "--use-pep517"])
    assert (changed.index_url, changed.extra_index_urls[-1]) == ("file:///mine", "file:///c")
    assert changed.takes_prereleases


def test_addresses_go_by_variables_never_by_arguments(environ: dict[str, str]):
    settings = read_pip_settings(environ | {"PIP_CERT": "/ca.pem", "PIP_TRUSTED_HOST": "localhost"})
    variables = settings.make_variables({"UV_INDEX": "file:///z"})
    assert variables["UV_DEFAULT_INDEX"] == INDEX
    assert variables["UV_INDEX"] == "file:///z file:///a file:///b"
    assert (variables["SSL_CERT_FILE"], variables["UV_HTTP_TIMEOUT"]) == ("/ca.pem", "7")
    assert settings.make_arguments() == ["--allow-insecure-host", "localhost"]
    # Who has set uv up has decided.
    assert "UV_DEFAULT_INDEX" not in settings.make_variables({"UV_INDEX_URL": "file:///own"})


def test_a_new_password_is_no_other_environment(tmp_path: Path):
    settings, other = PipSettings(index_url=INDEX), PipSettings(index_url=INDEX.replace("secret", "new"))
    assert settings.identify() == other.identify()
    assert "secret" not in str(settings.identify())
    assert hide_credentials(f"see {INDEX}, {INDEX}") == "see https://localhost/simple, https://localhost/simple"


def test_the_content_of_constraints_counts(tmp_path: Path):
    file = tmp_path / "c.txt"
    file.write_text("six<2")
    settings = PipSettings(constraints=(str(file),))
    before = settings.identify()
    file.write_text("six<1")
    assert settings.identify() != before
