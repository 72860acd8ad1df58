from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from mlctl.scoring.user_code import Script, ScriptRefused, load_script


@pytest.fixture(autouse=True)
def restore_interpreter(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    sys.modules.pop("entry_module", None)


def _load(folder: Path, text: str) -> Script:
    (folder / "score.py").write_text(dedent(text))
    return load_script(folder, "score.py")


def _load_run(folder: Path, signature: str, result: str = "1") -> Script:
    return _load(folder, f"def init(): pass\ndef run({signature}): return {result}")


@pytest.mark.parametrize(
    ("signature", "message"),
    [
        ("", "run() needs to accept an argument for input data."),
        ("request_headers", 'run() needs to accept an argument other than "request_headers".'),
        ("data, /", "run() cannot accept positional-only arguments, *args, or **kwargs."),
        ("*args", "run() cannot accept positional-only arguments, *args, or **kwargs."),
        ("data, **kwargs", "run() cannot accept positional-only arguments, *args, or **kwargs."),
    ],
)
def test_run_with_a_wrong_signature_is_refused(tmp_path: Path, signature: str, message: str) -> None:
    with pytest.raises(ScriptRefused) as caught:
        _load_run(tmp_path, signature)
    assert str(caught.value) == message


@pytest.mark.parametrize("name", ["init", "run"])
def test_missing_function_is_named(tmp_path: Path, name: str) -> None:
    other = {"init": "def run(data): pass", "run": "def init(): pass"}[name]
    with pytest.raises(ScriptRefused) as caught:
        _load(tmp_path, other)
    assert str(caught.value) == f"User script at {tmp_path}/score.py does not have a {name}() function defined."


@pytest.mark.parametrize("signature", ["data", "raw_data, more=1", "anything, *, more=1", "*, data"])
def test_input_parameter_may_have_any_name_and_kind(tmp_path: Path, signature: str) -> None:
    name = signature.replace("*, ", "").split(",")[0]
    script = _load_run(tmp_path, signature, name)
    assert (script.run("text"), script.wants_headers) == ("text", False)


@pytest.mark.parametrize("signature", ["data, request_headers", "request_headers, data", "data, *, request_headers"])
def test_request_headers_are_passed_by_name(tmp_path: Path, signature: str) -> None:
    script = _load_run(tmp_path, signature, "[data, request_headers]")
    assert script.wants_headers
    assert script.run("text", {"A": "b"}) == ["text", {"A": "b"}]


def test_folder_is_appended_to_the_path(tmp_path: Path) -> None:
    _load_run(tmp_path, "data")
    assert sys.path[-1] == str(tmp_path)


def test_source_directory_is_appended_too(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "only_there_for_this_test.py").write_text("X = 1")
    (tmp_path / "score.py").write_text("import only_there_for_this_test as m\ndef init(): pass\ndef run(d): return m.X")
    assert load_script(tmp_path, "score.py", "lib").run("") == 1


def test_script_in_a_nested_or_absolute_place_is_found(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    path = tmp_path / "deep" / "s.py"
    path.write_text("def init(): pass\ndef run(data): return __name__")
    assert load_script(tmp_path, "deep/s.py").run("") == "entry_module"
    assert load_script(Path("/elsewhere"), str(path)).run("") == "entry_module"


def test_driver_module_provides_run(tmp_path: Path) -> None:
    script = _load(
        tmp_path,
        """
        import types
        driver_module = types.ModuleType("driver")
        driver_module.run = lambda data: "driver"
        def init(): return "outer"
        """,
    )
    assert (script.init(), script.run("x")) == ("outer", "driver")


def test_driver_module_that_is_no_module_is_none(tmp_path: Path) -> None:
    script = _load(
        tmp_path,
        """
        import types
        driver_module = types.SimpleNamespace(run=lambda data: "driver")
        def init(): pass
        def run(data): return "outer"
        """,
    )
    assert script.run("x") == "outer"


def test_dataclasses_of_a_script_work(tmp_path: Path) -> None:
    script = _load(
        tmp_path,
        """
        from __future__ import annotations
        import dataclasses, typing

        @dataclasses.dataclass
        class Row:
            kind: typing.ClassVar[int] = 1

        def init(): pass
        def run(data): return len(dataclasses.fields(Row))
        """,
    )
    assert script.run("") == 0


def test_without_a_script_main_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(ScriptRefused, match=r"^No score script found\. Expected score script main\.py\.$"):
        load_script(tmp_path, None)


def test_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "score.txt").write_text("")
    with pytest.raises(ScriptRefused, match="is not a Python file"):
        load_script(tmp_path, "score.txt")
