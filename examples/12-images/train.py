"""Train a model on half of scikit-learn's handwritten digits, and write the other half as images.

Writes model/model.pkl and data/DIGIT/NUMBER.png, 8 x 8 points of grey each, in folders named after what they show.
"""

from __future__ import annotations

import shutil
import struct
import zlib
from pathlib import Path

import joblib
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

HERE = Path(__file__).parent


def write_png(path: Path, grey: np.ndarray) -> None:
    """Write an image of (height, width) uint8: a header, the lines compressed, an end; no package is needed."""
    height, width = grey.shape

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    lines = b"".join(b"\0" + line.tobytes() for line in grey)
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)


def main() -> None:
    digits = load_digits()
    points, shown = digits.data / 16, digits.target
    half = len(points) // 2
    model = LogisticRegression(solver="newton-cholesky").fit(points[:half], shown[:half])
    (HERE / "model").mkdir(exist_ok=True)
    joblib.dump(model, HERE / "model" / "model.pkl")
    print(
        f"model/model.pkl   accuracy {model.score(points[half:], shown[half:]):.2f} on {len(points) - half} new images"
    )
    shutil.rmtree(HERE / "data", ignore_errors=True)
    for number in range(half, len(points)):
        path = HERE / "data" / str(shown[number]) / f"{number:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_png(path, (points[number].reshape(8, 8) * 255).astype(np.uint8))
    print(f"data/0 to data/9   {len(points) - half} images")


if __name__ == "__main__":
    main()
