"""What people see of `deployment profile`: the steps of requests, which of them takes the time, and what to try."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mlctl.cli.render import BAR_WIDTH, say
from mlctl.planning.step_times import Remedy

if TYPE_CHECKING:
    from mlctl.ops.profiling import Profile

_ABOUT_STEPS = {
    "queue": "waiting for run()",
    "decode": "making run()'s input of the body",
    "run": "run() itself",
    "encode": "making the answer of run()'s result",
}


def note_profile(profile: Profile) -> str:
    """Return what is to be said beside a profile: what is not in it, or that nothing is; empty for nothing."""
    if profile.silent:
        verb = "is" if profile.silent == 1 else "are"
        return f"{profile.silent} of {_count(profile.replicas, 'replica')} did not answer and {verb} left out"
    if profile.requests:
        return ""
    when = "yet" if profile.seconds is None else f"in {profile.seconds:,.1f} s"
    return (
        f"{profile.endpoint}/{profile.name} has had no requests {when}. Send one:"
        f"\n  mlctl endpoint invoke -n {profile.endpoint} -d {profile.name} --request-file request.json"
    )


def show_profile(profile: Profile) -> None:
    """Show the steps of requests, which of them takes most of the time, and what to try."""
    if not profile.requests:
        return
    since = time.strftime("%H:%M", time.localtime(profile.since))
    when = f"since {since}" if profile.seconds is None else f"in {profile.seconds:,.1f} s"
    facts = [_count(profile.replicas, "replica"), f"{_count(profile.requests, 'request')} {when}"]
    if profile.seconds:
        facts.append(f"{profile.requests / profile.seconds:,.1f} req/s")
    if profile.per_call is not None:
        facts.append(f"{profile.per_call:,.1f} requests a call of run()")
    facts += [f"{count:,} × {status}" for status, count in profile.statuses.items() if status != "200"]
    say(f"{profile.endpoint}/{profile.name}   {' · '.join(facts)}", "")
    _print_table(profile)
    if profile.dominant is not None:
        say("", *_advise(profile))


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _print_table(profile: Profile) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="dim")
    for column in ("step", "share", "p50", "p95", "p99"):
        table.add_column(column, justify="right" if column.startswith("p") else "left")
    for step in profile.steps:
        bar = "█" * round(step.share * BAR_WIDTH)
        times = (show_duration(value) if step.count else "–" for value in (step.p50_s, step.p95_s, step.p99_s))
        table.add_row(step.name, f"{bar} {step.share * 100:.0f} %".strip(), *times)
    Console(highlight=False, markup=False, soft_wrap=True, emoji=False).print(table)


def show_duration(seconds: float) -> str:
    """Render a time in the unit a person would say, with three digits."""
    for least, factor, unit in ((1.0, 1.0, "s"), (0.001, 1e3, "ms")):
        if seconds >= least:
            value = seconds * factor
            return f"{value:,.{2 if value < 10 else 1 if value < 100 else 0}f} {unit}"
    return f"{seconds * 1e6:.0f} µs"


def _advise(profile: Profile) -> list[str]:
    step = next(step for step in profile.steps if step.name == profile.dominant)
    said = f"{step.name} takes {step.share * 100:.0f} % of the time: {_ABOUT_STEPS[step.name]}."
    if not profile.is_notable:
        return [f"{said} All steps together take less than 1 ms a request: there is little to gain."]
    lines = [f"{said} Try:"]
    for remedy in profile.remedies:
        lines += [f"  {line}" for line in _REMEDIES[remedy](profile)]
    return lines


def _update(profile: Profile, *settings: str) -> str:
    return f"  mlctl deployment update -n {profile.name} -e {profile.endpoint} --set {' '.join(settings)}"


def _set_property(profile: Profile, name: str, value: str) -> str:
    """Write the token that sets a property and leaves the others as they are: --set takes no dots in a name."""
    properties: dict[str, Any] = profile.spec.get("properties") or {}
    return f"'properties={json.dumps({**properties, name: value})}'"


def _raise_concurrency(profile: Profile) -> list[str]:
    settings: dict[str, Any] = profile.spec.get("request_settings") or {}
    is_one = int(settings.get("max_concurrent_requests_per_instance") or 1) < 2
    return ["request_settings.max_concurrent_requests_per_instance=64"] if is_one else []


def _suggest_instances(profile: Profile) -> list[str]:
    count = int(profile.spec.get("instance_count") or 1) + 1
    return [
        f"more instances, while processors are free (this machine has {profile.processors})",
        _update(profile, f"instance_count={count}"),
    ]


def _suggest_joining(profile: Profile) -> list[str]:
    joining = _set_property(profile, "mlctl.micro_batching.max_rows", "64")
    return [
        "micro-batching: waiting requests are scored by one call of run()",
        _update(profile, joining, *_raise_concurrency(profile)),
    ]


def _suggest_concurrency(profile: Profile) -> list[str]:
    return ["more requests at a time: two at least can be joined", _update(profile, *_raise_concurrency(profile))]


def _suggest_threads(profile: Profile) -> list[str]:
    properties: dict[str, Any] = profile.spec.get("properties") or {}
    count = max(4, 2 * int(properties.get("mlctl.run_threads") or 1))
    return [
        "more threads for run(), which mostly waits for something; it has to be safe to call from several at a time",
        _update(profile, _set_property(profile, "mlctl.run_threads", str(count)), *_raise_concurrency(profile)),
    ]


_REMEDIES: dict[Remedy, Callable[[Profile], list[str]]] = {
    Remedy.INSTANCES: _suggest_instances,
    Remedy.MICRO_BATCHING: _suggest_joining,
    Remedy.CONCURRENCY: _suggest_concurrency,
    Remedy.RUN_THREADS: _suggest_threads,
    Remedy.FASTER_MODEL: lambda _: ["a faster model: exported to ONNX and run by onnxruntime, or a smaller one"],
    Remedy.SMALLER_BODIES: lambda _: [
        "smaller bodies: fewer rows, shorter numbers; or bytes, by @rawhttp and numpy.frombuffer"
    ],
    Remedy.SMALLER_ANSWERS: lambda _: [
        "smaller answers: numpy's arrays as they are or by tolist(), fewer digits, fewer fields"
    ],
}
