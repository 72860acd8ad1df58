"""MLTable folders: which files of a folder are a table, and how they are read. Source: Azure's MLTable file.

Files are read as their names say (see `batch.tables`). A table that wants to be read otherwise is refused: results
would be wrong in silence.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from mlctl.entities.document import Document, refuse_document
from mlctl.entities.document import Path as DocumentPath
from mlctl.errors import InvalidInput, Problem

FILE = "MLTable"
_FIELDS = ("$schema", "type", "paths", "transformations", "metadata")
_PATH_FIELDS = ("file", "folder", "pattern")
_COMPRESSED = (".gz", ".bz2", ".zst", ".lz4", ".xz")
_DELIMITED = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
_SUFFIXES: Mapping[str, tuple[str, ...]] = {
    "read_delimited": tuple(_DELIMITED),
    "read_parquet": (".parquet", ".pq", ".pqt"),
    "read_json_lines": (".jsonl", ".ndjson", ".json"),
}
# Options that say what is done anyway; any other value of theirs is refused.
_AS_READ: Mapping[str, tuple[Any, ...]] = {
    "encoding": ("utf8", "utf-8", "utf_8", "ascii", "us_ascii"),
    "header": ("all_files_same_headers", "all_files_different_headers", True),
    "include_path_column": (False,),
    "partition_size": (),
    "infer_column_types": (True,),
    "support_multi_line": (True, False),
    "empty_as_string": (False,),
    "invalid_lines": ("error",),
}
_ANY_VALUE = ("partition_size",)


@dataclass(frozen=True)
class Table:
    """The files of a table, absolute, in the order of the MLTable file. reader: how they are read, None: by name."""

    paths: tuple[str, ...]
    reader: str | None


def read_table(folder: Path) -> Table:
    """Read a folder's MLTable file; InvalidInput lists all that cannot be followed, and where it stands."""
    from mlctl.ops.loading import read_document

    file = folder / FILE
    if not file.is_file():
        raise InvalidInput(
            f"{folder} is no mltable: there is no file {FILE} in it",
            hint=f"write one (paths: and transformations:), or take type uri_folder: ls {folder}",
        )
    return _Reader(read_document(file), folder).read()


class _Reader:
    def __init__(self, document: Document, folder: Path) -> None:
        self._document = document
        self._folder = folder
        self._problems: list[Problem] = []

    def read(self) -> Table:
        data = self._document.data
        for name in data.keys() - set(_FIELDS):
            self._refuse((name,), "unknown field", f"known here: {', '.join(_FIELDS[1:])}")
        paths = list(self._list_paths(data.get("paths")))
        reader = self._find_reader(data.get("transformations") or [], paths)
        if self._problems:
            raise refuse_document(self._document.file, self._problems)
        return Table(tuple(paths), reader)

    def _refuse(self, path: DocumentPath, message: str, hint: str = "") -> None:
        self._problems.append(self._document.problem(path, message, hint))

    def _list_paths(self, given: Any) -> Iterator[str]:
        if not isinstance(given, list) or not given:
            self._refuse(("paths",), "is missing or no list", "write paths: [{file: ./part.csv}]")
            return
        for index, item in enumerate(cast("list[Any]", given)):
            entry = dict(cast("Mapping[str, Any]", item)) if isinstance(item, Mapping) else {}
            kinds = [name for name in _PATH_FIELDS if isinstance(entry.get(name), str)]
            if len(kinds) != 1 or len(entry) != 1:
                self._refuse(("paths", index), "is none of {file: …}, {folder: …} and {pattern: …}")
                continue
            yield from self._expand(kinds[0], entry[kinds[0]], ("paths", index, kinds[0]))

    def _expand(self, kind: str, text: str, place: DocumentPath) -> Iterator[str]:
        if "://" in text and not text.startswith("file://"):
            self._refuse(place, f"{text} is not on this machine, and mlctl does not fetch it", "download it")
            return
        path = self._folder / text.removeprefix("file://")
        if kind == "pattern":
            start = glob.escape(str(self._folder))
            names = glob.iglob(str(Path(start) / text), recursive=True)  # noqa: PTH207  it may begin with /, too
            found = sorted(name for name in names if Path(name).is_file())
        else:
            found = [str(path)] if (path.is_file() if kind == "file" else path.is_dir()) else []
        if not found:
            self._refuse(place, f"no {'file fits' if kind == 'pattern' else f'{kind} is at'} {path}")
        yield from (str(Path(name).absolute()) for name in found)

    def _find_reader(self, given: Any, paths: list[str]) -> str | None:
        if not isinstance(given, list):
            self._refuse(("transformations",), "is no list", "each step is a line of its own that begins with -")
            return None
        reader: str | None = None
        for index, item in enumerate(cast("list[Any]", given)):
            name, options = _split_step(item)
            place = ("transformations", index)
            if name not in _SUFFIXES or reader is not None:
                self._refuse(
                    place,
                    f"{name or 'this'} is not followed here: files are read as they are",
                    "make it part of the scoring script, or of the files; there are " + ", ".join(_SUFFIXES),
                )
                continue
            reader = name
            self._check_options(name, options, (*place, name), paths)
        return reader

    def _check_options(self, name: str, options: Mapping[str, Any], place: DocumentPath, paths: list[str]) -> None:
        suffixes = {_suffix(path) for path in paths if Path(path).is_file()}
        if strange := sorted(suffixes - set(_SUFFIXES[name])):
            self._refuse(place, f"{name} for *{strange[0]}: files are read as their names say", "rename them")
        for option, value in options.items():
            if option == "delimiter":
                self._check_delimiter((*place, option), value, suffixes)
            elif option not in _AS_READ or (option not in _ANY_VALUE and _fold(value) not in _AS_READ[option]):
                allowed = ", ".join(str(known) for known in _AS_READ.get(option, ()))
                self._refuse(
                    (*place, option), f"{value} is not followed here", f"it may be {allowed}" if allowed else ""
                )

    def _check_delimiter(self, place: DocumentPath, value: Any, suffixes: set[str]) -> None:
        meant = {"\\t": "\t", "comma": ",", "tab": "\t"}.get(str(value), value)
        if wrong := sorted(suffix for suffix in suffixes if _DELIMITED.get(suffix, meant) != meant):
            self._refuse(
                place,
                f"{value!r} does not part *{wrong[0]} files here: {_DELIMITED[wrong[0]]!r} does",
                "files parted by tabs are named *.tsv",
            )


def _split_step(item: Any) -> tuple[str, Mapping[str, Any]]:
    """Return a transformation's name and options: `- read_parquet` and `- read_delimited: {delimiter: ","}`."""
    if isinstance(item, str):
        return item, {}
    entry = cast("Mapping[str, Any]", item if isinstance(item, Mapping) else {})
    if len(entry) != 1:
        return "", {}
    name, options = next(iter(entry.items()))
    return name, cast("Mapping[str, Any]", options if isinstance(options, Mapping) else {})


def _fold(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _suffix(path: str) -> str:
    name = Path(path)
    return Path(name.stem).suffix.lower() if name.suffix.lower() in _COMPRESSED else name.suffix.lower()
