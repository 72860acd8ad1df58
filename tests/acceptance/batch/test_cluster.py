"""Leases on a Dask cluster of processes on this machine: what the coordinator commits is the same as without it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mlctl.batch.launch import find_folder, is_coordinated
from mlctl.runtimes.processes import find_labelled
from tests.acceptance.batch.conftest import DOUBLE, Desk
from tests.waiting import wait_until

pytest.importorskip("distributed")

# Two workers of one thread each, and their pids; ends with its standard input.
CLUSTER = """
import os, sys
from distributed import Client, LocalCluster

if __name__ == "__main__":
    with LocalCluster(n_workers=int(sys.argv[1]), threads_per_worker=1, processes=True, host="127.0.0.1",
                      dashboard_address=None, local_directory=sys.argv[2]) as cluster:
        with Client(cluster) as client:
            pids = client.run(os.getpid).values()
        print(cluster.scheduler_address, *pids, flush=True)
        sys.stdin.read()
"""
TELLING = """
import os, time
def init():
    print("init was called by a child of", os.getppid())
def run(mini_batch):
    time.sleep(0.02)
    return [int(path.rsplit("/", 1)[1]) * 2 for path in mini_batch]
def shutdown():
    print("shutdown was called")
"""


@dataclass(frozen=True)
class Cluster:
    address: str
    pids: list[int]


@contextlib.contextmanager
def boot_cluster(root: Path, workers: int = 2) -> Generator[Cluster]:
    script = root / "cluster.py"
    script.write_text(CLUSTER)
    errors = (root / "cluster.log").open("ab")
    with (
        errors,
        subprocess.Popen(
            [sys.executable, str(script), str(workers), str(root / "dask")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            address, *pids = process.stdout.readline().split()
            yield Cluster(address, list(map(int, pids)))
        finally:
            process.stdin.close()
            try:
                process.wait(timeout=30)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with boot_cluster(tmp_path_factory.mktemp("cluster")) as booted:
        yield booted


def test_a_job_runs_beside_the_clusters_workers(desk: Desk, cluster: Cluster) -> None:
    files = desk.write_files(60)
    ended = desk.run(TELLING, files, mini_batch_size=3, instance_count=2, cluster=cluster.address)
    assert ended.row.state == "Completed", ended.row.error
    assert ended.lines == [str(number * 2) for number in range(60)]
    assert ended.counts == (60, 60, 0)
    parents = {int(line.split()[-1]) for line in ended.printed().splitlines() if line.startswith("init")}
    assert parents == set(cluster.pids)
    assert ended.printed().count("shutdown was called") == 2


def test_failures_are_the_items_own_there_too(desk: Desk, cluster: Cluster) -> None:
    script = """
    import os
    def run(mini_batch):
        numbers = [int(path.rsplit("/", 1)[1]) for path in mini_batch]
        if 7 in numbers:
            os._exit(3)
        if 11 in numbers:
            raise ValueError("eleven")
        return numbers
    """
    ended = desk.run(script, desk.write_files(20), mini_batch_size=10, instance_count=2, cluster=cluster.address)
    assert ended.lines == [str(number) for number in range(20) if number not in (7, 11)]
    assert [item["item"][-4:] for item in ended.failed_items] == ["0007", "0011"]
    assert set(cluster.pids) == {pid for pid in cluster.pids if Path(f"/proc/{pid}").exists()}


def test_a_table_is_scored_on_a_cluster(desk: Desk, cluster: Cluster) -> None:
    path = desk.work / "a.csv"
    path.write_text("n\n" + "".join(f"{number}\n" for number in range(5000)))
    script = "def run(mini_batch): return mini_batch * 2"
    ended = desk.run(script, path, mode="rows", mini_batch_size=100, instance_count=2, cluster=cluster.address)
    assert ended.lines == [str(number * 2) for number in range(5000)]


def test_leases_of_a_machine_that_dies_are_run_elsewhere(desk: Desk, tmp_path: Path) -> None:
    files = desk.write_files(300)
    with boot_cluster(tmp_path) as cluster:
        name = desk.start(TELLING, files, mini_batch_size=2, instance_count=2, cluster=cluster.address)
        folder = find_folder(desk.home, name)
        wait_until(lambda: folder.journal.exists() and folder.journal.stat().st_size > 1000)
        os.kill(cluster.pids[0], signal.SIGKILL)
        ended = desk.finish(name)
    assert ended.row.state == "Completed", ended.row.error
    assert ended.lines == [str(number * 2) for number in range(300)]
    assert ended.counts == (300, 300, 0)


def test_a_coordinator_that_dies_is_followed_by_another(desk: Desk, cluster: Cluster) -> None:
    files = desk.write_files(200)
    name = desk.start(TELLING, files, mini_batch_size=2, instance_count=2, cluster=cluster.address)
    folder = find_folder(desk.home, name)
    wait_until(lambda: folder.journal.exists() and folder.journal.stat().st_size > 1000)
    os.kill(desk.coordinator(name), signal.SIGKILL)
    wait_until(lambda: not is_coordinated(folder))
    desk.resume(name)
    ended = desk.finish(name)
    assert ended.row.state == "Completed", ended.row.error
    assert ended.lines == [str(number * 2) for number in range(200)]
    wait_until(lambda: not find_labelled("mlctl.scoring.batch", "--job", name))


def test_a_stopped_job_leaves_no_process_on_the_cluster(desk: Desk, cluster: Cluster) -> None:
    name = desk.start(
        "import time\ndef run(mini_batch): time.sleep(600)", desk.write_files(4), timeout_s=900, cluster=cluster.address
    )
    wait_until(lambda: desk.workers(name))
    desk.stop(name)
    stopped = desk.finish(name)
    assert not stopped.row.has_ended, stopped.row.error
    wait_until(lambda: not desk.workers(name))


@pytest.mark.slow
def test_a_scheduler_that_is_not_there_is_named(desk: Desk) -> None:
    ended = desk.run(DOUBLE, desk.write_files(2), cluster="tcp://127.0.0.1:1")
    assert ended.row.state == "Failed"
    assert "the Dask scheduler tcp://127.0.0.1:1 cannot be reached" in (ended.row.error or "")


def test_a_script_that_cannot_start_fails_the_job_with_its_error(desk: Desk, cluster: Cluster) -> None:
    ended = desk.run("import nowhere", desk.write_files(2), cluster=cluster.address)
    assert ended.row.state == "Failed"
    assert "No module named 'nowhere'" in (ended.row.error or "")
    assert "nowhere" in ended.errors()
