"""Another user of this machine gets at nothing, and mlctl works for who is not root (root ignores file modes)."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from mlctl.runtimes.processes import find_labelled
from mlctl.settings import registry_label
from tests.acceptance.conftest import Machine, Ran, boot, free_port
from tests.acceptance.interpreters import CHECKOUT, make_interpreter
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user"),
]

NOBODY = 65534
NAME = ("-n", "fraud-endpoint")

# Tries everything that must be refused; prints what was not. Needs the standard library only.
INTRUDER = """
import json, os, socket, sys

paths = json.loads(sys.stdin.read())
got = []

def attempt(what, action):
    try:
        action()
    except OSError as error:
        if not isinstance(error, PermissionError):
            got.append(f"{what}: {error!r}")
    else:
        got.append(what)

def connect(kind, path):
    with socket.socket(socket.AF_UNIX, kind) as one:
        one.settimeout(2)
        one.connect(path)

def write(path):
    os.close(os.open(path, os.O_WRONLY | os.O_APPEND))

assert os.getuid() != 0
for path in paths["folders"]:
    attempt(f"listed {path}", lambda: os.listdir(path))
    attempt(f"made a file in {path}", lambda: open(os.path.join(path, "planted"), "x"))
for path in paths["files"]:
    attempt(f"read {path}", lambda: open(path, "rb").close())
    attempt(f"wrote {path}", lambda: write(path))
    attempt(f"removed {path}", lambda: os.unlink(path))
for path in paths["streams"]:
    attempt(f"connected to {path}", lambda: connect(socket.SOCK_STREAM, path))
for path in paths["datagrams"]:
    attempt(f"connected to {path}", lambda: connect(socket.SOCK_DGRAM, path))
for pid in paths["pids"]:
    attempt(f"read the environment of {pid}", lambda: open(f"/proc/{pid}/environ", "rb").read())
    attempt(f"signalled {pid}", lambda: os.kill(pid, 0))
print(json.dumps(got))
"""


def run_as(user: int, argv: Sequence[str], **more: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(argv),
        user=user,
        group=user,
        extra_groups=[],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        cwd="/",
        **more,  # type: ignore[arg-type]
    )


def find_python(user: int) -> str:
    """Return a Python of our own version that another user may start, whose packages are ours."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    readable = "import os, sys; sys.exit(not os.access(sys.argv[1], os.R_OK | os.X_OK))"
    for base in (os.path.realpath(sys.executable), f"/usr/local/bin/{version}", f"/usr/bin/{version}"):
        try:
            if run_as(user, [base, "-c", readable, str(CHECKOUT / "mlctl")], env={}).returncode == 0:
                return base
        except OSError:
            continue
    pytest.skip(f"no {version} that the user {user} may start and that may read {CHECKOUT}")


@pytest.fixture(scope="module")
def roots() -> Iterator[Machine]:
    """root's machine, with everything on it that others must not see."""
    with boot() as machine:
        # Else it is the folder that tempfile made, and not mlctl, that keeps others out.
        machine.home.parent.chmod(0o755)
        machine.create_endpoint()
        machine.write_script()
        machine.deploy("blue", "--all-traffic")
        assert machine.score().status_code == 200
        yield machine


def run_dir(machine: Machine) -> Path:
    return Path(machine.replicas()[0].socket).parent


def intrude(**paths: Sequence[object]) -> list[str]:
    """Let another user try everything; return what it got."""
    wanted = {name: [] for name in ("folders", "files", "streams", "datagrams", "pids")} | paths
    ran = run_as(NOBODY, [find_python(NOBODY), "-I", "-c", INTRUDER], input=json.dumps(wanted, default=str), env={})
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def test_another_user_gets_at_no_file_of_a_registry(roots: Machine):
    found = [roots.home, run_dir(roots), *roots.home.rglob("*"), *run_dir(roots).rglob("*")]
    files = [path for path in found if path.is_file()]
    assert {"registry.db", "secret.key", "access.log", "bootstrap.json", "score.py"} <= {path.name for path in files}
    assert intrude(folders=[path for path in found if path.is_dir()], files=files) == []


def test_another_user_gets_at_no_socket_of_a_registry(roots: Machine):
    sockets = [path for path in run_dir(roots).iterdir() if path.is_socket()]
    datagrams = [path for path in sockets if path.name == "wake.sock"]
    streams = [path for path in sockets if path not in datagrams]
    assert {"envoy.sock", "gateway.sock", "wake.sock"} <= {path.name for path in sockets}
    assert len(streams) >= 3
    assert intrude(streams=streams, datagrams=datagrams) == []


def test_another_user_gets_at_no_process_of_a_registry(roots: Machine):
    assert intrude(pids=roots.processes()) == []


def test_what_is_private_is_so_by_its_own_mode(roots: Machine):
    """The folders keep others out; should somebody open them, the keys and sockets inside stay closed."""
    folders = [path for path in (roots.home, *roots.home.rglob("*"), run_dir(roots)) if path.is_dir()]
    modes = {path: path.stat().st_mode & 0o7777 for path in folders if not path.is_symlink()}
    files = [path for path in roots.home.rglob("*") if path.is_file() and not path.is_symlink()]
    before = {path.name for path in files if path.stat().st_mode & 0o077}
    try:
        for path in modes:
            path.chmod(0o755)
        sockets = [path for path in run_dir(roots).iterdir() if path.is_socket()]
        datagrams = [path for path in sockets if path.name == "wake.sock"]
        got = intrude(
            files=[path for path in files if path.exists()],
            streams=[path for path in sockets if path not in datagrams],
            datagrams=datagrams,
        )
    finally:
        for path, mode in modes.items():
            path.chmod(mode)
    assert got == []
    assert before == set()


def test_an_intruder_tells_what_it_gets():
    """Otherwise the tests above would show nothing."""
    with tempfile.TemporaryDirectory(prefix="mlt-") as name:
        folder, file = Path(name), Path(name) / "open.txt"
        folder.chmod(0o755)
        file.write_text("open")
        file.chmod(0o644)
        assert intrude(folders=[folder], files=[file]) == [f"listed {folder}", f"read {file}"]


# A user who is not root


@dataclass
class Theirs:
    """mlctl as a user who is not root runs it: every command a process of theirs."""

    user: int
    python: Path
    folder: Path
    port: int

    @property
    def home(self) -> Path:
        return self.folder / "home" / ".local" / "share" / "mlctl"

    def run(self, *words: str) -> Ran:
        environ = {
            "HOME": str(self.folder / "home"),
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "TMPDIR": str(self.folder / "tmp"),
            "MLCTL_GATEWAY_PORT": str(self.port),
            "MLCTL_METRICS_PORT": "0",
        }
        ran = run_as(self.user, [str(self.python), "-m", "mlctl.cli.main", *words], env=environ)
        return Ran(ran.returncode, ran.stdout, ran.stderr)

    def ok(self, *words: str) -> Ran:
        ran = self.run(*words)
        assert ran.code == 0, ran.err
        return ran

    def processes(self) -> list[int]:
        found = [
            *find_labelled("mlctl.scoring", registry_label(self.home)),
            *find_labelled("mlctl.control", str(self.home)),
            *find_labelled("-c", str(self.home / "gateway" / "bootstrap.json")),
        ]
        return [process.pid for process in found]


@pytest.fixture
def theirs() -> Iterator[Theirs]:
    """A user's folder in which only `home`, `tmp` and `work` are theirs."""
    base = find_python(NOBODY)
    folder = Path(tempfile.mkdtemp(prefix="mlt-"))
    folder.chmod(0o755)
    machine = Theirs(NOBODY, make_interpreter(folder / "python", base), folder, free_port())
    for name in ("home", "tmp", "work"):
        (folder / name).mkdir(mode=0o755)
        os.chown(folder / name, NOBODY, NOBODY)
    try:
        yield machine
        machine.run("daemon", "stop")
        wait_until(lambda: not machine.processes(), what=f"orphans: {machine.processes()}")
    finally:
        for pid in machine.processes():
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)


SCORE = """
import json, os

def init():
    global content
    content = open(os.path.join(os.environ["AZUREML_MODEL_DIR"], "model.txt")).read()

def run(raw_data):
    return {"uid": os.getuid(), "model": content}
"""


def write_deployment(machine: Theirs) -> str:
    work = machine.folder / "work"
    (work / "src").mkdir()
    (work / "src" / "score.py").write_text(SCORE)
    (work / "model.txt").write_text("theirs")
    (work / "request.json").write_text("{}")
    document = {
        "name": "blue",
        "endpoint_name": "fraud-endpoint",
        "model": {"path": "./model.txt"},
        "code_configuration": {"code": "./src", "scoring_script": "score.py"},
        "environment": {"image": "python:3.11"},
        "instance_type": "Standard_DS2_v2",
        "instance_count": 1,
    }
    (work / "blue.yml").write_text(json.dumps(document))
    return str(work / "blue.yml")


def test_mlctl_works_from_start_to_stop_for_a_user_who_is_not_root(theirs: Theirs):
    theirs.ok("endpoint", "create", *NAME)
    theirs.ok("deployment", "create", "-f", write_deployment(theirs), "--all-traffic")
    request = str(theirs.folder / "work" / "request.json")
    answer = theirs.ok("endpoint", "invoke", *NAME, "--request-file", request).out
    assert json.loads(json.loads(answer) if answer.startswith('"') else answer) == {"uid": NOBODY, "model": "theirs"}
    theirs.ok("endpoint", "update", *NAME, "--traffic", "blue=100")
    theirs.ok("deployment", "get-logs", "-n", "blue", "-e", "fraud-endpoint")
    assert {Path(f"/proc/{pid}").stat().st_uid for pid in theirs.processes()} == {NOBODY}
    theirs.ok("doctor")
    theirs.ok("endpoint", "delete", *NAME, "--yes")
    theirs.ok("daemon", "stop")
    assert theirs.processes() == []
    found = [path for path in theirs.home.rglob("*") if not path.is_symlink()]
    assert [str(path) for path in found if path.stat().st_mode & 0o077 and path.is_file()] == []
    assert theirs.home.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in (theirs.folder / "tmp").iterdir()] == []


def test_a_registry_of_somebody_else_is_refused_in_the_users_terms(theirs: Theirs, roots: Machine):
    environ = {"HOME": str(theirs.folder / "home"), "MLCTL_HOME": str(roots.home), "TMPDIR": str(theirs.folder / "tmp")}
    for words in (("endpoint", "list"), ("endpoint", "create", *NAME), ("daemon", "start"), ("daemon", "stop")):
        ran = run_as(NOBODY, [str(theirs.python), "-m", "mlctl.cli.main", *words], env=environ)
        assert ran.returncode == 6, ran.stderr
        assert str(roots.home) in ran.stderr
        assert "Traceback" not in ran.stderr
        assert "bug of mlctl" not in ran.stderr
    assert roots.score().status_code == 200
