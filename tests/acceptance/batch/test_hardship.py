"""Slow: disks that fill up, folders without rights, tables larger than the memory in use, kills in the middle."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator
from pathlib import Path

import pandas
import pytest

from mlctl.batch.folder import JobFolder
from mlctl.batch.launch import find_folder, is_coordinated
from mlctl.runtimes.processes import find_labelled
from tests.acceptance.batch.conftest import Desk
from tests.acceptance.small_disks import mount
from tests.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount, or become another user")
WIDE = """
def run(mini_batch):
    return [str(path[-4:]) * 500 for path in mini_batch]
"""


@contextlib.contextmanager
def small_disk(path: Path, megabytes: int) -> Generator[Path]:
    path.mkdir(parents=True, exist_ok=True)
    if mount("-t", "tmpfs", "-o", f"size={megabytes}m,mode=700", "tmpfs", str(path)).returncode:
        pytest.skip("this machine lets nobody mount")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def fill(folder: Path) -> Path:
    filler = folder / "filler"
    with filler.open("ab", buffering=0) as file:
        for size in (1 << 16, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))
    return filler


def count_bytes(folder: JobFolder) -> int:
    return folder.journal.stat().st_size if folder.journal.exists() else 0


def expected(count: int) -> list[str]:
    return [f"{number:04d}" * 500 for number in range(count)]


@needs_root
def test_a_disk_that_is_full_in_the_middle_fails_no_item_and_the_job_goes_on(desk: Desk) -> None:
    files = desk.write_files(2000)
    script = "import time\n" + WIDE.replace("    return", "    time.sleep(0.002)\n    return")
    with small_disk(desk.home / "jobs", 32):
        name = desk.start(script, files, mini_batch_size=2, instance_count=2)
        folder = find_folder(desk.home, name)
        wait_until(lambda: folder.journal.exists() and folder.journal.stat().st_size > 5000)
        filler = fill(folder.path)
        full = desk.finish(name)
        filler.unlink()
        assert full.row.state == "Failed"
        assert "pace left" in (full.row.error or "")
        assert full.progress.get("items_failed", 0) == 0
        desk.resume(name)
        ended = desk.finish(name)
        assert ended.row.state == "Completed", ended.row.error
        assert ended.lines == expected(2000)
        assert ended.counts == (2000, 2000, 0)


@needs_root
def test_an_output_that_does_not_fit_leaves_nothing_and_can_be_written_later(desk: Desk) -> None:
    with small_disk(desk.work / "small", 1) as small:
        name = desk.start(WIDE, desk.write_files(1000), mini_batch_size=10, output={"folder": str(small)})
        full = desk.finish(name)
        assert full.row.state == "Failed"
        assert "No space left on device" in (full.row.error or "")
        assert list(small.iterdir()) == []
        subprocess.run(["mount", "-o", "remount,size=8m", str(small)], check=True)
        desk.resume(name)
        ended = desk.finish(name)
        assert ended.lines == expected(1000)


@needs_root
def test_a_full_disk_where_the_script_writes_is_not_the_rows_fault(desk: Desk) -> None:
    script = """
    import os
    from pathlib import Path
    def run(mini_batch):
        for path in mini_batch:
            (Path(os.environ["AZUREML_BI_OUTPUT_PATH"]) / Path(path).name).write_bytes(bytes(100_000))
        return mini_batch
    """
    with small_disk(desk.work / "small", 1) as small:
        output = {"action": "summary_only", "folder": str(small)}
        name = desk.start(script, desk.write_files(40), mini_batch_size=2, output=output)
        full = desk.finish(name)
        assert full.row.state == "Failed"
        assert "no space left" in (full.row.error or "")
        subprocess.run(["mount", "-o", "remount,size=16m", str(small)], check=True)
        desk.resume(name)
        ended = desk.finish(name)
        assert (ended.row.state, ended.counts) == ("Completed", (40, 40, 0))


@needs_root
def test_blocks_that_do_not_fit_are_not_called_a_bad_table(desk: Desk) -> None:
    path = desk.work / "a.csv"
    pandas.DataFrame({"n": range(400_000), "m": range(400_000)}).to_csv(path, index=False)
    with small_disk(desk.home / "jobs", 2):
        ended = desk.run("def run(mini_batch): return mini_batch", path, mode="rows", mini_batch_size=1000)
        assert ended.row.state == "Failed"
        assert "cannot write rows of" in (ended.row.error or "")
        assert "No space left on device" in (ended.row.error or "")


@needs_root
def test_a_folder_without_rights_is_refused_before_anything_runs() -> None:
    root = Path(tempfile.mkdtemp(prefix="mlb-"))
    root.chmod(0o755)
    (root / "locked").mkdir(mode=0o755)
    program = f"""
import os, sys
from pathlib import Path
from mlctl.batch.engine import Engine
from mlctl.batch.folder import JobFolder
from mlctl.batch.order import JobInput, JobOrder, JobOutput
os.setgid({NOBODY})
os.setuid({NOBODY})
root = Path({str(root)!r})
order = JobOrder("job", sys.executable, str(root), "score.py", None, {{}}, JobInput("files", (str(root / "score.py"),)),
                 JobOutput("append_row", str(root / "locked")))
try:
    Engine(order, JobFolder(Path(sys.argv[1])), lambda state: None).run()
except Exception as error:
    print(type(error).__name__, error)
"""
    own = root / "own"
    own.mkdir()
    os.chown(own, NOBODY, NOBODY)
    (root / "score.py").write_text("def run(mini_batch): return mini_batch")
    try:
        ran = subprocess.run(
            [sys.executable, "-c", program, str(own)], capture_output=True, text=True, check=False, timeout=60, cwd=root
        )
        parts = list((own / "parts").iterdir())
    finally:
        shutil.rmtree(root)
    assert f"InvalidInput cannot write to the output folder {root / 'locked'}: Permission denied" in ran.stdout, ran
    assert parts == []


class Memory:
    """The most memory that a job's processes held at once: each its own pages, shared ones divided."""

    def __init__(self, desk: Desk, name: str) -> None:
        self._home, self._name = str(desk.home), name
        self._blocks = str(find_folder(desk.home, name).blocks)
        self.most_bytes = 0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._is_over.wait(0.1):
            found = [
                *find_labelled("mlctl.batch", self._home),
                *find_labelled("mlctl.batch.splitting", self._blocks),
                *find_labelled("mlctl.scoring.batch", "--job", self._name),
            ]
            self.most_bytes = max(self.most_bytes, sum(map(_held_bytes, {process.pid for process in found})))


def _held_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    # Pages of files (blocks that are mapped) can be dropped at any time.
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith(("Pss_Anon:", "Pss_Shmem:")))


def write_large_csv(path: Path, rows: int) -> None:
    chunk = "".join(
        f"{number},{number * 0.123456789:.12f},some text of row {number},{number % 7}\n" for number in range(100_000)
    )
    with path.open("w") as file:
        file.write("id,value,text,kind\n")
        for _ in range(rows // 100_000):
            file.write(chunk)


def score_large(desk: Desk, name: str, rows: int) -> int:
    path = desk.work / name
    write_large_csv(path, rows)
    script = "def run(mini_batch): return mini_batch[['id']] * 2"
    with Memory(desk, desk.name_job(desk.count + 1)) as memory:
        started = desk.start(
            script, path, mode="rows", mini_batch_size=5000, instance_count=2, output={"format": "csv"}
        )
        ended = desk.finish(started, timeout_s=400)
    assert ended.row.state == "Completed", ended.row.error
    assert ended.counts == (rows, rows, 0)
    with ended.output.open() as file:
        assert all(int(line) == 2 * (number % 100_000) for number, line in enumerate(file))
    path.unlink()
    ended.output.unlink()
    print(f"{name}: {memory.most_bytes >> 20} MB")  # noqa: T201
    return memory.most_bytes


def test_memory_does_not_grow_with_the_table(desk: Desk) -> None:
    small = score_large(desk, "small.csv", 3_000_000)
    large = score_large(desk, "large.csv", 7_000_000)  # 330 MB
    assert small > 100 << 20
    assert large < 500 << 20
    assert large < small * 1.2, (small >> 20, large >> 20)


def test_kills_while_a_packed_table_is_read_lose_and_double_nothing(desk: Desk) -> None:
    chance = random.Random(7)
    path = desk.work / "a.csv.gz"
    pandas.DataFrame({"n": range(600_000)}).to_csv(path, index=False)
    script = "import time\ndef run(mini_batch):\n    time.sleep(0.01)\n    return mini_batch * 2"
    calm = desk.run(script, path, mode="rows", mini_batch_size=2000, instance_count=2)
    assert calm.row.state == "Completed", (calm.row, calm.progress, calm.errors())
    undisturbed = calm.output.read_bytes()
    name = desk.start(script, path, mode="rows", mini_batch_size=2000, instance_count=2, max_retries=20)
    folder = find_folder(desk.home, name)
    kills = 0
    while is_coordinated(folder):
        size = count_bytes(folder) + chance.randrange(1, 2500)
        wait_until(lambda size=size: count_bytes(folder) >= size or not is_coordinated(folder), 60)
        readers = [process.pid for process in find_labelled("mlctl.batch.splitting", str(folder.blocks))]
        victims = [*desk.workers(name), desk.coordinator(name), desk.coordinator(name)]
        if not is_coordinated(folder):
            break
        victim = chance.choice(victims)
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
            kills += 1
        if victim == desk.coordinator(name):
            wait_until(lambda: not is_coordinated(folder) and not desk.workers(name))
            wait_until(lambda pids=readers: not any(Path(f"/proc/{pid}").exists() for pid in pids))
            if not desk.row(name).has_ended:
                desk.resume(name)
    ended = desk.finish(name)
    assert ended.row.state == "Completed", ended.row.error
    assert kills > 8
    assert ended.output.read_bytes() == undisturbed
    assert ended.counts == (600_000, 600_000, 0)
    assert not list(folder.blocks.iterdir())
    assert [found.name for found in folder.parts.iterdir() if found.suffix != ".schema"] == []
    assert [found.name for found in ended.output.parent.iterdir()] == ["predictions.csv"]


def test_a_journal_that_was_torn_anywhere_gives_the_same_output(desk: Desk) -> None:
    chance = random.Random(3)
    files = desk.write_files(300)
    script = "import time\n" + WIDE.replace("    return", "    time.sleep(0.005)\n    return")
    name = desk.start(script, files, mini_batch_size=2, instance_count=2)
    folder = find_folder(desk.home, name)
    for _ in range(12):
        size = count_bytes(folder) + 300
        wait_until(
            lambda size=size: (
                not is_coordinated(folder) or (folder.journal.exists() and folder.journal.stat().st_size > size)
            )
        )
        if not is_coordinated(folder):
            break
        os.kill(desk.coordinator(name), signal.SIGKILL)
        wait_until(lambda: not is_coordinated(folder) and not desk.workers(name))
        os.truncate(folder.journal, folder.journal.stat().st_size - chance.randrange(250))
        desk.resume(name)
    ended = desk.finish(name)
    assert ended.lines == expected(300)
    assert ended.counts == (300, 300, 0)


def test_a_journal_with_a_flipped_bit_is_refused(desk: Desk) -> None:
    files = desk.write_files(300)
    name = desk.start(
        "import time\n" + WIDE.replace("    return", "    time.sleep(0.01)\n    return"), files, mini_batch_size=2
    )
    folder = find_folder(desk.home, name)
    wait_until(lambda: folder.journal.exists() and folder.journal.stat().st_size > 1000)
    desk.stop(name)
    desk.finish(name)
    content = bytearray(folder.journal.read_bytes())
    content[len(content) // 2] ^= 4
    folder.journal.write_bytes(content)
    desk.resume(name)
    ended = desk.finish(name)
    assert ended.row.state == "Failed"
    assert "is damaged" in (ended.row.error or "")
    assert folder.journal.read_bytes() == content
    assert time.time() - (ended.row.ended_at or 0) < 60
