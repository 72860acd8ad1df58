"""Steps of `type: parallel` as batch jobs: what is cut into mini-batches, and where the results go."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlctl.batch.order import JobInput, JobOrder, JobOutput
from mlctl.entities.parallel_step import read_port
from mlctl.errors import InvalidInput
from mlctl.ops.mltable import read_table
from mlctl.ops.ports import Value, fill_in, find_kind

# Source: batch contract 6, the name that a parallel job gives its joined results.
_DEFAULT_FILE = "parallel_run_step.txt"
_HEADER, _FAILED_PERCENT = "--append_row_dataframe_header", "--allowed_failed_percent"


def find_data(where: str, step: Mapping[str, Any], inputs: Mapping[str, Value]) -> JobInput:
    """Return what is cut into mini-batches: files, or the rows of an mltable. where: for messages."""
    name = read_port(step["input_data"])
    value = inputs[name]
    if value.text is None:
        raise InvalidInput(f"{where}: input_data: the input {name} was left out")
    kind = find_kind(step["inputs"].get(name)) or find_kind(value.shown)
    if kind != "mltable":
        return JobInput("files", (value.text,))
    if not Path(value.text).exists():
        raise InvalidInput(
            f"{where}: input_data: a table that another step is yet to write cannot be cut into rows here",
            hint="let the step before write files, and the input be of type uri_folder",
        )
    return JobInput("rows", tuple(read_table(Path(value.text)).paths))


def plan_batch(
    name: str,
    step: Mapping[str, Any],
    given: JobInput,
    *,
    python: Path,
    code: str,
    inputs: Mapping[str, Value],
    outputs: Mapping[str, str],
    variables: Mapping[str, str],
    types: Mapping[str, str],
    folder: Path,
) -> JobOrder:
    """Return a step as the batch job that it is. types: of the outputs. folder: the step's own."""
    task, retries = step["task"], step["retry_settings"]
    arguments = shlex.split(fill_in(task.get("program_arguments") or "", inputs, outputs))
    return JobOrder(
        name=name,
        python=str(python),
        app_root=code,
        entry_script=task["entry_script"],
        model_dir=None,
        environment_variables=variables,
        input=given,
        output=_choose_output(step, outputs, types, arguments, folder),
        mini_batch_size=step["mini_batch_size"],
        instance_count=step["resources"]["instance_count"],
        max_concurrency_per_instance=step["max_concurrency_per_instance"],
        max_retries=retries["max_retries"],
        timeout_s=float(retries["timeout"]),
        error_threshold=step["error_threshold"],
        mini_batch_error_threshold=step["mini_batch_error_threshold"],
        allowed_failed_percent=_read_percent(name, arguments),
        logging_level=step["logging_level"].lower(),
        arguments=tuple(arguments),
    )


def _choose_output(
    step: Mapping[str, Any],
    outputs: Mapping[str, str],
    types: Mapping[str, str],
    arguments: Sequence[str],
    folder: Path,
) -> JobOutput:
    target = step["task"].get("append_row_to")
    if target is None:
        return JobOutput("summary_only", next(iter(outputs.values()), str(folder / "outputs")))
    name = read_port(target)
    path = Path(outputs[name])
    header = (_find_argument(arguments, _HEADER) or "").lower() == "true"
    if types[name] == "uri_file":
        return JobOutput("append_row", str(path.parent), path.name, header=header)
    return JobOutput("append_row", str(path), _DEFAULT_FILE, header=header)


def _find_argument(arguments: Sequence[str], name: str) -> str | None:
    """Return the value of an argument, written as `--name VALUE` or `--name=VALUE`; the last one counts."""
    found: str | None = None
    for number, word in enumerate(arguments):
        if word == name:
            found = next(iter(arguments[number + 1 :]), "")
        elif word.startswith(f"{name}="):
            found = word.removeprefix(f"{name}=")
    return found


def _read_percent(step: str, arguments: Sequence[str]) -> float:
    """Return the share of mini-batches that may fail."""
    text = _find_argument(arguments, _FAILED_PERCENT)
    try:
        percent = 100.0 if text is None else float(text)
    except ValueError:
        percent = -1.0
    if not 0 <= percent <= 100:
        raise InvalidInput(
            f"{step}: program_arguments: {_FAILED_PERCENT} {text} is no percentage",
            hint=f"{_FAILED_PERCENT} 20: a fifth of the mini-batches may fail",
        )
    return percent
