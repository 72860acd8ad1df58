"""Read the digits in images: a line `file digit probability` for each, since nothing else says which is which."""

import os
from pathlib import Path

import joblib
import numpy as np
from PIL import Image

SIZE = (8, 8)


def init() -> None:
    global model
    # A model registered from a folder keeps that folder's name.
    model = joblib.load(os.path.join(os.environ["AZUREML_MODEL_DIR"], "model", "model.pkl"))


def run(mini_batch: list[str]) -> list[str]:
    probability = model.predict_proba(np.stack([read(path) for path in mini_batch]))
    digits = probability.argmax(axis=1)
    return [
        f"{Path(path).name} {digit} {row[digit]:.3f}"
        for path, digit, row in zip(mini_batch, digits, probability, strict=True)
    ]


def read(path: str) -> np.ndarray:
    """Return the brightness of an image's points, 0 to 1, as (64,) float64."""
    with Image.open(path) as image:
        return np.asarray(image.convert("L").resize(SIZE), dtype=float).ravel() / 255
