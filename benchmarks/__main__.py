"""Choose benchmarks, run them, and exit 1 when a target is missed or a figure could not be had."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from benchmarks import batch_scoring, edit_loop, gateway_overhead, scoring_server, soak, start_up, whole_path
from benchmarks.local_mlctl import end_on_sigterm
from benchmarks.machine import describe_machine
from benchmarks.outcome import FULL, QUICK, BenchmarkFailed, Effort, Target

BENCHMARKS: dict[str, Callable[[Effort], list[Target]]] = {
    "whole-path": whole_path.measure,
    "scoring-server": scoring_server.measure,
    "gateway-overhead": gateway_overhead.measure,
    "start-up": start_up.measure,
    "edit-loop": edit_loop.measure,
    "batch": batch_scoring.measure,
}
# Only when asked for: it takes 20 minutes.
ON_DEMAND: dict[str, Callable[[Effort], list[Target]]] = {"soak": soak.measure}
ALL = {**BENCHMARKS, **ON_DEMAND}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks that are named, all of them by default, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure mlctl beside its peers.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(ALL)} (default: all but soak)")
    parser.add_argument("--quick", action="store_true", help="short runs: to see that all works, not for figures")
    parsed = parser.parse_args(arguments)
    unknown = [name for name in parsed.names if name not in ALL]
    if unknown:
        parser.error(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(ALL)}")
    end_on_sigterm()
    print(describe_machine())
    return _run(parsed.names or list(BENCHMARKS), QUICK if parsed.quick else FULL)


def _run(names: Sequence[str], effort: Effort) -> int:
    verdicts: list[str] = []
    has_failed = False
    for name in names:
        print(f"\n{name}", flush=True)
        try:
            targets = ALL[name](effort)
        except BenchmarkFailed as error:
            has_failed = True
            verdicts.append(f"FAILED  {name}: {error}")
            continue
        has_failed |= not all(target.is_met for target in targets)
        verdicts += [target.render() for target in targets]
    print("\n" + "\n".join(verdicts))
    return int(has_failed)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("\ninterrupted: what the benchmark had started has been ended", file=sys.stderr)
        sys.exit(130)
