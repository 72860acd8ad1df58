"""Score payments with the model of their segment, of which only as many are kept as fit into a budget.

MODEL_BUDGET_MB bounds the models that are kept; the one that is being loaded, and those in use, may come on top.
"""

import json
import logging
import os
import pickle
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import joblib
import numpy as np
import sklearn.ensemble  # noqa: F401 - loading a model imports it: better now than during the first request
from azureml_inference_server_http.api.aml_response import AMLResponse


class ByteCounter:
    """A file that only counts what is written to it."""

    def __init__(self) -> None:
        self.count = 0

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        self.count += size
        return size


def measure_bytes(model: object) -> int:
    """Measure a model as it lies in memory, near enough: the size of its file says little when it is compressed."""
    counter = ByteCounter()
    pickle.Pickler(counter, protocol=5).dump(model)
    return counter.count


@dataclass
class Kept:
    model: Any
    size_bytes: int
    users: int = 0


class ModelCache:
    """Models by name, loaded when they are first asked for; the ones not used for longest go first."""

    def __init__(self, load: Callable[[str], Any], budget_bytes: int) -> None:
        self.hits = 0
        self.misses = 0
        self._load = load
        self._budget_bytes = budget_bytes
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def use(self, name: str) -> Iterator[Any]:
        """Lend a model: it stays where it is until the block ends."""
        # Held while loading, too: two requests for the same model load it once.
        with self._lock:
            kept = self._find(name)
            kept.users += 1
            self._evict()
        try:
            yield kept.model
        finally:
            with self._lock:
                kept.users -= 1
                self._evict()

    def names(self) -> list[str]:
        """List what is kept, the one not used for longest first."""
        with self._lock:
            return list(self._kept)

    def _find(self, name: str) -> Kept:
        if name in self._kept:
            self.hits += 1
            self._kept.move_to_end(name)
            return self._kept[name]
        self.misses += 1
        model = self._load(name)
        self._kept[name] = kept = Kept(model, measure_bytes(model))
        logging.info("loaded %s, %s kB; %d hits, %d misses", name, kept.size_bytes // 1000, self.hits, self.misses)
        return kept

    def _evict(self) -> None:
        total_bytes = sum(kept.size_bytes for kept in self._kept.values())
        for name, kept in list(self._kept.items()):
            if total_bytes <= self._budget_bytes:
                return
            if kept.users == 0:
                del self._kept[name]
                total_bytes -= kept.size_bytes
                logging.info("evicted %s, %s kB; %s kB kept", name, kept.size_bytes // 1000, total_bytes // 1000)


def init() -> None:
    global cache, segments
    # A model registered from a folder keeps that folder's name.
    folder = os.path.join(os.environ["AZUREML_MODEL_DIR"], "model")
    segments = {name.removesuffix(".pkl"): os.path.join(folder, name) for name in sorted(os.listdir(folder))}
    budget_bytes = int(float(os.environ["MODEL_BUDGET_MB"]) * 1e6)
    cache = ModelCache(lambda segment: joblib.load(segments[segment]), budget_bytes)


def run(raw_data: str) -> dict[str, Any] | AMLResponse:
    request = json.loads(raw_data)
    segment = str(request.get("segment"))
    if segment not in segments:
        reason = {"error": f"unknown segment {segment}: it must be one of {', '.join(segments)}"}
        return AMLResponse(reason, 400, json_str=True)
    with cache.use(segment) as model:
        probability = model.predict_proba(np.asarray(request["data"]))
    return {"prediction": probability.argmax(axis=1).tolist(), "probability": probability.tolist()}
