"""A job while it runs: bars and counts that move on a terminal, plain lines elsewhere, the log of a command job."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlctl.ops import batch_jobs
from mlctl.ops.session import Session

if TYPE_CHECKING:
    from mlctl.ops.batch_jobs import Job

_LOOK_EVERY_S = 0.1
_SAY_EVERY_S = 10.0
_RATE_OVER_S = 5.0
_BAR_WIDTH, _LEAST_BAR_WIDTH = 30, 8
_SHOWN_WORKERS = 4
_SHOWN_FAILURES = 3
_GAP, _INDENT = " " * 3, " " * 10
Say = Callable[[str], None]


class Pace:
    """Items per second over the last seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def note(self, progress: Mapping[str, Any]) -> None:
        """Take in what a job's coordinator wrote last; before it has written anything, there is no time either."""
        if progress.get("updated_at"):
            self.add(float(progress["updated_at"]), int(progress.get("items_done") or 0))

    def add(self, at: float, done: int) -> None:
        """Note how many were done by then."""
        self._seen.append((at, done))
        while len(self._seen) > 2 and at - self._seen[0][0] > _RATE_OVER_S:
            self._seen.popleft()

    @property
    def per_second(self) -> float:
        """The rate; 0 until something was done."""
        (first_at, first), (last_at, last) = (self._seen[0], self._seen[-1]) if self._seen else ((0.0, 0), (0.0, 0))
        return (last - first) / (last_at - first_at) if last_at > first_at else 0.0


def follow(session: Session, name: str, *, is_live: bool, say: Say) -> Job:
    """Show a job until it has ended, and return it. is_live: draw on stderr; else `say` lines.

    A KeyboardInterrupt passes through: the job goes on.
    """
    job = batch_jobs.look(session, name)
    if job.row.kind == "pipeline":
        return _follow_steps(session, name, say)
    if not job.scores:
        return _follow_log(session, name, say)
    return _draw(session, name) if is_live else _tell(session, name, say)


def _watch(session: Session, name: str, show: Callable[[Job, Pace], None]) -> Job:
    """Look at a job again and again, until it has ended."""
    pace = Pace()
    while True:
        job = batch_jobs.look(session, name)
        pace.note(job.progress)
        show(job, pace)
        if job.has_ended:
            return job
        time.sleep(_LOOK_EVERY_S)


def _tell(session: Session, name: str, say: Say) -> Job:
    told_at, told = time.monotonic(), ""

    def show(job: Job, pace: Pace) -> None:
        nonlocal told_at, told
        if job.status != told:
            told = job.status
            say(f"{name}: {told}")
        if time.monotonic() - told_at > _SAY_EVERY_S and not job.has_ended:
            told_at = time.monotonic()
            say(f"{name}: {describe_progress(job, pace)}{tell_workers(job)}")

    return _watch(session, name, show)


def tell_workers(job: Job) -> str:
    """Say what the workers do while nothing is done yet."""
    workers: list[Mapping[str, Any]] = job.progress.get("workers") or []
    if job.progress.get("items_done") or not workers:
        return ""
    return "; " + ", ".join(_worker(worker) for worker in workers[:_SHOWN_WORKERS])


def _unit(job: Job) -> str:
    return "files" if job.row.spec["input"]["mode"] == "files" else "rows"


def describe_progress(job: Job, pace: Pace) -> str:
    """Say in one line how far a job is."""
    progress, unit = job.progress, _unit(job)
    done, total = int(progress.get("items_done") or 0), progress.get("items_total")
    parts = [f"{done:,}" + (f" of {int(total):,} {unit}" if total else f" {unit}")]
    if pace.per_second:
        parts.append(show_rate(pace.per_second, unit))
        if total:
            parts.append(f"{show_duration((int(total) - done) / pace.per_second)} left")
    parts += [
        f"{int(progress[key]):,} {word}"
        for key, word in (("retries", "retries"), ("items_failed", "failed"))
        if progress.get(key)
    ]
    return ", ".join(parts)


def show_rate(rate: float, unit: str) -> str:
    """Render a rate in the unit a person would say: 1.04 M rows/s."""
    if rate >= 1e6:
        return f"{rate / 1e6:,.2f} M {unit}/s"
    return f"{rate:,.0f} {unit}/s" if rate >= 10 else f"{rate:,.1f} {unit}/s"


def show_duration(seconds: float) -> str:
    """Render a time: 0:00:07."""
    whole = max(0, round(seconds))
    return f"{whole // 3600}:{whole % 3600 // 60:02}:{whole % 60:02}"


def _draw(session: Session, name: str) -> Job:
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True, highlight=False)
    with Live(console=console, transient=True, refresh_per_second=8) as live:
        return _watch(session, name, lambda job, pace: live.update("\n".join(draw_picture(job, pace, console.width))))


def draw_picture(job: Job, pace: Pace, width: int) -> Iterator[str]:
    """Yield the lines of the moving picture. width: of the terminal."""
    progress, unit = job.progress, _unit(job)
    total = progress.get("items_total")
    workers: list[Mapping[str, Any]] = progress.get("workers") or []
    count = f"{int(total):,} {unit} · {int(progress['mini_batches_total']):,} mini-batches · " if total else ""
    many = len(workers) or int(job.row.spec["instance_count"])
    yield f"job {job.row.name}   {count}{many} worker{'s' if many > 1 else ''}"
    done = int(progress.get("items_done") or 0)
    words = {"NotStarted": "starting", "Running": "scoring", "Finalizing": "writing", "NotResponding": "stopped"}
    word = words.get(job.status, job.status)
    rate = f"   {show_rate(pace.per_second, unit)}" if pace.per_second else ""
    waiting = int(total) - done if total and pace.per_second else 0
    left = f"   {show_duration(waiting / pace.per_second)} left" if waiting else ""
    text = f"{done:,} {unit}{rate}{left}"
    if total:
        text = f" {100 * done / total:3.0f} %   {text}"
        text = _bar(done / total, width - len(_INDENT) - len(text)) + text
    yield f"{word:<10}{text}"
    parts = [
        f"retried {int(progress.get('retries') or 0):,}",
        f"failed {unit} {int(progress.get('items_failed') or 0):,}",
    ]
    workers = workers if job.status == "Running" else []
    parts += [_worker(worker) for worker in workers[:_SHOWN_WORKERS]]
    if len(workers) > _SHOWN_WORKERS:
        parts.append(f"and {len(workers) - _SHOWN_WORKERS} more")
    yield from lay_out(parts, width)


def lay_out(parts: Sequence[str], width: int) -> list[str]:
    """Put parts side by side, into as few lines as the terminal's width allows; no part is cut."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + len(_GAP) + len(part) <= width:
            lines[-1] += f"{_GAP}{part}"
        else:
            lines.append(f"{_INDENT}{part}")
    return lines


def _bar(share: float, room: int) -> str:
    """Draw a bar as wide as there is room for, within bounds."""
    width = max(_LEAST_BAR_WIDTH, min(_BAR_WIDTH, room))
    full = min(width, int(share * width))
    return "━" * full + ("╸" if full < width else "") + "─" * (width - full - 1)


def _worker(worker: Mapping[str, Any]) -> str:
    mini_batch = worker.get("mini_batch")
    state = (
        "in init()" if not worker.get("ready") else "waiting" if mini_batch is None else f"mini-batch {mini_batch:,}"
    )
    return f"worker {worker['number']} {'●' if mini_batch is not None else '○'} {state}"


def _follow_log(session: Session, name: str, say: Say) -> Job:
    job = batch_jobs.look(session, name)
    path, position = Path(job.folder) / "user_logs" / "std_log.txt", 0
    while True:
        job = batch_jobs.look(session, name)
        text, position = _read_from(path, position)
        if text:
            say(text.removesuffix("\n"))
        if job.has_ended:
            return job
        time.sleep(_LOOK_EVERY_S)


def _follow_steps(session: Session, name: str, say: Say) -> Job:
    """Tell the states of a pipeline's steps, and what they print, each line with its step's name before it."""
    told: dict[str, str] = {}
    positions: dict[str, int] = {}
    while True:
        # Looked at first: of a job that has ended, every step has said its last word.
        job = batch_jobs.look(session, name)
        for step in batch_jobs.list_steps(session, name):
            label = str(step.row.spec["step"])
            _tell_log(step, label, positions, say)
            if step.status != told.get(label, "NotStarted"):
                told[label] = step.status
                say(f"[{label}] {_describe_state(step, job)}")
        if job.has_ended:
            return job
        time.sleep(_LOOK_EVERY_S)


def _tell_log(step: Job, label: str, positions: dict[str, int], say: Say) -> None:
    text, positions[label] = _read_from(step.folder / "user_logs" / "std_log.txt", positions.get(label, 0))
    for line in text.splitlines():
        say(f"[{label}] {line}")


def _describe_state(step: Job, job: Job) -> str:
    reused: Mapping[str, str] = job.progress.get("reused") or {}
    earlier = reused.get(str(step.row.spec["step"]))
    if earlier:
        return f"{step.status}, taken over from {earlier}"
    counts = describe_progress(step, Pace()) if step.scores and step.has_ended else ""
    return f"{step.status}: {step.row.error or counts}" if step.row.error or counts else step.status


_SIGNS = {"Completed": "✔", "Failed": "✖", "Running": "●", "Canceled": "–"}


def describe_steps(job: Job) -> Iterator[str]:
    """Yield a line for each step of a pipeline, as its coordinator has written down."""
    states: Mapping[str, str] = job.progress.get("steps") or {}
    reused: Mapping[str, str] = job.progress.get("reused") or {}
    for name, state in states.items():
        note = f", taken over from {reused[name]}" if name in reused else ""
        yield f"{_SIGNS.get(state, '○')} {name:<20} {state}{note}"


def _read_from(path: Path, position: int) -> tuple[str, int]:
    try:
        with path.open("rb") as file:
            file.seek(position)
            content = file.read()
    except OSError:
        return "", position
    # Half a character is read with its other half.
    whole = content[: content.rfind(b"\n") + 1] or content
    return whole.decode(errors="replace"), position + len(whole)


def summarize(job: Job, *, tells_why: bool = True) -> Iterator[str]:
    """Yield the lines that tell how a job ended. tells_why: and why it failed, which an error may say as well."""
    if not job.scores:
        yield from _summarize_commands(job)
        if job.hint and tells_why:
            yield f"what to do    {job.hint}"
        return
    progress, unit = job.progress, _unit(job)
    took_s = (job.row.ended_at or time.time()) - (job.row.started_at or job.row.created_at)
    counts = (
        f"{int(progress.get('items_done') or 0):,} {unit} in · {int(progress.get('items_succeeded') or 0):,} scored · "
        f"{int(progress.get('items_failed') or 0):,} failed"
    )
    yield f"{job.status} in {took_s:.1f} s     {counts}"
    if job.why and tells_why:
        yield f"why           {job.why}"
    if job.hint and tells_why:
        yield f"what to do    {job.hint}"
    if progress.get("output"):
        from mlctl.cli.render import show_bytes

        yield f"scores        {progress['output']}   ({show_bytes(int(progress.get('output_bytes') or 0))})"
    elif job.status == "Completed":
        yield f"output        {job.row.spec['output']['folder']}"
    if progress.get("items_failed") and (job.folder / "failed_items.jsonl").exists():
        yield f"failed {unit:<6} {job.folder / 'failed_items.jsonl'}"
        examples: list[Mapping[str, Any]] = progress.get("failed_examples") or []
        for example in examples[:_SHOWN_FAILURES]:
            yield f"              {example['item']}: {str(example['error']).splitlines()[0]}"
    yield f"logs          {job.folder / 'logs'}"


def _summarize_commands(job: Job) -> Iterator[str]:
    """Yield what came of a command, or of a pipeline of commands."""
    yield f"{job.status}" + (f": {job.row.error}" if job.row.error else "")
    yield from describe_steps(job)
    if job.row.kind == "pipeline" and job.status in ("NotResponding", "Failed", "Canceled"):
        yield f"go on         mlctl batch resume -n {job.row.name}"
    for name, value in batch_jobs.list_metrics(job).items():
        yield f"metric        {name} = {value:g}"
    outputs: Mapping[str, str] = job.row.spec.get("output_folders") or {}
    if job.status == "Completed":
        for name, path in outputs.items():
            yield f"output        {name}   {path}"


def ask_to_cancel(name: str) -> bool:
    """Ask, after Ctrl-C on a terminal, whether the job shall end, too."""
    if not sys.stdin.isatty():
        return False
    sys.stderr.write(f"\n{name} goes on. Cancel it? (y/N): ")
    sys.stderr.flush()
    try:
        return sys.stdin.readline().strip().lower() in ("y", "yes")
    except KeyboardInterrupt:
        return False
