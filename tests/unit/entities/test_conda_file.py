"""Conda packages told in pip's words."""

from typing import Any

import pytest

from mlctl.entities.conda_file import parse_conda_file, read_name
from mlctl.entities.requirement_lines import is_path, split_lines, split_option


def parse(*dependencies: Any, **more: Any):
    return parse_conda_file({"dependencies": list(dependencies), **more})


@pytest.mark.parametrize(
    ("conda", "pip"),
    [
        ("numpy", "numpy"),
        ("NumPy", "numpy"),
        ("numpy=1.26", "numpy==1.26.*"),
        ("numpy==1.26.4", "numpy==1.26.4"),
        ("numpy==1.26.*", "numpy==1.26.*"),
        ("numpy=1.26.*", "numpy==1.26.*"),
        ("numpy=1.26*", "numpy==1.26.*"),
        ("numpy=*", "numpy"),
        ("numpy 1.26.4", "numpy==1.26.4"),
        ("numpy 1.26.*", "numpy==1.26.*"),
        ("numpy=1.26.4=py311h64a7726_0", "numpy==1.26.4"),
        ("numpy 1.26.4 py311h64a7726_0", "numpy==1.26.4"),
        ("numpy>=1.20,<2", "numpy>=1.20,<2"),
        ("numpy >=1.20, <2", "numpy>=1.20,<2"),
        ("numpy>=1.20.*", "numpy>=1.20"),
        ("numpy!=1.25.0", "numpy!=1.25.0"),
        ("numpy~=1.26", "numpy~=1.26"),
        ("numpy[version='>=1.20,<2']", "numpy>=1.20,<2"),
        ("conda-forge::numpy=1.26", "numpy==1.26.*"),
        ("conda-forge/linux-64::numpy=1.26", "numpy==1.26.*"),
        ("numpy=2.0.0rc1", "numpy==2.0.0rc1"),
        ("numpy  # for the model", "numpy"),
        ("pytorch=2.1", "torch==2.1.*"),
        ("opencv", "opencv-python-headless"),
        ("ray-default=2.9", "ray[default]==2.9.*"),
    ],
)
def test_conda_packages_become_requirements(conda: str, pip: str):
    found = parse(conda)
    assert [entry.text for entry in found.requirements] == [pip]
    assert (found.requirements[0].path, found.faults) == (("dependencies", 0), [])


@pytest.mark.parametrize(
    ("conda", "specifier"),
    [
        ("python=3.11", "==3.11.*"),
        ("python>=3.10,<3.13", ">=3.10,<3.13"),
        ("python", ""),
        ("python 3.10.*", "==3.10.*"),
    ],
)
def test_python_picks_the_interpreter(conda: str, specifier: str):
    found = parse(conda)
    assert (found.python, found.requirements) == (specifier, [])


def test_the_pip_section_is_kept_as_it_is():
    lines = [
        "scikit-learn==1.5.0",
        "pkg[extra]>=2 ; python_version < '3.12'  # why",
        "--extra-index-url file:///wheels",
    ]
    found = parse("pip", {"pip": lines})
    assert [entry.text for entry in found.requirements] == [lines[0], "pkg[extra]>=2 ; python_version < '3.12'"]
    assert found.requirements[1].path == ("dependencies", 1, "pip", 1)
    assert [entry.text for entry in found.options] == [lines[2]]


@pytest.mark.parametrize("name", ["azureml-inference-server-http", "azureml-defaults==1.60", "AzureML_Defaults"])
def test_azures_server_is_stood_in_for(name: str):
    assert parse({"pip": [name, "six"]}).requirements[0].text == "six"


def test_what_is_no_python_package_is_left_out_and_told():
    found = parse("cudatoolkit=11.8", "_libgcc_mutex", "numpy", channels=["conda-forge"], variables={"A": "1"})
    assert (found.left_out, found.ignored) == (["cudatoolkit=11.8", "_libgcc_mutex"], ["channels", "variables"])


@pytest.mark.parametrize(
    ("dependency", "path"),
    [
        ("numpy=1.26|1.25", ("dependencies", 0)),
        ("=1.26", ("dependencies", 0)),
        (3.11, ("dependencies", 0)),
        ({"conda": ["x"]}, ("dependencies", 0)),
        ({"pip": {"six": 1}}, ("dependencies", 0, "pip")),
        ({"pip": [1.5]}, ("dependencies", 0, "pip", 0)),
        ({"pip": ["-r requirements.txt"]}, ("dependencies", 0, "pip", 0)),
    ],
)
def test_what_is_not_understood_is_a_fault_at_its_place(dependency: Any, path: tuple[str | int, ...]):
    assert [fault.path for fault in parse(dependency).faults] == [path]


def test_every_fault_is_told_and_nothing_is_no_fault():
    assert len(parse("a=1|2", "b=1|2").faults) == 2
    assert parse_conda_file({"name": "x"}).faults == parse_conda_file({"dependencies": None}).faults == []
    assert len(parse_conda_file({"dependencies": "numpy"}).faults) == 1


@pytest.mark.parametrize(
    ("line", "option"),
    [
        ("-r a.txt", ("--requirement", "a.txt")),
        ("-ra.txt", ("--requirement", "a.txt")),
        ("--requirement=a.txt", ("--requirement", "a.txt")),
        ("--no-index", ("--no-index", "")),
        ("-e .", ("--editable", ".")),
        ("numpy --hash=sha256:00", None),
    ],
)
def test_options_are_told_from_packages(line: str, option: tuple[str, str] | None):
    assert split_option(line) == option


def test_requirement_files_are_split_as_pip_does():
    text = "# first\nsix==1.17 # pinned\n\nnumpy>=1, \\\n  <3\nx @ https://h/x#egg=x\nlast \\"
    found = [(2, "six==1.17"), (4, "numpy>=1,   <3"), (6, "x @ https://h/x#egg=x"), (7, "last")]
    assert list(split_lines(text)) == found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("./pkg[x]", True),
        ("/a/b.whl", True),
        ("b-1.whl", True),
        (".", True),
        ("b @ file:///b-1.whl", False),
        ("b", False),
    ],
)
def test_paths_are_told_from_names(text: str, expected: bool):
    assert is_path(text) is expected


@pytest.mark.parametrize(
    ("text", "name"),
    [("Foo_Bar.baz[x]>=1", "foo-bar-baz"), ("six", "six"), ("six ; x", "six"), ("/a/b.whl", ""), ("git+ssh://h/x", "")],
)
def test_names_have_a_normal_form(text: str, name: str):
    assert read_name(text) == name
