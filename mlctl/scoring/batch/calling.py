"""The three ways to call a script for a mini-batch: with paths, with a DataFrame, and with JSON as an online script."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from inspect import Parameter
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

from mlctl.scoring.batch.loading import Rows
from mlctl.scoring.batch.messages import MiniBatch
from mlctl.scoring.batch.order import WorkerOrder
from mlctl.scoring.user_code import ScriptRefused, find_function, import_script, load_script

_REFUSED = 400
_LONGEST_ANSWER = 500


class Loaded(NamedTuple):
    """A mini-batch as run() takes it. items: how many it has. given: the rows or paths themselves."""

    argument: Any
    items: int
    given: Any


class BatchScript(NamedTuple):
    """A script, ready to be called. load: reads a mini-batch's input. run: takes what was loaded, and its index.

    counts_results: one result stands for one item; without a script, a file has as many results as it has rows.
    """

    init: Callable[[], object]
    load: Callable[[MiniBatch], Loaded]
    run: Callable[[Any, int], object]
    shutdown: Callable[[], object]
    counts_results: bool = True


def load_batch_script(order: WorkerOrder, rows: Rows) -> BatchScript:
    """Import the script; raises ScriptRefused, or whatever importing it raises."""
    if order.no_code is not None:
        from mlctl.scoring.batch.no_code import load_model

        return load_model(order, rows)
    if order.mode == "json":
        return _load_online_script(order, rows)
    module = import_script(order.app_root, order.entry_script)
    init, shutdown = getattr(module, "init", None), getattr(module, "shutdown", None)
    return BatchScript(
        init if callable(init) else do_nothing,
        load_files if order.mode == "files" else make_rows_loader(rows),
        _choose_call(find_function(module, "run")),
        shutdown if callable(shutdown) else do_nothing,
    )


def do_nothing() -> None:
    """Stand in for a function that a script need not have."""


def _choose_call(run: Callable[..., object]) -> Callable[[Any, int], object]:
    """Return how run() is called: it may take a second argument, the context of its mini-batch."""
    try:
        parameters = inspect.signature(run).parameters
    except (TypeError, ValueError):
        return lambda argument, _index: run(argument)
    plain = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    required = [name for name, p in parameters.items() if p.kind in plain and p.default is Parameter.empty]
    if not parameters or len(required) > 2:
        raise ScriptRefused("run() needs to accept the mini-batch, and may accept its context: run(mini_batch).")
    if len(required) < 2 and "mini_batch_context" not in parameters:
        return lambda argument, _index: run(argument)

    def call(argument: Any, index: int) -> object:
        return run(argument, SimpleNamespace(minibatch_index=str(index), partition_key_value={}))

    return call


def load_files(mini_batch: MiniBatch) -> Loaded:
    """Hand a mini-batch's paths over."""
    files = mini_batch["files"]  # pyright: ignore[reportTypedDictNotRequiredAccess]
    return Loaded(list(files), len(files), files)


def make_rows_loader(rows: Rows) -> Callable[[MiniBatch], Loaded]:
    """Return what reads a mini-batch's rows."""

    def load(mini_batch: MiniBatch) -> Loaded:
        frame = rows.read(mini_batch)
        return Loaded(frame, len(frame), frame)

    return load


def _load_online_script(order: WorkerOrder, rows: Rows) -> BatchScript:
    script = load_script(order.app_root, order.entry_script)
    key = order.input_key

    def load(mini_batch: MiniBatch) -> Loaded:
        frame = rows.read(mini_batch)
        columns = [frame[name].tolist() for name in frame.columns]
        text = json.dumps({key: [list(row) for row in zip(*columns, strict=True)]}, default=str)
        return Loaded(text, len(frame), frame)

    def run(text: str, _index: int) -> object:
        return _unpack(script.run(text, {}) if script.wants_headers else script.run(text))

    return BatchScript(script.init, load, run, do_nothing)


def _unpack(answer: object) -> Any:
    """Return an online script's answer as rows: the lists of an object become columns."""
    result: Any = answer
    if isinstance(answer, tuple) and len(pair := cast("tuple[Any, ...]", answer)) == 2 and isinstance(pair[1], int):
        if pair[1] >= _REFUSED:
            raise ValueError(f"run() answered {pair[1]}: {str(pair[0])[:_LONGEST_ANSWER]}")
        result = pair[0]
    if isinstance(result, str):
        result = json.loads(result)
    if not isinstance(result, dict):
        return result
    fields: dict[str, Any] = {**result}
    lists = {name: cast("list[Any]", value) for name, value in fields.items() if isinstance(value, list)}
    if not lists:
        raise TypeError(f"run() returned an object without a list of results: {sorted(fields)}")
    import pandas

    return pandas.DataFrame(lists)
