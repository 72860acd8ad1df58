"""`azureml.ai.monitoring` where azureml-ai-monitoring is not installed; rules as of its version 1.0.0.

What differs: the JSON is made in `collect`, not later in a thread, so that a script may change its DataFrame
afterwards; and a full queue is told to an `on_error` of the script's own only: it would fail requests.
"""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, Protocol

from mlctl.scoring.collection.records import OwnData
from mlctl.scoring.collection.settings import CollectionSettings

_HOW = "enable it in data_collector.collections of the deployment's YAML"


class _Collecting(Protocol):
    @property
    def settings(self) -> CollectionSettings: ...

    def draws(self, name: str) -> bool: ...

    def collect(self, data: OwnData) -> bool: ...


class _Current:
    """The replica's collector, None where nothing is collected."""

    collector: _Collecting | None = None


def use(collector: _Collecting | None) -> None:
    """Have what scripts collect go there."""
    _Current.collector = collector


class CorrelationContext:
    """What joins pieces of data that belong together."""

    @staticmethod
    def get_id() -> str:
        """Return the id that they share."""
        return ""

    def __str__(self) -> str:
        return self.get_id()

    def __repr__(self) -> str:
        return self.__str__()


class BasicCorrelationContext(CorrelationContext):
    """A context with an id, a time in epoch seconds and headers that are noted with the data."""

    def __init__(
        self,
        id: str | None = None,
        timestamp: int | None = None,
        headers: Mapping[str, object] | None = None,
    ) -> None:
        self.id = id or str(uuid.uuid4())
        self.timestamp = timestamp or int(time.time())
        self.headers = headers or {}

    def get_id(self) -> str:  # pyright: ignore[reportIncompatibleMethodOverride] - static above, as in the package
        """Return the id."""
        return self.id

    def get_timestamp(self) -> int:
        """Return the time."""
        return self.timestamp

    def get_headers(self) -> Mapping[str, object]:
        """Return the headers."""
        return self.headers


def get_context() -> CorrelationContext:
    """Make a new context."""
    return BasicCorrelationContext()


def _raise(error: Exception) -> NoReturn:
    raise error


def _ignore(_: Exception) -> None:
    """Say nothing: the collector counts what it loses."""


class Collector:
    """Collects DataFrames under a name that the deployment's data_collector enables.

    on_error: gets what is wrong, at once and for each piece of data; by default it is raised.
    """

    def __init__(self, *, name: str, on_error: Callable[[Exception], Any] | None = None) -> None:
        self._name = name
        self._on_error = on_error or _raise
        self._on_loss = on_error or _ignore
        self._find()

    def _find(self) -> _Collecting | None:
        """Return what collects under this name; None when nothing does, which `on_error` was told."""
        collector = _Current.collector
        if not self._name:
            self._on_error(Exception("collection name is not provided"))
        elif collector is None or not collector.settings.has_own:
            self._on_error(Exception(f"custom logging is not enabled, drop the data ({self._name}: {_HOW})"))
        elif self._name not in collector.settings.rates:
            self._on_error(Exception(f"collection {self._name} is not enabled, drop the data ({_HOW})"))
        else:
            return collector
        return None

    def collect(self, data: Any, correlation_context: CorrelationContext | None = None) -> CorrelationContext:
        """Collect a DataFrame; returns the context, to be given to the `collect` of what belongs to it."""
        context: Any = correlation_context or get_context()
        collector = self._find()
        if collector is None or not collector.draws(self._name):
            return context
        if not _is_data_frame(data):
            kind = type(data).__name__
            self._on_error(TypeError(f"data type ({kind}) not supported, supported types: pandas.DataFrame"))
            return context
        headers = {str(name): str(value) for name, value in context.get_headers().items()}
        try:
            text = data.to_json(orient="records")
        except Exception as error:  # what a frame holds may have no JSON form
            self._on_loss(error)
            return context
        kind, at = f"{type(data).__module__}.{type(data).__qualname__}", float(context.get_timestamp())
        if not collector.collect(OwnData(at, self._name, str(context.get_id()), kind, headers, text)):
            message = "Too many requests lead to message queue is full, please reduce the number of requests."
            self._on_loss(Exception(message))
        return context


def _is_data_frame(data: object) -> bool:
    # Never imported here: who has a DataFrame has imported it.
    pandas: Any = sys.modules.get("pandas")
    return pandas is not None and isinstance(data, pandas.DataFrame)
