"""`mlctl serve --reload`: the version that serves goes on until the next one is ready, or says why it is not."""

from __future__ import annotations

import os

from tests.acceptance.scoring.replicas import wait_until
from tests.acceptance.scoring.serving import Serving, Servings
from tests.acceptance.scoring.serving import servings as servings

SCRIPT = """
import os
import helper
def init(): pass
def run(data): return [helper.VERSION, os.getpid()]
"""


def start(servings: Servings, *words: str) -> Serving:
    return servings.start(SCRIPT, "--reload", *words, files={"helper.py": "VERSION = 1"}).wait_ready()


def rewrite(serving: Serving, name: str, text: str) -> None:
    draft = serving.folder / f".{name}"
    draft.write_text(text)
    draft.replace(serving.folder / name)


def test_a_changed_file_beside_the_script_is_served(servings: Servings) -> None:
    serving = start(servings)
    assert serving.score().json()[0] == 1
    rewrite(serving, "helper.py", "VERSION = 2")
    wait_until(lambda: serving.score().json()[0] == 2, "the new version")
    assert "helper.py has changed: starting it anew" in serving.err()


def test_a_version_that_does_not_start_leaves_the_old_one_and_says_why(servings: Servings) -> None:
    serving = start(servings)
    pid = serving.score().json()[1]
    rewrite(serving, "helper.py", "VERSION = ")
    serving.wait_for("The new version does not serve, the one before goes on")
    assert "SyntaxError" in serving.out()
    assert serving.score().json() == [1, pid]
    rewrite(serving, "helper.py", "VERSION = 3")
    wait_until(lambda: serving.score().json()[0] == 3, "the mended version")


def test_all_workers_are_of_one_version_after_a_change(servings: Servings) -> None:
    serving = start(servings, "--worker-count", "2")
    rewrite(serving, "helper.py", "VERSION = 2")
    serving.wait_for("The new version serves")
    wait_until(lambda: serving.score().json()[0] == 2, "the new version")
    assert {serving.score().json()[0] for _ in range(10)} == {2}


def test_a_script_that_is_wrong_from_the_start_is_tried_again_when_it_is_changed(servings: Servings) -> None:
    serving = servings.start("oops", "--reload", files={"helper.py": "VERSION = 1"})
    serving.wait_for("Waiting for a change of the script's files; Ctrl-C ends.")
    rewrite(serving, "score.py", SCRIPT)
    wait_until(serving.is_healthy, "readiness")
    assert serving.score().json()[0] == 1
    assert serving.stop() == 0


def test_what_is_no_source_changes_nothing(servings: Servings) -> None:
    serving = start(servings)
    for name in (".hidden.py", "x.log", "x.pyc", "helper.py~"):
        (serving.folder / name).write_text("x")
    os.utime(serving.folder)
    rewrite(serving, "helper.py", "VERSION = 2")
    serving.wait_for("The new version serves")
    assert serving.err().count("has changed") == 1


def test_what_a_script_writes_while_it_starts_does_not_start_it_again(servings: Servings) -> None:
    script = SCRIPT.replace("pass", "open('count.txt', 'a').write('x')")
    serving = servings.start(script, "--reload", files={"helper.py": "VERSION = 1"}).wait_ready()
    rewrite(serving, "helper.py", "VERSION = 2")
    serving.wait_for("The new version serves")
    wait_until(lambda: serving.score().json()[0] == 2, "the new version")
    rewrite(serving, "helper.py", "VERSION = 3")
    wait_until(lambda: serving.score().json()[0] == 3, "the third version")
    assert (serving.folder / "count.txt").read_text() == "xxx"
