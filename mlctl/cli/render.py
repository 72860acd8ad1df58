"""What people see: views on stdout, errors and notes on stderr. Wording, signs and colours live here only.

rich is imported where a view is drawn: most commands run in pipes and never need it.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlctl.entities.stored import read_map
from mlctl.errors import MlctlError, Problem, UserCodeFailed

if TYPE_CHECKING:
    from rich.console import Console

    from mlctl.ops.artifacts import ArtifactUse, Pruned
    from mlctl.ops.collected_data import CollectedData
    from mlctl.ops.daemon import DaemonStatus
    from mlctl.ops.deployments import DeploymentResult
    from mlctl.ops.doctor import Finding
    from mlctl.ops.endpoints import DeploymentGlance, EndpointResult
    from mlctl.ops.environments import Content
    from mlctl.ops.trial import Trial
    from mlctl.ops.validation import FileReport
    from mlctl.registry.artifacts import Artifact, StoredCopy

# Only then does it help to see what the model holds.
_ABOUT_FILES = re.compile(r"NotFound|No such file|Directory|does not exist|there is no|must hold")
GOOD, BAD, NOTE = "✔", "✖", "!"
BAR_WIDTH = 17
PREVIEW_LENGTH = 60
EXCERPT_LENGTH = 120


def _console(*, is_error: bool = False) -> Console:
    from rich.console import Console

    return Console(stderr=is_error, highlight=False, markup=False, soft_wrap=True, emoji=False)


def _table(*columns: str) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="dim")
    for column in columns:
        table.add_column(column, justify="right" if column in ("replicas", "mirror") else "left", overflow="fold")
    return table


def show_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table for people."""
    table = _table(*columns)
    for row in rows:
        table.add_row(*row)
    _console().print(table)


def say(*lines: str) -> None:
    """Print lines for people."""
    console = _console()
    for line in lines:
        console.print(line)


# Views


def show_created_endpoint(result: EndpointResult) -> None:
    """Say that an endpoint is there and what comes next."""
    document = result.document
    say(
        f"{document['name']} is ready at {document['scoring_uri']}",
        "it has no deployments yet",
        f"add one   mlctl deployment create -f blue.yml -e {document['name']} --all-traffic",
    )


def show_endpoint(result: EndpointResult) -> None:
    """Show an endpoint at a glance: address, and a line for each deployment."""
    document, console = result.document, _console()
    facts = (document["name"], document["provisioning_state"], f"{document['auth_mode']} auth", document["scoring_uri"])
    console.print("   ".join(facts))
    if not result.deployments:
        console.print(f"no deployments yet: mlctl deployment create -f blue.yml -e {document['name']} --all-traffic")
        return
    console.print()
    table = _table("deployment", "traffic", "mirror", "replicas", "model", "state")
    for glance in result.deployments:
        table.add_row(*_glance_cells(glance))
    console.print(table)
    for glance in result.deployments:
        if glance.error:
            say(
                f"{BAD} {glance.name} {glance.error}", f"  mlctl deployment show -n {glance.name} -e {document['name']}"
            )


def _glance_cells(glance: DeploymentGlance) -> tuple[str, ...]:
    bar = "█" * max(1, round(glance.traffic * BAR_WIDTH / 100)) if glance.traffic else ""
    return (
        glance.name,
        f"{bar} {glance.traffic}".strip(),
        str(glance.mirror) if glance.mirror else "–",
        f"{glance.ready}/{glance.wanted}",
        glance.model,
        glance.state,
    )


def show_endpoints(rows: Sequence[Mapping[str, Any]]) -> None:
    """List endpoints."""
    if not rows:
        say("no endpoints yet", "create one   mlctl endpoint create -n fraud-endpoint")
        return
    table = _table("endpoint", "state", "traffic", "mirror", "kind")
    for row in rows:
        table.add_row(
            row["name"], row["provisioning_state"], _shares(row["traffic"]), _shares(row["mirror_traffic"]), row["kind"]
        )
    _console().print(table)


def _shares(shares: Mapping[str, int]) -> str:
    return " ".join(f"{name}={share}" for name, share in shares.items()) or "–"


def show_served(result: DeploymentResult) -> None:
    """Say where a deployment serves and what to try."""
    target = f"-n {result.endpoint}" + ("" if result.is_live else f" -d {result.name}")
    lines = [
        "",
        f"{result.endpoint}/{result.name} is serving at {result.scoring_uri}",
        f"try it   mlctl endpoint invoke {target} --request-file request.json",
        f"logs     mlctl deployment get-logs -n {result.name} -e {result.endpoint}",
    ]
    if not result.is_live:
        lines.append(
            f'traffic  it gets none yet: mlctl endpoint update -n {result.endpoint} --traffic "{result.name}=100"'
        )
    say(*lines)


def show_deployment(result: DeploymentResult) -> None:
    """Show a deployment's main facts."""
    document, table = result.document, _table("field", "value")
    table.show_header = False
    for key in ("provisioning_state", "instance_count", "instance_type", "model", "environment", "description"):
        if document.get(key) is not None:
            table.add_row(key, _short(document[key]))
    drift = document["properties"].get("mlctl.drift")
    if drift:
        table.add_row(f"{NOTE} drift", drift)
    for key in ("code_configuration", "request_settings", "environment_variables", "tags"):
        if document.get(key):
            table.add_row(key, ", ".join(f"{name}: {_short(value)}" for name, value in document[key].items()))
    console = _console()
    console.print(f"{result.endpoint}/{result.name}   {result.scoring_uri}\n")
    console.print(table)
    if result.failure is not None:
        say("", f"{BAD} {result.failure.message}", *_failure_lines(result.failure), f"  {result.failure.hint}")


def _short(value: Any) -> str:
    text = str(value)
    if text.startswith("azureml:/") and "/computes/" in text:
        return text.rpartition("/")[2]
    if text.startswith("azureml:/") and "/versions/" in text:
        name, version = text.rsplit("/versions/", 1)
        if name.startswith("azureml:/codes/"):
            return f"sha256:{name.rsplit('/', 1)[-1][:12]}"
        return f"{name.rsplit('/', 1)[-1]}:{version}"
    return text


def show_deployments(rows: Sequence[Mapping[str, Any]]) -> None:
    """List an endpoint's deployments."""
    if not rows:
        say("no deployments yet", "create one   mlctl deployment create -f blue.yml")
        return
    table = _table("deployment", "state", "model", "instance type")
    for row in rows:
        table.add_row(row["name"], row["provisioning_state"], _short(row["model"] or "–"), row["instance_type"] or "–")
    _console().print(table)


def show_asset(
    kind: str, document: Mapping[str, Any], copy: Artifact | None = None, content: Content | None = None
) -> None:
    """Show a version of a model or an environment. copy: its files, where some are kept; content: an environment's."""
    say(f"{kind} {document['name']}:{document['version']}")
    table = _table("field", "value")
    table.show_header = False
    for field, value in (*_asset_facts(document, copy), *_content_facts(content), *_said_facts(document)):
        table.add_row(field, value)
    _console().print(table)
    say(f"use it   {kind}: azureml:{document['name']}:{document['version']}")


def _asset_facts(document: Mapping[str, Any], copy: Artifact | None) -> Iterator[tuple[str, str]]:
    for key in ("description", "type", "stage", "image", "os_type"):
        if document.get(key):
            yield key, str(document[key])
    if copy is not None:
        yield "files", f"{copy.name} · {_count(copy.files, 'file')} · {_show_size(copy.size_bytes)}"
        yield "sha256", copy.hash[:12]


def _content_facts(content: Content | None) -> Iterator[tuple[str, str]]:
    if content is None:
        return
    if content.python:
        yield "python", re.sub(r"^==|\.\*$", "", content.python)
    if content.packages:
        shown = ", ".join(content.packages[:6]) + (", …" if len(content.packages) > 6 else "")
        yield "packages", f"{len(content.packages)}: {shown}"
    if content.drift:
        yield f"{NOTE} drift", "; ".join(content.drift)


def _said_facts(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key in ("tags", "properties"):
        if document.get(key):
            yield key, ", ".join(f"{name}={value}" for name, value in document[key].items())
    context = document.get("creation_context")
    if context:
        yield "created", f"{_show_created(context)} UTC by {context['created_by']}"


def _show_created(context: Mapping[str, Any]) -> str:
    return str(context["created_at"])[:19].replace("T", " ")


def show_assets(kind: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """List models or environments."""
    if not rows:
        say(f"no {kind}s yet", f"register one   mlctl {kind} create --help")
        return
    columns = ("version", "type", "stage", "tags", "created (UTC)", "by")
    cells = [_asset_cells(row) for row in rows]
    # A column that nobody filled takes room from the others.
    shown = [number for number in range(len(columns)) if any(row[number] for row in cells)]
    table = _table(kind, *(columns[number] for number in shown))
    for row, texts in zip(rows, cells, strict=True):
        table.add_row(row["name"], *(texts[number] for number in shown))
    _console().print(table)


def _asset_cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    context = row["creation_context"]
    tags: Mapping[str, Any] = row.get("tags") or {}
    return (
        row.get("version") or row["latest version"],
        row.get("model type") or "",
        row.get("stage") or "",
        ", ".join(f"{name}={value}" for name, value in tags.items()),
        _show_created(context),
        context["created_by"],
    )


def show_archived(kind: str, name: str, versions: Sequence[str]) -> None:
    """Say what is archived."""
    say(
        f"{kind} {name}: {_list_versions(versions)} archived, what names it exactly goes on",
        f"undo it   mlctl {kind} restore -n {name}",
    )


def show_restored(kind: str, name: str, versions: Sequence[str]) -> None:
    """Say what is back."""
    say(f"{kind} {name}: {_list_versions(versions)} restored")


def _list_versions(versions: Sequence[str]) -> str:
    return f"version {versions[0]}" if len(versions) == 1 else f"{len(versions):,} versions"


def list_reports(reports: Sequence[FileReport]) -> list[dict[str, Any]]:
    """Return what `validate` found, for programs."""
    keys = ("line", "column", "message", "hint")
    return [
        {
            "file": report.file,
            "kind": report.kind,
            "valid": report.is_valid,
            "problems": [{key: getattr(problem, key) for key in keys} for problem in report.problems],
        }
        for report in reports
    ]


def show_reports(reports: Sequence[FileReport]) -> None:
    """Show what is wrong with each file, where, and how to mend it."""
    for report in reports:
        if report.is_valid:
            partial = ", to be merged into one that is there" if report.is_partial else ""
            say(f"{report.file}: ok ({report.kind}{partial})")
            continue
        count = len(report.problems)
        say(f"{report.file}: {_count(count, 'problem')}", "")
        say(*(line for problem in report.problems for line in _problem_lines(problem)), "")


def list_artifacts(found: Sequence[ArtifactUse]) -> list[dict[str, Any]]:
    """Return the stored copies, for programs."""
    return [_describe_copy(use.copy) | {"used_by": list(use.used_by)} for use in found]


def _describe_copy(copy: StoredCopy) -> dict[str, Any]:
    stored_at = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(copy.stored_at))
    facts = {"hash": copy.hash, "name": copy.name, "files": copy.files, "size_bytes": copy.size_bytes}
    return facts | {"stored_at": stored_at}


def show_jobs(rows: Sequence[Mapping[str, Any]]) -> None:
    """Show jobs as a table."""
    if not rows:
        say("no jobs yet", "start one: mlctl batch invoke -n ENDPOINT --input PATH")
        return
    table = _table("job", "type", "status", "scored", "failed", "created")
    for row in rows:
        properties = row["properties"]
        counts = (properties.get(f"mlctl.items_{name}") for name in ("succeeded", "failed"))
        done, failed = ("–" if count is None else f"{int(count):,}" for count in counts)
        created = str(row["creation_context"]["created_at"])[:19].replace("T", " ")
        table.add_row(row["name"], row["type"], row["status"], done, failed, created)
    _console().print(table)


def show_artifacts(found: Sequence[ArtifactUse]) -> None:
    """List the stored copies."""
    if not found:
        say("nothing is stored yet", "store something   mlctl model create -n fraud-model -p ./model")
        return
    table = _table("artifact", "name", "files", "size", "used by")
    for use in found:
        size = _show_size(use.copy.size_bytes)
        users = ", ".join(use.used_by) or "nobody"
        table.add_row(use.copy.hash[:12], use.copy.name, f"{use.copy.files:,}", size, users)
    _console().print(table)
    total = sum(use.copy.size_bytes for use in found)
    say("", f"{_count(len(found), 'copy', 'copies')} · {_show_size(total)}")


def ask_to_prune(planned: Pruned) -> str:
    """Return the question before copies are removed."""
    return f"Remove {_name_pruned(planned)} ({_show_size(planned.freed_bytes)})?"


def _name_pruned(pruned: Pruned) -> str:
    copies, built = _count(len(pruned.copies), "copy", "copies"), _count(len(pruned.environments), "environment")
    return f"{copies} and {built}" if pruned.environments else copies


def list_pruned(pruned: Pruned) -> dict[str, Any]:
    """Return what was removed, for programs."""
    return {
        "removed": [_describe_copy(copy) for copy in pruned.copies],
        "removed_environments": [found.path.name for found in pruned.environments],
        "freed_bytes": pruned.freed_bytes,
        "kept_as_too_young": pruned.too_young,
        "kept_as_in_use": pruned.in_use,
        "dry_run": pruned.is_dry_run,
    }


def show_pruned(pruned: Pruned) -> None:
    """Say how much was freed."""
    verb = "would remove" if pruned.is_dry_run else "removed"
    say(f"{verb} {_name_pruned(pruned)} that nothing needs, {_show_size(pruned.freed_bytes)}")
    if pruned.too_young:
        kept = _count(pruned.too_young, "copy", "copies")
        say(f"kept {kept} stored just now   take them too: mlctl artifacts prune --older-than 0")
    if pruned.in_use:
        say(f"kept {_count(pruned.in_use, 'copy', 'copies')} that a running command has just stored")


def show_bytes(size_bytes: int) -> str:
    """Render a size in the unit a person would say."""
    return _show_size(size_bytes)


def _show_size(size_bytes: int) -> str:
    from mlctl.ops.resolving import show_size

    return show_size(size_bytes)


def list_findings(findings: Sequence[Finding]) -> list[dict[str, str]]:
    """Return what `doctor` found, for programs."""
    return [
        {"name": finding.name, "level": str(finding.level), "text": finding.text, "remedy": finding.remedy}
        for finding in findings
    ]


def show_findings(findings: Sequence[Finding]) -> None:
    """Show what is well and what is not, each with what to type."""
    signs = {"ok": GOOD, "warning": NOTE, "error": BAD}
    for finding in findings:
        say(f"{signs[finding.level]} {finding.name:<11} {finding.text}")
        if finding.remedy:
            say(f"{'':<13} {finding.remedy}")


def show_events(rows: Sequence[Mapping[str, Any]]) -> None:
    """List events."""
    table = _table("time", "event", "what", "by")
    for row in rows:
        table.add_row(time.strftime("%H:%M:%S", time.localtime(row["at"])), row["kind"], row["message"], row["os_user"])
    _console().print(table)


def show_collected(found: CollectedData) -> None:
    """List collected events, one line each, and say where they lie."""
    if not found.events:
        return
    table = _table("time", "collection", "id", "status", "data")
    for event in found.events:
        table.add_row(
            str(event.get("time", ""))[:23].replace("T", " "),
            str(event.get("type", "")).removeprefix("azureml.inference."),
            str(event.get("correlationid", "")),
            str(event.get("statuscode", "–")),
            _preview(event.get("data")),
        )
    console = _console()
    console.print(table)
    console.print(f"\n{len(found.events):,} events; all of them are in {found.folder}")


def _preview(data: object) -> str:
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    text = "".join(char if char.isprintable() else " " for char in text[: PREVIEW_LENGTH + 1])
    return text if len(text) <= PREVIEW_LENGTH else f"{text[:PREVIEW_LENGTH]}…"


def show_trial(trial: Trial) -> None:
    """Show what each step of a trial came to, and the verdict."""
    for step in trial.steps:
        sign, text = (BAD, step.error.message) if step.error else (GOOD, step.text)
        say(f"{sign} {step.name:<17} {text:<48} {step.seconds:>7.2f} s")
    if trial.error is None:
        say("", f"{trial.deployment} is ready to be deployed")


def write_junit(path: Path, trial: Trial) -> None:
    """Write a trial as JUnit XML, a case a step, for CI servers."""
    from xml.etree import ElementTree

    failures = sum(step.error is not None for step in trial.steps)
    suite = ElementTree.Element(
        "testsuite",
        name=f"mlctl deployment validate {trial.deployment}",
        tests=str(len(trial.steps)),
        failures=str(failures),
    )
    for step in trial.steps:
        case = ElementTree.SubElement(suite, "testcase", name=step.name, time=f"{step.seconds:.3f}")
        if step.error is not None:
            ElementTree.SubElement(case, "failure", message=step.error.message, type=step.error.code)
    ElementTree.ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)


def show_answer(body: str) -> None:
    """Show an answer's body as it came."""
    say(body)


def show_daemon(status: DaemonStatus) -> None:
    """Show how the daemon is."""
    if status.state == "stopped":
        served = "nothing is served"
        if status.gateway_pid is not None:
            served = f"{_count(status.replicas, 'replica')} and Envoy serve on, nothing keeps them up"
        say(f"{BAD} daemon     stopped: {served}", f"  registry   {status.home}", "start it   mlctl daemon start")
        return
    since = time.strftime("%H:%M", time.localtime(status.started_at))
    counts = f"{_count(status.endpoints, 'endpoint')} · {_count(status.replicas, 'replica')}"
    memory = f"{status.memory_bytes / 1e6:,.0f} MB"
    gateway = f"{GOOD} gateway    Envoy at {status.gateway} · pid {status.gateway_pid}"
    if status.gateway_pid is None:
        gateway = f"{BAD} gateway    Envoy is down, the daemon is starting it"
    say(
        f"{GOOD} daemon     {status.state} since {since} · pid {status.pid} · {counts} · {memory}",
        gateway,
        *([f"{GOOD} metrics    {status.metrics}"] if status.metrics else []),
        f"{GOOD} registry   {status.home}",
    )


def _count(number: int, noun: str, many: str = "") -> str:
    return f"{number:,} {noun if number == 1 else many or f'{noun}s'}"


# Batch endpoints and what belongs to them


def show_batch_endpoint(document: Mapping[str, Any], deployments: Sequence[str]) -> None:
    """Show a batch endpoint: its deployments, and how it is invoked."""
    name, default = document["name"], read_map(document, "defaults").get("deployment_name")
    say(f"{name}   {document['provisioning_state']}   default deployment: {default or 'none'}")
    if not deployments:
        say(f"no deployments yet: mlctl batch-deployment create -f classic.yml -e {name} --set-default")
        return
    say(f"deployments   {', '.join(deployments)}")
    target = "" if default else f" -d {deployments[0]}"
    say(f"try it        mlctl batch invoke -n {name}{target} --input PATH --stream")
    if not default:
        say(f"set a default mlctl batch update -n {name} --set defaults.deployment_name={deployments[0]}")


def show_batch_endpoints(rows: Sequence[Mapping[str, Any]]) -> None:
    """List batch endpoints."""
    if not rows:
        say("no batch endpoints yet", "create one   mlctl batch create -n fraud-batch")
        return
    table = _table("batch endpoint", "state", "default deployment")
    for row in rows:
        table.add_row(row["name"], row["provisioning_state"], row["deployment_name"] or "–")
    _console().print(table)


def show_created_batch_deployment(document: Mapping[str, Any], *, is_default: bool) -> None:
    """Say how a batch deployment is invoked."""
    endpoint, name = document["endpoint_name"], document["name"]
    say("", f"{endpoint}/{name} is ready" + (", and its endpoint's default" if is_default else ""))
    if document.get("type") == "pipeline":
        return
    target = f"-n {endpoint}" + ("" if is_default else f" -d {name}")
    say(f"try it   mlctl batch invoke {target} --input PATH --stream")


def show_batch_deployment(document: Mapping[str, Any]) -> None:
    """Show a batch deployment's settings."""
    table = _table("field", "value")
    table.show_header = False
    skipped = ("id", "name", "endpoint_name", "creation_context", "resourceGroup", "provisioning_state")
    for key, value in document.items():
        if key in skipped or value in ({}, None):
            continue
        parts = read_map(document, key) if isinstance(value, Mapping) else {}
        shown = ", ".join(f"{name}: {_short(part)}" for name, part in parts.items())
        table.add_row(key, shown or _short(value))
    say(f"{document['endpoint_name']}/{document['name']}   {document['provisioning_state']}", "")
    _console().print(table)


def show_batch_deployments(rows: Sequence[Mapping[str, Any]]) -> None:
    """List a batch endpoint's deployments."""
    if not rows:
        say("no batch deployments yet", "create one   mlctl batch-deployment create -f classic.yml")
        return
    table = _table("deployment", "state", "model", "compute")
    for row in rows:
        model, compute = (_short(row[key] or "–") for key in ("model", "compute"))
        table.add_row(row["name"], row["provisioning_state"], model, compute)
    _console().print(table)


def show_data(document: Mapping[str, Any]) -> None:
    """Show a version of a data asset."""
    properties = document["properties"]
    files, size = int(properties.get("mlctl.files") or 0), int(properties.get("mlctl.size_bytes") or 0)
    say(
        f"data {document['name']}:{document['version']}   {document['type']}",
        f"path     {document['path']}   ({_count(files, 'file')}, {_show_size(size)}; not copied)",
        f"use it   mlctl batch invoke -n ENDPOINT --input azureml:{document['name']}:{document['version']}",
    )


def show_data_assets(rows: Sequence[Mapping[str, Any]]) -> None:
    """List data assets, or the versions of one."""
    if not rows:
        say("no data yet", "register some   mlctl data create -n transactions -p ./transactions")
        return
    table = _table("data", "version", "type", "created (UTC)", "by")
    for row in rows:
        context = row["creation_context"]
        version = row.get("version") or row["latest_version"]
        table.add_row(row["name"], version, row["type"], _show_created(context), context["created_by"])
    _console().print(table)


def show_component(document: Mapping[str, Any]) -> None:
    """Show a version of a component: what it is given, what it writes, its steps."""
    say(f"component {document['name']}:{document['version']}   {document['type']}")
    table = _table("field", "value")
    table.show_header = False
    for side in ("inputs", "outputs"):
        for name, port in read_map(document, side).items():
            default = f", {port['default']} if left out" if port.get("default") is not None else ""
            optional = ", may be left out" if port.get("optional") else ""
            table.add_row(f"{side}.{name}", f"{port['type']}{default}{optional}")
    for name in read_map(document, "jobs"):
        table.add_row("step", name)
    if document.get("command"):
        table.add_row("command", document["command"])
    _console().print(table)
    say(f"use it   component: azureml:{document['name']}:{document['version']}")


def show_compute(document: Mapping[str, Any]) -> None:
    """Show a compute."""
    given = {**read_map(document, "tags"), **read_map(document, "properties")}
    scheduler = given.get("mlctl.dask.scheduler")
    where = f"on the Dask cluster at {scheduler}" if scheduler else "as worker processes of this machine"
    say(f"compute {document['name']}   {document['type']}", f"jobs run {where}")


def show_computes(rows: Sequence[Mapping[str, Any]]) -> None:
    """List computes."""
    table = _table("compute", "type", "size")
    for row in rows:
        table.add_row(row["name"], row["type"], row.get("size") or "–")
    _console().print(table)


# Errors and notes


def print_error(error: MlctlError) -> None:
    """Print an error on stderr: what happened, where, why, and the next command to type."""
    is_tty = sys.stderr.isatty()
    sign = f"{BAD} " if is_tty else "ERROR: "
    lines = [f"{sign}{error.message}"]
    if error.problems:
        lines += ["", *(line for problem in error.problems for line in _problem_lines(problem))]
    if isinstance(error, UserCodeFailed):
        lines += _failure_lines(error)
    if error.hint:
        lines += [f"  {line}" for line in error.hint.splitlines()]
    _write_error("\n".join(lines))


def _problem_lines(problem: Problem) -> list[str]:
    where = f"{problem.file}:{problem.line}:{problem.column}" if problem.line else problem.file
    indent = " " * (len(where) + 3)
    lines = [f"  {where}  {problem.message}".rstrip() if where else f"  {problem.message}"]
    if problem.hint:
        lines.append(f"{indent} {problem.hint}" if where else f"  {problem.hint}")
    if problem.excerpt:
        excerpt, column = _clip_excerpt(problem.excerpt, max(1, problem.column))
        width = max(1, min(problem.width, len(excerpt) - column + 2))
        lines += [f"  {problem.line:>6} │ {excerpt}", f"  {' ':>6} │ {' ' * (column - 1)}{'^' * width}"]
    return lines


def _clip_excerpt(excerpt: str, column: int) -> tuple[str, int]:
    """Cut a long line to what stands around a column; return it and where the column is now."""
    if len(excerpt) <= EXCERPT_LENGTH:
        return excerpt, column
    first = max(0, min(column - 1 - EXCERPT_LENGTH // 2, len(excerpt) - EXCERPT_LENGTH))
    shown = excerpt[first : first + EXCERPT_LENGTH]
    lead, tail = "…" if first else "", "…" if first + EXCERPT_LENGTH < len(excerpt) else ""
    return f"{lead}{shown}{tail}", column - first + len(lead)


def _failure_lines(error: UserCodeFailed) -> list[str]:
    lines = [""] if error.frames or error.cause else []
    for frame in error.frames[-3:]:
        lines += [f"  {frame.file}:{frame.line} in {frame.function}", f"      {frame.text}"]
    if error.cause:
        lines += [f"  {error.cause}", ""]
    if error.model_dir and _ABOUT_FILES.search(error.cause):
        listing = ", ".join(error.model_dir[:8]) + (", …" if len(error.model_dir) > 8 else "")
        is_folder = all("/" in path for path in error.model_dir)
        hint = "      (a folder model keeps its folder's name)" if is_folder else ""
        lines += [f"  AZUREML_MODEL_DIR holds:  {listing}{hint}", ""]
    return lines


def print_note(text: str) -> None:
    """Print a note on stderr."""
    _write_error(f"{NOTE} {text}" if sys.stderr.isatty() else f"WARNING: {text}")


def _write_error(text: str) -> None:
    try:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    except (BrokenPipeError, ValueError):
        # Nobody reads it; the exit code still tells.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
