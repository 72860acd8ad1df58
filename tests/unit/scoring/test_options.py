from __future__ import annotations

from pathlib import Path

import pytest

from mlctl.scoring.options import read_options

NAMES = ["--fd", "3", "--endpoint", "e", "--deployment", "d", "--replica", "r"]


def test_defaults_are_azures() -> None:
    options = read_options(NAMES, {})
    assert (options.max_concurrent, options.max_queue_wait_s, options.run_threads) == (1, 0.5, 1)
    assert (options.is_azure_exact, options.failure_file, options.entry_script) == (False, None, None)


def test_environment_names_the_folders() -> None:
    environment = {"AML_APP_ROOT": "/code", "AZUREML_ENTRY_SCRIPT": "s.py", "AZUREML_MODEL_DIR": "/model"}
    options = read_options(NAMES, environment)
    assert (options.app_root, options.entry_script, options.model_dir) == (Path("/code"), "s.py", Path("/model"))


@pytest.mark.parametrize("wrong", [["--max-concurrent", "0"], ["--run-threads", "x"], ["--max-queue-wait-ms", "-1"]])
def test_wrong_numbers_are_usage_errors(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        read_options([*NAMES, *wrong], {})
    assert caught.value.code == 2
    assert wrong[0] in capsys.readouterr().err


def test_several_sockets_are_a_worker_each() -> None:
    options = read_options([*NAMES, "--fd", "4", "--socket", "/a", "--socket", "/b"], {})
    assert (options.fds, options.sockets, options.workers) == ((3, 4), (Path("/a"), Path("/b")), 2)


def test_workers_may_share_one_socket() -> None:
    options = read_options([*NAMES, "--workers", "3"], {})
    assert (options.fds, options.workers) == ((3,), 3)


@pytest.mark.parametrize("more", [["--fd", "4", "--workers", "2"], ["--socket", "/a", "--socket", "/b"]])
def test_sockets_and_workers_have_to_fit(more: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read_options([*NAMES, *more], {})
    assert more[-2] in capsys.readouterr().err
