"""Text to `Document`: bounded, and with the place of every key and value. Used by `ops` for `-f`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NoReturn

import yaml

from mlctl.entities.document import Document, Mark, Marks, Path, refuse_document
from mlctl.errors import Problem

__all__ = ["Document", "load_document"]

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 100
MAX_NODES = 100_000
_LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_LINE_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufeff\uff00-\ufffd\U00010000-\U0010ffff]")
_TAG = "tag:yaml.org,2002:"
_TEXT_LIKE = {f"{_TAG}str", f"{_TAG}timestamp", f"{_TAG}value", f"{_TAG}merge"}
_LARGEST_INT = 2**63 - 1


def load_document(text: bytes | str, *, file: str) -> Document:
    """Read one YAML map; `file` is the name to show. Whatever is wrong with the text is an InvalidInput."""
    decoded = _decode(text, file)
    return _Reader(file, decoded).read()


def _decode(text: bytes | str, file: str) -> str:
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if len(raw) > MAX_BYTES:
        raise refuse_document(file, [Problem(f"the file has {len(raw):,} bytes, {MAX_BYTES:,} are allowed", file)])
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        problem = Problem(f"byte {error.start + 1} is not UTF-8", file, line, 1, "save the file as UTF-8")
        raise refuse_document(file, [problem]) from error


class _Reader:
    """Reads one text; holds what all steps need to tell where something is wrong."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.text = text
        self.lines = tuple(_LINE_BREAK.split(text))
        self.marks: dict[Path, Marks] = {}
        self.problems: list[Problem] = []
        self.nodes_left = MAX_NODES

    def read(self) -> Document:
        """Check the stream of events before anything recursive sees the text, then build data and places."""
        self._check_characters()
        try:
            self._check_events()
            root = yaml.compose(self.text, Loader=_LOADER)
        except yaml.MarkedYAMLError as error:
            self._refuse_yaml(error)
        if root is None:
            self._refuse("the file is empty", 1, 1)
        if not isinstance(root, yaml.MappingNode):
            mark = _mark_node(root)
            self._refuse("the file must hold a map (lines of the form name: value)", mark.line, mark.column)
        data = self._build(root, ())
        if self.problems:
            raise refuse_document(self.file, self.problems)
        return Document(self.file, self.lines, data, self.marks)

    def _refuse(self, message: str, line: int, column: int, hint: str = "") -> NoReturn:
        raise refuse_document(self.file, [self._problem(message, Mark(line, column), hint)])

    def _problem(self, message: str, mark: Mark, hint: str = "") -> Problem:
        excerpt = self.lines[mark.line - 1] if mark.line <= len(self.lines) else ""
        return Problem(message, self.file, mark.line, mark.column, hint, excerpt, mark.width)

    def _check_characters(self) -> None:
        for number, line in enumerate(self.lines, 1):
            found = _UNPRINTABLE.search(line)
            if found is not None:
                code = f"U+{ord(found.group()):04X}"
                self._refuse(f"the character {code} is not allowed in YAML", number, found.start() + 1)

    def _check_events(self) -> None:
        """Bound depth and number of nodes: parsers recurse, and some crash, on what is nested without end."""
        depth = nodes = 0
        for event in yaml.parse(self.text, Loader=_LOADER):
            if isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            elif isinstance(event, yaml.NodeEvent):
                nodes += 1
                depth += isinstance(event, yaml.CollectionStartEvent)
            if depth > MAX_DEPTH:
                self._refuse_event(event, f"maps and lists are nested more than {MAX_DEPTH} deep")
            if nodes > MAX_NODES:
                self._refuse_event(event, f"the file holds more than {MAX_NODES:,} values")

    def _refuse_event(self, event: yaml.Event, message: str) -> NoReturn:
        mark = event.start_mark
        line, column = (mark.line, mark.column) if mark is not None else (0, 0)
        self._refuse(message, line + 1, column + 1)

    def _refuse_yaml(self, error: yaml.MarkedYAMLError) -> NoReturn:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
        text = self.lines[line - 1] if line <= len(self.lines) else ""
        if re.match(r" *\t", text):
            self._refuse("a tab is used to indent", line, text.index("\t") + 1, "YAML is indented with blanks only")
        problem = (error.problem or "it cannot be read").strip()
        if "nesting depth" in problem:
            problem = f"maps and lists are nested more than {MAX_DEPTH} deep"
        if "single document" in (error.context or ""):
            problem = "the file holds more than one document (a second --- line)"
        self._refuse(f"not valid YAML: {problem}" if "nested" not in problem else problem, line, column)

    def _build(self, node: yaml.Node, path: Path) -> Any:
        """Turn a node into plain data; aliases are expanded, within the same bounds as the text itself."""
        self.nodes_left -= 1
        mark = _mark_node(node)
        if self.nodes_left < 0 or len(path) > MAX_DEPTH:
            self._refuse("the aliases of this file expand without end", mark.line, mark.column, "write them out")
        if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
            return self._build_map(node, path)
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
            return [self._build_item(item, (*path, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            return self._build_scalar(node, mark)
        return self._add_problem(f"the tag {_show_tag(node)} is not supported here", mark)

    def _add_problem(self, message: str, mark: Mark, hint: str = "") -> None:
        self.problems.append(self._problem(message, mark, hint))

    def _build_item(self, node: yaml.Node, path: Path) -> Any:
        self.marks[path] = Marks(None, _mark_node(node))
        return self._build(node, path)

    def _build_map(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        built: dict[str, Any] = {}
        for key, (key_node, value_node) in self._collect_pairs(node, 0).items():
            self.marks[(*path, key)] = Marks(_mark_node(key_node), _mark_node(value_node))
            built[key] = self._build(value_node, (*path, key))
        return built

    def _collect_pairs(self, node: yaml.MappingNode, depth: int) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        """List the entries of a map: those merged by `<<` first (an earlier map wins), its own over them."""
        own: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        merged: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key_node, value_node in node.value:
            if key_node.tag == f"{_TAG}merge":
                for source in self._list_merged(value_node, depth):
                    self.nodes_left -= len(source)
                    merged = {**source, **merged}
            else:
                self._add_pair(own, key_node, value_node)
        return {**merged, **own}

    def _list_merged(self, node: yaml.Node, depth: int) -> Iterator[dict[str, tuple[yaml.Node, yaml.Node]]]:
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        for source in sources:
            mark = _mark_node(source)
            self.nodes_left -= 1
            if depth > MAX_DEPTH or self.nodes_left < 0:
                self._refuse("the merge keys of this file expand without end", mark.line, mark.column)
            if isinstance(source, yaml.MappingNode):
                yield self._collect_pairs(source, depth + 1)
            else:
                self._add_problem("<< merges a map or a list of maps, nothing else", mark)

    def _add_pair(self, pairs: dict[str, tuple[yaml.Node, yaml.Node]], key_node: yaml.Node, value: yaml.Node) -> None:
        mark = _mark_node(key_node)
        if not isinstance(key_node, yaml.ScalarNode) or not key_node.value:
            self._add_problem("a key must be text", mark)
        elif key_node.value in pairs:
            first = _mark_node(pairs[key_node.value][0]).line
            self._add_problem(f"{key_node.value} is given twice, in lines {first} and {mark.line}", mark, "remove one")
        else:
            pairs[key_node.value] = (key_node, value)

    def _build_scalar(self, node: yaml.ScalarNode, mark: Mark) -> Any:
        """Read text, number, true, false or null as PyYAML does; dates and numbers JSON has no form for stay text."""
        if node.tag in _TEXT_LIKE:
            return node.value
        convert = _SCALARS.get(node.tag)
        if convert is None:
            return self._add_problem(f"the tag {_show_tag(node)} is not supported here", mark)
        try:
            return convert(node)
        except (ValueError, KeyError, IndexError, OverflowError):
            return self._add_problem(f'"{node.value[:40]}" does not fit its tag {_show_tag(node)}', mark)


_CONSTRUCTOR = yaml.constructor.SafeConstructor()


def _read_int(node: yaml.ScalarNode) -> int | str:
    if len(node.value) > 4000:
        return node.value
    number = _CONSTRUCTOR.construct_yaml_int(node)
    return number if abs(number) <= _LARGEST_INT else node.value


def _read_float(node: yaml.ScalarNode) -> float | str:
    number = _CONSTRUCTOR.construct_yaml_float(node)
    return number if abs(number) < float("inf") else node.value


_SCALARS = {
    f"{_TAG}int": _read_int,
    f"{_TAG}float": _read_float,
    f"{_TAG}bool": _CONSTRUCTOR.construct_yaml_bool,
    f"{_TAG}null": _CONSTRUCTOR.construct_yaml_null,
}


def _show_tag(node: yaml.Node) -> str:
    return node.tag.replace(_TAG, "!!")


def _mark_node(node: yaml.Node) -> Mark:
    start, end = node.start_mark, node.end_mark
    width = end.column - start.column if end.line == start.line else 1
    return Mark(start.line + 1, start.column + 1, max(width, 1))
