"""Steps of type parallel: what of a script's arguments says how the step itself is run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlctl.batch.order import JobInput, JobOrder
from mlctl.errors import InvalidInput
from mlctl.ops.parallel_planning import plan_batch


def plan(program_arguments: str) -> JobOrder:
    step: dict[str, Any] = {
        "task": {
            "entry_script": "score.py",
            "program_arguments": program_arguments,
            "append_row_to": "${{outputs.scores}}",
        },
        "retry_settings": {"max_retries": 2, "timeout": 60},
        "resources": {"instance_count": 1},
        "mini_batch_size": 1,
        "max_concurrency_per_instance": 1,
        "error_threshold": -1,
        "mini_batch_error_threshold": -1,
        "logging_level": "INFO",
    }
    return plan_batch(
        "job.score",
        step,
        JobInput("files", ("/data",)),
        python=Path("python"),
        code="/code",
        inputs={},
        outputs={"scores": "/out/scores"},
        variables={},
        types={"scores": "uri_folder"},
        folder=Path("/job"),
    )


@pytest.mark.parametrize(
    ("arguments", "percent"),
    [
        ("", 100),
        ("--allowed_failed_percent 20", 20),
        ("--allowed_failed_percent=0", 0),
        ("--allowed_failed_percent 5 --allowed_failed_percent=12.5", 12.5),
    ],
)
def test_the_share_of_mini_batches_that_may_fail_is_read(arguments: str, percent: float) -> None:
    order = plan(arguments)
    assert order.allowed_failed_percent == percent
    assert list(order.arguments) == arguments.split()


@pytest.mark.parametrize("value", ["many", "-1", "101", ""])
def test_what_is_no_percentage_is_refused(value: str) -> None:
    with pytest.raises(InvalidInput, match=r"job\.score: program_arguments: --allowed_failed_percent .* is no percent"):
        plan(f"--allowed_failed_percent={value}")


@pytest.mark.parametrize(
    ("arguments", "has_header"),
    [
        ("", False),
        ("--append_row_dataframe_header True", True),
        ("--append_row_dataframe_header=true", True),
        ("--append_row_dataframe_header False", False),
        ("--append_row_dataframe_header", False),
    ],
)
def test_the_output_has_a_header_if_asked_for(arguments: str, has_header: bool) -> None:
    assert plan(arguments).output.header is has_header
