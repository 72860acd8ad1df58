"""Starts that fail and what they leave behind; SIGTERM."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.acceptance.scoring.conftest import StartReplica
from tests.acceptance.scoring.test_waiting import SCRIPT, SLOW_INIT

FINE = """
def init(): pass
def run(data): return 1
"""


def test_init_that_raises_is_described(start_replica: StartReplica) -> None:
    script = """\
        import os

        def load():
            open(os.path.join(os.environ["AZUREML_MODEL_DIR"], "nope.pkl"))

        def init():
            load()

        def run(data): return 1
    """
    replica = start_replica(script, files={"model/a/b.pkl": "", "model/c.txt": ""})
    failure = replica.failure()
    assert failure["phase"] == "init"
    assert failure["message"].startswith("FileNotFoundError: [Errno 2] No such file or directory: ")
    assert [(frame["file"], frame["line"], frame["function"], frame["text"]) for frame in failure["frames"]] == [
        ("score.py", 7, "init", "load()"),
        ("score.py", 4, "load", 'open(os.path.join(os.environ["AZUREML_MODEL_DIR"], "nope.pkl"))'),
    ]
    assert failure["model_dir"] == ["a/b.pkl", "c.txt"]
    assert stat.S_IMODE(replica.failure_file.stat().st_mode) == 0o600
    log = replica.log()
    assert "User's init function failed\nTraceback (most recent call last):" in log
    assert "Model Directory Contents:" in log
    assert "b.pkl" in log


def test_sys_exit_in_init_is_a_failure(start_replica: StartReplica) -> None:
    failure = start_replica("import sys\ndef init(): sys.exit(0)\ndef run(data): pass").failure()
    assert (failure["phase"], failure["message"]) == ("init", "SystemExit: 0")


def test_missing_package_is_described(start_replica: StartReplica) -> None:
    failure = start_replica("import json\nimport nowhere_to_be_found\n" + FINE).failure()
    assert failure["phase"] == "import"
    assert failure["message"] == "ModuleNotFoundError: No module named 'nowhere_to_be_found'"
    assert [frame["line"] for frame in failure["frames"]] == [2]


def test_syntax_error_names_the_offending_line(start_replica: StartReplica) -> None:
    failure = start_replica("def init():\n    pass\n\ndef run(data:\n    return 1\n").failure()
    assert (failure["phase"], failure["message"][:12]) == ("import", "SyntaxError:")
    assert failure["frames"] == [{"file": "score.py", "line": 4, "function": "<module>", "text": "def run(data:"}]


def test_syntax_error_in_a_helper_shows_the_way_there(start_replica: StartReplica) -> None:
    failure = start_replica("import helper\n" + FINE, files={"code/helper.py": "x = 1\n  y = 2\n"}).failure()
    assert [(frame["file"], frame["line"]) for frame in failure["frames"]] == [("score.py", 1), ("helper.py", 2)]


def test_script_without_run_is_refused_with_azures_text(start_replica: StartReplica) -> None:
    replica = start_replica("def init(): pass")
    text = f"User script at {replica.code}/score.py does not have a run() function defined."
    assert replica.failure()["message"] == text
    assert text in replica.log()


def test_missing_script_is_described(start_replica: StartReplica) -> None:
    failure = start_replica(None).failure()
    assert (failure["phase"], failure["message"][:17]) == ("import", "FileNotFoundError")


def test_without_entry_script_main_is_expected(start_replica: StartReplica) -> None:
    failure = start_replica(None, environment={"AZUREML_ENTRY_SCRIPT": ""}).failure()
    assert failure["message"] == "No score script found. Expected score script main.py."


def test_without_entry_script_main_is_served(start_replica: StartReplica) -> None:
    replica = start_replica(None, files={"code/main.py": FINE}, environment={"AZUREML_ENTRY_SCRIPT": ""})
    assert replica.wait_ready().score("x").json() == 1


def test_thread_of_the_script_does_not_keep_a_failed_start_alive(start_replica: StartReplica) -> None:
    script = """
        import threading
        threading.Thread(target=threading.Event().wait).start()
        def init(): raise ValueError("no")
        def run(data): pass
    """
    assert start_replica(script).failure()["message"] == "ValueError: no"


def test_siblings_can_be_imported_but_installed_packages_win(start_replica: StartReplica) -> None:
    script = """
        import helper, json
        def init(): pass
        def run(data): return [helper.NAME, __name__, hasattr(json, "dumps")]
    """
    files = {"code/helper.py": "NAME = 'sibling'", "code/json.py": ""}
    assert start_replica(script, files=files).wait_ready().score("x").json() == ["sibling", "entry_module", True]


def test_sigterm_lets_running_and_queued_requests_finish(
    start_replica: StartReplica, background: ThreadPoolExecutor
) -> None:
    replica = start_replica(SCRIPT, "--max-concurrent", "2").wait_ready()
    running = background.submit(replica.score, "hold a")
    replica.wait_for_file("began-a")
    queued = background.submit(replica.score, "pass b")
    idle = replica.open_socket()
    assert replica.health().status == 200
    replica.terminate()
    assert idle.recv(1) == b""  # closed: the stop has begun
    with pytest.raises(ConnectionRefusedError):
        replica.health()
    replica.touch("a")
    assert [running.result().status, queued.result().status] == [200, 200]
    assert replica.exit_code() == 0
    assert replica.log().count("POST /score 200") == 2


def test_sigterm_while_idle_exits_zero(start_replica: StartReplica) -> None:
    replica = start_replica(FINE).wait_ready()
    replica.terminate()
    assert replica.exit_code() == 0


def test_sigterm_runs_what_the_script_registered_for_exit(start_replica: StartReplica) -> None:
    replica = start_replica("import atexit\natexit.register(print, 'good', 'bye')\n" + FINE).wait_ready()
    replica.terminate()
    assert replica.exit_code() == 0
    assert "azmlinfsrv.print - good bye\n" in replica.log()


def test_sigterm_during_init_exits_at_once(start_replica: StartReplica) -> None:
    replica = start_replica(SLOW_INIT)
    replica.wait_for_log("Invoking user's init function")
    replica.terminate()
    assert replica.exit_code() == 0
    assert not replica.failure_file.exists()


def test_script_cannot_pass_the_listener_on_to_its_children(start_replica: StartReplica) -> None:
    script = """
        import subprocess
        def init():
            global child
            child = subprocess.run(["ls", "-l", "/proc/self/fd"], close_fds=False, capture_output=True, text=True)
        def run(data): return child.stdout.count("socket:")
    """
    assert start_replica(script).wait_ready().score("x").json() == 0


def test_what_init_built_is_spared_by_the_garbage_collector_and_what_run_builds_is_not(
    start_replica: StartReplica,
) -> None:
    script = """
        import gc, weakref

        class Node: pass

        def init():
            global kept
            kept = [[] for _ in range(1000)]

        def run(raw_data):
            node = Node()
            node.own = node
            seen = weakref.ref(node)
            del node
            gc.collect()
            return [gc.get_freeze_count() > 1000, seen() is None]
    """
    replica = start_replica(script).wait_ready()
    assert replica.score("x").json() == [True, True]
