"""What a pickle tells of the packages that it needs, read without running it: names of modules, scikit-learn's version.

Unpickling runs code; only the bytes are looked at. What is not found this way is told by the replica's failed start.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import re
import zlib
from collections.abc import Callable
from pathlib import Path

_MOST_BYTES = 256 * 1024 * 1024
# How joblib's compressed files begin.
_UNPACKERS: tuple[tuple[bytes, Callable[[bytes], bytes]], ...] = (
    (b"\x1f\x8b", gzip.decompress),
    (b"BZh", bz2.decompress),
    (b"\xfd7zXZ", lzma.decompress),
    (b"]\x00", lzma.decompress),
    (b"x", zlib.decompress),
)
_SKLEARN_VERSION = re.compile(rb"_sklearn_version.{1,12}?(\d+\.\d+(?:\.\d+)?(?:rc\d+|\.post\d+)?)", re.DOTALL)
# A module's name, as an instruction of its own: after `c`, or as short or long text.
_MODULE = re.compile(rb"(?:c|\x8c.|X.{4}|U.|T.{4})([a-z_][a-z0-9_]*)(?=\.[a-z_]|\n)", re.DOTALL)
# Packages whose estimators people keep in pickles, by their module's name.
_PACKAGES = {
    b"catboost": "catboost",
    b"category_encoders": "category-encoders",
    b"imblearn": "imbalanced-learn",
    b"lightgbm": "lightgbm",
    b"pandas": "pandas",
    b"scipy": "scipy",
    b"statsmodels": "statsmodels",
    b"xgboost": "xgboost",
}


def list_pickle_packages(path: Path) -> tuple[str, ...]:
    """Return the requirements of a pickled model: scikit-learn in the version that wrote it, and what else it names."""
    content = _read(path)
    version = _SKLEARN_VERSION.search(content)
    sklearn = f"scikit-learn=={version[1].decode()}" if version else "scikit-learn"
    found = {_PACKAGES[name] for name in _MODULE.findall(content) if name in _PACKAGES}
    if b"feature_names_in_" in content:
        found.add("pandas")  # a model that was trained with names is given names
    return (sklearn, "joblib", "numpy", *sorted(found))


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(_MOST_BYTES)
    for beginning, unpack in _UNPACKERS:
        if content.startswith(beginning):
            with contextlib.suppress(OSError, EOFError, ValueError, zlib.error, lzma.LZMAError):
                return unpack(content)
    return content
