import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from mlctl.errors import BackendUnavailable
from mlctl.registry.store import Store


def test_a_new_registry_can_be_entered_by_its_owner_only(tmp_path: Path):
    with Store(tmp_path / "new" / "registry.db"):
        assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
        assert (tmp_path / "new" / "registry.db").stat().st_mode & 0o777 == 0o600


def test_a_failed_transaction_leaves_nothing_behind(store: Store):
    def fail() -> None:
        with store.transaction():
            store.set_meta("a", "1")
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        fail()
    assert store.get_meta("a") is None


def test_nested_transactions_commit_together(store: Store):
    with store.transaction():
        store.set_meta("a", "1")
        with store.transaction():
            store.set_meta("b", "2")
    assert (store.get_meta("a"), store.get_meta("b")) == ("1", "2")


def test_a_registry_of_a_newer_version_is_refused_with_a_way_out(tmp_path: Path):
    path = tmp_path / "registry.db"
    Store(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(BackendUnavailable, match="newer mlctl") as caught:
        Store(path)
    assert "MLCTL_HOME" in caught.value.hint


def test_a_file_that_is_no_registry_is_refused(tmp_path: Path):
    path = tmp_path / "registry.db"
    path.write_text("something else entirely, and long enough to be looked at by SQLite" * 20)
    with pytest.raises(BackendUnavailable, match="not a registry"):
        Store(path)


COUNTER = """
import sys
from pathlib import Path
from mlctl.registry.store import Store
with Store(Path(sys.argv[1])) as store:
    for _ in range(50):
        with store.transaction():
            store.set_meta("n", str(int(store.get_meta("n") or 0) + 1))
"""


def test_writers_in_many_processes_never_lose_an_update_or_meet_a_lock(tmp_path: Path):
    path = tmp_path / "registry.db"
    writers = [subprocess.Popen([sys.executable, "-c", COUNTER, str(path)]) for _ in range(6)]
    assert [writer.wait(timeout=60) for writer in writers] == [0] * 6
    with Store(path) as store:
        assert store.get_meta("n") == "300"
