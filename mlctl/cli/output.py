"""Results for programs, exactly as az prints them: -o json, yaml, tsv, table, none, after --query.

Source: Azure CLI and knack `output.py`, restated in az's surface 2.2.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from mlctl.errors import InvalidInput, UsageError


def compile_query(expression: str) -> Any:
    """Compile a JMESPath expression; UsageError (exit 2) tells where it is wrong."""
    import jmespath
    from jmespath.exceptions import JMESPathError

    try:
        return jmespath.compile(expression)
    except JMESPathError as error:
        raise UsageError(f"argument --query: invalid jmespath_type value: {expression!r}: {error}") from error


def apply_query(query: Any, result: Any) -> Any:
    """Run a compiled query; InvalidInput (exit 1) when it does not fit the result."""
    import jmespath
    from jmespath.exceptions import JMESPathError

    try:
        return query.search(result, jmespath.Options(dict_cls=dict))
    except JMESPathError as error:
        raise InvalidInput(f"--query failed: {error}") from error


def format_result(result: Any, output: str, *, keeps_order: bool = False) -> str:
    """Return the text for stdout, with its final newline; empty for no result.

    keeps_order: the keys come from a multi-select of --query, whose order tsv and table keep.
    """
    if result is None or output == "none":
        return ""
    match output:
        case "json" | "jsonc":
            return json.dumps(result, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        case "yaml" | "yamlc":
            import yaml

            return yaml.safe_dump(result, default_flow_style=False, allow_unicode=True, sort_keys=False)
        case "tsv":
            return _format_tsv(result, keeps_order=keeps_order)
        case _:
            return _format_table(result, keeps_order=keeps_order)


def _rows(result: Any) -> list[Any]:
    return cast("list[Any]", result) if isinstance(result, list) else [result]


def _format_tsv(result: Any, *, keeps_order: bool) -> str:
    rows = _rows(result)
    return "".join(_tsv_row(row, keeps_order=keeps_order) + "\n" for row in rows)


def _tsv_row(row: Any, *, keeps_order: bool) -> str:
    if isinstance(row, Mapping):
        cells = cast("Mapping[str, Any]", row)
        return "\t".join(_tsv_cell(cells[key]) for key in (cells if keeps_order else sorted(cells)))
    if isinstance(row, list):
        return "\t".join(_tsv_cell(cell) for cell in cast("list[Any]", row))
    return _tsv_scalar(row)


def _tsv_scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else _flatten(str(value))


def _tsv_cell(value: Any) -> str:
    if isinstance(value, list):
        return str(len(cast("list[Any]", value)))
    if isinstance(value, Mapping):
        return ""
    return _flatten(str(value))


def _flatten(text: str) -> str:
    return text.replace("\t", "    ").replace("\r", "").replace("\n", " ")


_SKIPPED_COLUMNS = frozenset({"id", "type", "etag"})


def _format_table(result: Any, *, keeps_order: bool) -> str:
    rows = _rows(result)
    if not rows:
        return ""
    records = [_table_record(row, keeps_order=keeps_order) for row in rows]
    columns = list(dict.fromkeys(key for record in records for key in record))
    if not columns:
        return ""
    widths = {key: max(len(key), *(len(record.get(key, "")) for record in records)) for key in columns}
    lines = [
        "  ".join(key.ljust(widths[key]) for key in columns),
        "  ".join("-" * widths[key] for key in columns),
        *("  ".join(record.get(key, "").ljust(widths[key]) for key in columns) for record in records),
    ]
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _table_record(row: Any, *, keeps_order: bool) -> dict[str, str]:
    if not isinstance(row, Mapping):
        return {"Result": _table_cell(row)}
    record: dict[str, str] = {}
    for key, value in cast("Mapping[str, Any]", row).items():
        if (key in _SKIPPED_COLUMNS and not keeps_order) or isinstance(value, Mapping | list) or value is None:
            continue
        record[key[:1].upper() + key[1:]] = _table_cell(value)
    return record


def _table_cell(value: Any) -> str:
    return _flatten(str(value))
