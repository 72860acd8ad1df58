"""The replica's end of the data collector: sampling, bounds, what scripts collect."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mlctl.scoring.answers import Answer
from mlctl.scoring.app import Handled
from mlctl.scoring.collection import collector as module
from mlctl.scoring.collection import monitoring
from mlctl.scoring.collection.collector import DataCollector
from mlctl.scoring.collection.records import Batch, OwnData
from mlctl.scoring.collection.settings import CollectionSettings, read_settings

RATES = {"request": 1.0, "response": 1.0}


class FakeChannel:
    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.waiting_bytes = 0
        self.is_closed = False

    def put(self, batch: Batch) -> None:
        self.batches.append(batch)

    def write(self) -> None:
        pass

    def close(self) -> None:
        self.is_closed = True


class FakeLoop:
    """Runs nothing; calls are made by hand."""

    def __init__(self) -> None:
        self.calls: list[tuple[float, Callable[[], None]]] = []

    def call_later(self, delay_s: float, call: Callable[[], None]) -> None:
        self.calls.append((delay_s, call))

    def call_soon_threadsafe(self, call: Callable[..., Any], *arguments: Any) -> None:
        call(*arguments)

    def time(self) -> float:
        return 1000.0


def settings(rates: Mapping[str, float] = RATES, captured: tuple[str, ...] = ()) -> CollectionSettings:
    return CollectionSettings("/data", "/x", "blue-1", "hour", rates, captured, ())


def collect_with(what: CollectionSettings, seed: int = 1) -> tuple[DataCollector, FakeChannel, FakeLoop]:
    channel, loop = FakeChannel(), FakeLoop()
    collector = DataCollector(
        what,
        lambda _: channel,  # pyright: ignore[reportArgumentType]
        loop,  # pyright: ignore[reportArgumentType]
        random.Random(seed).random,
    )
    return collector, channel, loop


def handled(path: str = "/score", method: str = "POST", body: bytes = b"{}") -> Handled:
    scope = {"path": path, "method": method}
    return Handled(scope, {b"x-tenant": b"t"}, b"id", None, Answer(200, body, b""), 0.0)


def test_a_share_is_kept_and_not_more_nor_less() -> None:
    collector, channel, _ = collect_with(settings({"request": 0.2, "response": 0.2}))
    (observe,) = collector.observers
    for _ in range(20_000):
        observe(handled())
    collector.close()
    kept = sum(batch.records for batch in channel.batches)
    # Five standard deviations of a binomial distribution.
    assert abs(kept - 4000) < 5 * (20_000 * 0.2 * 0.8) ** 0.5


def test_own_collections_are_sampled_as_well() -> None:
    collector, _, _ = collect_with(settings({"model_inputs": 0.05}))
    kept = sum(collector.draws("model_inputs") for _ in range(20_000))
    assert abs(kept - 1000) < 5 * (20_000 * 0.05 * 0.95) ** 0.5


@pytest.mark.parametrize("rates", [{}, {"model_inputs": 1.0}, {"request": 0.0}])
def test_nothing_is_called_per_request_unless_requests_or_answers_are_kept(rates: dict[str, float]) -> None:
    assert collect_with(settings(rates))[0].observers == ()


def test_other_paths_and_what_browsers_ask_beforehand_are_left_out() -> None:
    collector, channel, _ = collect_with(settings())
    (observe,) = collector.observers
    for one in (handled("/swagger.json"), handled("/nope"), handled(method="OPTIONS")):
        observe(one)
    collector.close()
    assert not channel.batches
    assert channel.is_closed


def test_what_waits_is_bounded_and_the_loss_is_said_once_a_minute(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_WAITING_BYTES", 10_000)
    collector, channel, loop = collect_with(settings({"response": 1.0, "own": 1.0}))
    (observe,) = collector.observers
    for _ in range(100):
        observe(handled())
    channel.waiting_bytes = 20_000
    assert not collector.collect(OwnData(0, "own", "c", "t", {}, "[]"))
    reports = [(delay_s, call) for delay_s, call in loop.calls if call == collector._report]  # pyright: ignore[reportPrivateUsage]
    assert [delay_s for delay_s, _ in reports] == [0.0]
    reports[0][1]()
    assert "lost what belongs to" in caplog.text
    channel.waiting_bytes, lost = 20_000, collector.lost_total
    observe(handled())
    assert collector.lost_total == lost + 1
    assert loop.calls[-1][0] == 60.0
    channel.waiting_bytes = 0
    collector.close()
    assert 5 < sum(batch.records for batch in channel.batches) < 20


def test_a_script_cannot_fill_more_than_its_places() -> None:
    collector, channel, _ = collect_with(settings({"own": 1.0}))
    taken = [collector.collect(OwnData(0, "own", "c", "t", {}, "[]")) for _ in range(1501)]
    assert taken == [True] * 1500 + [False]
    collector.close()
    assert sum(batch.records for batch in channel.batches) == 1500


def test_settings_leave_out_credentials_and_what_is_off(tmp_path: Path) -> None:
    file = tmp_path / "c.json"
    document = {
        "collections": {"Request": {"enabled": True, "sampleRatePercentage": 25}, "response": {"enabled": False}},
        "folder": "/data",
        "source": "/x",
        "instanceId": "blue-1",
        "captureHeaders": ["X-Tenant", "Authorization", "COOKIE"],
    }
    file.write_text(json.dumps(document))
    found = read_settings(file)
    assert (found.rates, found.rolling, found.has_own) == ({"request": 0.25}, "hour", False)
    assert (found.captured, found.refused) == (("x-tenant",), ("authorization", "cookie"))


# What scripts see


class DataFrame:
    def __init__(self, text: str) -> None:
        self._text = text

    def to_json(self, orient: str) -> str:
        assert orient == "records"
        if not self._text:
            raise OverflowError("Maximum recursion level reached")
        return self._text


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Iterator[DataCollector]:
    pandas = ModuleType("pandas")
    vars(pandas)["DataFrame"] = DataFrame
    monkeypatch.setitem(sys.modules, "pandas", pandas)
    collector, _, _ = collect_with(settings({"request": 1.0, "model_inputs": 1.0, "model_outputs": 1.0}))
    monitoring.use(collector)
    yield collector
    monitoring.use(None)


def own_data(collector: DataCollector) -> list[OwnData]:
    return collector._own  # pyright: ignore[reportPrivateUsage]


def test_inputs_and_outputs_share_the_context(running: DataCollector) -> None:
    context = monitoring.Collector(name="model_inputs").collect(DataFrame("[1]"))
    again = monitoring.Collector(name="model_outputs").collect(DataFrame("[2]"), context)
    assert again is context
    inputs, outputs = own_data(running)
    assert inputs.correlation_id == outputs.correlation_id == context.get_id() == str(context)
    assert (inputs.collection, inputs.text, outputs.text) == ("model_inputs", "[1]", "[2]")


def test_a_context_of_ones_own_brings_id_time_and_headers(running: DataCollector) -> None:
    context = monitoring.BasicCorrelationContext(id="mine", timestamp=12, headers={"tenant": 7})
    monitoring.Collector(name="model_inputs").collect(DataFrame("[]"), context)
    (kept,) = own_data(running)
    assert (kept.correlation_id, kept.at, kept.headers) == ("mine", 12.0, {"tenant": "7"})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "collection name is not provided"),
        ("nope", "collection nope is not enabled, drop the data"),
        ("Model_Inputs", "collection Model_Inputs is not enabled, drop the data"),
    ],
)
def test_a_name_that_is_not_on_is_told_at_once(running: DataCollector, name: str, message: str) -> None:
    with pytest.raises(Exception, match=message):
        monitoring.Collector(name=name)
    errors: list[Exception] = []
    context = monitoring.Collector(name=name, on_error=errors.append).collect(DataFrame("[]"))
    assert context.get_id()
    assert len(errors) == 2
    assert not own_data(running)


def test_without_a_data_collector_it_is_told_how_to_have_one() -> None:
    monitoring.use(None)
    with pytest.raises(Exception, match=r"custom logging is not enabled, drop the data.*data_collector\.collections"):
        monitoring.Collector(name="model_inputs")


def test_other_data_than_a_data_frame_is_a_type_error(running: DataCollector) -> None:
    with pytest.raises(TypeError, match=r"data type \(list\) not supported, supported types: pandas\.DataFrame"):
        monitoring.Collector(name="model_inputs").collect([1])
    assert not own_data(running)


def test_a_frame_without_json_form_and_a_full_queue_fail_no_request(running: DataCollector) -> None:
    errors: list[Exception] = []
    monitoring.Collector(name="model_inputs").collect(DataFrame(""))
    for _ in range(1501):
        monitoring.Collector(name="model_inputs").collect(DataFrame("[]"))
    monitoring.Collector(name="model_inputs", on_error=errors.append).collect(DataFrame("[]"))
    monitoring.Collector(name="model_inputs", on_error=errors.append).collect(DataFrame(""))
    assert [type(error) for error in errors] == [Exception, OverflowError]
    assert "queue is full" in str(errors[0])


def test_the_loop_is_asked_for_the_real_thing() -> None:
    """A real loop takes what the fake one does."""

    async def go() -> int:
        channel = FakeChannel()
        loop = asyncio.get_running_loop()
        collector = DataCollector(settings(), lambda _: channel, loop)  # pyright: ignore[reportArgumentType]
        (observe,) = collector.observers
        observe(handled())
        deadline = loop.time() + 5
        while not channel.batches and loop.time() < deadline:
            await asyncio.sleep(0.005)
        return len(channel.batches)

    assert asyncio.run(go()) == 1
