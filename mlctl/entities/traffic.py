"""Rules for traffic and mirrored traffic. Used by the endpoint model, and by `ops` for `--traffic` and its like."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches

from mlctl.entities.names import normalize_name
from mlctl.errors import InvalidInput

MIRROR_MAX_PERCENT = 50
_NO_MIRROR: Mapping[str, int] = {}


def parse_percentages(text: str, option: str = "--traffic") -> dict[str, int]:
    """Parse `"blue=90 green=10"` as az does; names in lower case, entries of 0 left out. Faults: InvalidInput."""
    example = f'for example {option} "blue=90 green=10"'
    shares: dict[str, int] = {}
    for entry in _split_entries(text, option, example):
        name, percent = _parse_entry(entry, option, example)
        if name in shares:
            raise InvalidInput(f"{option}: {name} is given twice", hint=example)
        shares[name] = percent
    return {name: percent for name, percent in shares.items() if percent}


def _split_entries(text: str, option: str, example: str) -> list[str]:
    """Split at single blanks; name the usual slips."""
    if not text.strip():
        raise InvalidInput(f"{option} is empty", hint=example)
    for sign, advice in ((",", "entries are parted by a blank, not by a comma"), ("%", "leave the % sign out")):
        if sign in text:
            raise InvalidInput(f'{option} "{text}": {advice}', hint=example)
    if " =" in text or "= " in text:
        raise InvalidInput(f'{option} "{text}": there must be no blank beside the =', hint=example)
    entries = text.split(" ")
    if "" in entries:
        raise InvalidInput(f'{option} "{text}": entries are parted by exactly one blank', hint=example)
    return entries


def _parse_entry(entry: str, option: str, example: str) -> tuple[str, int]:
    name, separator, digits = entry.partition("=")
    if not separator or not name:
        raise InvalidInput(f'{option}: "{entry}" is not of the form name=percent', hint=example)
    if not (digits.isascii() and digits.isdigit()):
        raise InvalidInput(f'{option}: "{digits}" is not a whole percentage for {name}', hint=example)
    if len(digits.lstrip("0")) > 3:
        raise InvalidInput(f"{option}: {name}={digits[:12]} is more than 100", hint=example)
    return normalize_name(name), int(digits)


def find_traffic_fault(traffic: Mapping[str, int]) -> str | None:
    """Say what is wrong with the shares themselves, or None: each 0 to 100, together 100 or 0."""
    for name, percent in traffic.items():
        if not 0 <= percent <= 100:
            return f"{name} gets {percent} %, which is not between 0 and 100"
    total = sum(traffic.values())
    if total in (0, 100):
        return None
    parts = " + ".join(f"{name} {percent}" for name, percent in traffic.items())
    return f"{parts} makes {total}, it must be 100 (or 0: nobody is served)"


def find_mirror_fault(mirror: Mapping[str, int], traffic: Mapping[str, int]) -> str | None:
    """Say what is wrong with mirrored traffic, or None: one deployment, at most 50 %, not live at the same time."""
    shares = {name: percent for name, percent in mirror.items() if percent}
    if len(shares) > 1:
        return f"traffic is mirrored to one deployment at most, not to {' and '.join(shares)}"
    for name, percent in shares.items():
        if not 0 <= percent <= MIRROR_MAX_PERCENT:
            return f"{name} would get {percent} %, at most {MIRROR_MAX_PERCENT} % can be mirrored"
        if traffic.get(name, 0) > 0:
            return f"{name} has {traffic[name]} % of the live traffic, it cannot get mirrored traffic as well"
    return None


def check_traffic(
    traffic: Mapping[str, int],
    deployments: Collection[str],
    mirror: Mapping[str, int] = _NO_MIRROR,
    *,
    endpoint: str,
) -> None:
    """Check live and mirrored shares against the deployments that `endpoint` has; raise InvalidInput."""
    for name, percent in (*traffic.items(), *mirror.items()):
        if name not in deployments:
            raise InvalidInput(_describe_unknown(name, percent, deployments, endpoint))
    fault = find_traffic_fault(traffic)
    if fault is not None:
        raise InvalidInput(f"traffic of {endpoint}: {fault}", hint=_suggest_rest(traffic, deployments))
    fault = find_mirror_fault(mirror, traffic)
    if fault is not None:
        raise InvalidInput(f"mirrored traffic of {endpoint}: {fault}", hint=_suggest_mirror(mirror, traffic, endpoint))


def _describe_unknown(name: str, percent: int, deployments: Collection[str], endpoint: str) -> str:
    known = f" ({', '.join(sorted(deployments))})" if deployments else ", it has none yet"
    near = get_close_matches(name, sorted(deployments), n=1)
    question = f". Did you mean {near[0]}={percent}?" if near else ""
    return f"there is no deployment {name} at {endpoint}{known}{question}"


def _suggest_mirror(mirror: Mapping[str, int], traffic: Mapping[str, int], endpoint: str) -> str:
    """Give the command that ends the conflict: one mirror, no more than allowed, to a deployment that is not live."""
    shares = {name: percent for name, percent in mirror.items() if percent}
    idle = [name for name in shares if not traffic.get(name)]
    chosen = f"{idle[0]}={min(shares[idle[0]], MIRROR_MAX_PERCENT)}" if idle else f"{next(iter(shares))}=0"
    live = " ".join(f"{name}={percent}" for name, percent in traffic.items() if percent)
    return f"mlctl endpoint update -n {endpoint}{f' --traffic {chr(34)}{live}{chr(34)}' if live else ''}" + (
        f' --mirror-traffic "{chosen}"'
    )


def _suggest_rest(traffic: Mapping[str, int], deployments: Collection[str]) -> str:
    """Complete a sum below 100 with the one deployment that was not named."""
    rest = 100 - sum(traffic.values())
    unnamed = sorted(set(deployments) - set(traffic))
    if rest > 0 and len(unnamed) == 1:
        shares = {**traffic, unnamed[0]: rest}
        return "did you mean " + " ".join(f"{name}={percent}" for name, percent in shares.items()) + "?"
    return ""
