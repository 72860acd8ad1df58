"""Data assets: one function per verb, and what a job's input comes to.

Files are referenced, not copied: az uploads them, here they are on this machine already, and may be too large to keep
twice. Their path, number, sizes and times of change are recorded, so that a change is noticed and told.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlctl.errors import InvalidInput, NotFound
from mlctl.ops.batch_documents import data_document
from mlctl.ops.datastores import find_datastore
from mlctl.ops.documents import Document
from mlctl.ops.job_outputs import find_job_output
from mlctl.ops.session import Session
from mlctl.registry import assets
from mlctl.registry.assets import Asset
from mlctl.registry.batch_endpoints import name_near

KIND = "data"
_ARM = re.compile(r"(?i)(?:azureml:)?/subscriptions/.+/data/(?P<name>[^/]+)/versions/(?P<version>[^/]+)")
_LONG = re.compile(r"(?i)azureml://.+/data/(?P<name>[^/]+)/versions/(?P<version>[^/]+)")
_SHORT = re.compile(r"(?i)azureml:(?P<name>[^:@/]+)(?::(?P<version>[^:@/]+)|@(?P<label>[^:@/]+))?")
_FACTS = ("mlctl.files", "mlctl.size_bytes", "mlctl.modified_at")


@dataclass(frozen=True)
class Contents:
    """What is at a path. digest: of its path, and the names, sizes and times of change of its files."""

    files: int
    size_bytes: int
    modified_at: float
    digest: str

    def describe(self) -> dict[str, str]:
        """Return it as properties of the asset."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(self.modified_at))
        return dict(zip(_FACTS, (str(self.files), str(self.size_bytes), moment), strict=True))


def create(
    session: Session,
    *,
    file: Path | None,
    options: Mapping[str, Any],
    overrides: Sequence[str] = (),
    checks_table: bool = True,
) -> Document:
    """Register data from a file, from --name and --path, or both. checks_table: an mltable's MLTable file is read."""
    from mlctl.entities.data import Data
    from mlctl.ops.loading import load

    name, path = options.get("name"), options.get("path")
    if file is None and (name is None or path is None):
        raise InvalidInput(
            "give --file, or --name and --path",
            hint=f"mlctl data create -n {name or 'transactions'} -p {path or './transactions'}",
        )
    spec = load(file, lambda _: Data, overrides=overrides, options=options).to_document()
    folder = file.absolute().parent if file is not None and path is None else Path.cwd()
    source = _find_source(session, spec["path"], folder, "path" if path is None else "--path")
    _check_type(spec["name"], spec["type"], source, is_chosen=options.get("type") is not None)
    if spec["type"] == "mltable" and checks_table:
        from mlctl.ops.mltable import read_table

        read_table(source)
    contents = look_into(source)
    spec |= {"path": str(source), "properties": {**spec["properties"], **contents.describe()}}
    asset = assets.put_asset(
        session.store,
        kind=KIND,
        workspace=session.workspace,
        name=spec["name"],
        version=spec.get("version"),
        spec=spec,
        artifact=contents.digest,
    )
    return data_document(asset, session.resource_group)


def _find_source(session: Session, text: str, folder: Path, field: str) -> Path:
    """Return the path that data is referenced by; InvalidInput for what is elsewhere, or nowhere."""
    path = find_datastore(session.settings, text) or find_job_output(session, text)
    if path is None:
        if "://" in text and not text.startswith("file://"):
            raise InvalidInput(
                f"{field}: {text} is not on this machine, and mlctl does not fetch it",
                hint=f"download it, and give the path: {field} ./folder",
            )
        path = folder / Path(text.removeprefix("file://")).expanduser()
    path = Path(os.path.normpath(path.absolute()))
    if not _exists(path):
        raise InvalidInput(f"{field}: {path} does not exist", hint=f"ls -l {path.parent}")
    return path


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


def _check_type(name: str, kind: str, source: Path, *, is_chosen: bool) -> None:
    is_folder = source.is_dir()
    if is_folder == (kind != "uri_file"):
        return
    what, right = ("a folder", "uri_folder") if is_folder else ("a file", "uri_file")
    hint = f"give --type {right}" if is_chosen or kind == "uri_folder" else f"write type: {right}"
    raise InvalidInput(f"data {name}: {source} is {what}, and its type is {kind}", hint=hint)


def look_into(path: Path) -> Contents:
    """Look at all files of a path."""
    digest = hashlib.sha256(str(path).encode())
    files = size_bytes = 0
    modified_ns = path.stat().st_mtime_ns
    try:
        for name, found in sorted(_walk(path, "")) if path.is_dir() else [("", path.stat())]:
            files, size_bytes = files + 1, size_bytes + found.st_size
            modified_ns = max(modified_ns, found.st_mtime_ns)
            digest.update(f"\n{name}\t{found.st_size}\t{found.st_mtime_ns}".encode(errors="surrogateescape"))
    except OSError as error:
        raise InvalidInput(
            f"cannot read {error.filename}: {error.strerror}", hint=f"ls -ld {error.filename}"
        ) from error
    return Contents(files, size_bytes, modified_ns / 1e9, digest.hexdigest())


def _walk(folder: Path | str, prefix: str) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _walk(entry.path, f"{prefix}{entry.name}/")
            else:
                yield f"{prefix}{entry.name}", entry.stat()


def list_all(
    session: Session,
    *,
    name: str | None,
    archived_only: bool = False,
    include_archived: bool = False,
    max_results: int | None = None,
) -> list[Document]:
    """Return the versions of one name, newest first, or a line for every name with its newest version."""
    if archived_only and include_archived:
        raise InvalidInput(
            "--archived-only and --include-archived exclude each other", hint="mlctl data list --include-archived"
        )
    archived = True if archived_only else None if include_archived else False
    found = assets.list_assets(session.store, kind=KIND, workspace=session.workspace, name=name, archived=archived)
    if name is not None:
        return [data_document(asset, session.resource_group) for asset in found][:max_results]
    newest = {asset.name: asset for asset in reversed(found)}
    return [_container(asset, session.resource_group) for asset in newest.values()][:max_results]


def _container(asset: Asset, resource_group: str) -> Document:
    document = data_document(asset, resource_group)
    keys = ("type", "description", "tags", "creation_context", "resourceGroup")
    return {
        "id": document["id"].rpartition("/versions/")[0],
        "name": asset.name,
        "latest_version": asset.version,
        **{key: document[key] for key in keys if key in document},
    }


def refuse_mounting(path: str) -> None:
    """Refuse `mount`, and say how to get the same."""
    raise InvalidInput(
        f"{path} cannot be mounted: data assets are paths of this machine, and can be read where they are",
        hint="mlctl data show -n NAME -v VERSION --query path -o tsv",
    )


def refuse_importing() -> None:
    """Refuse `import` and what belongs to it, and say how to get the same."""
    raise InvalidInput(
        "data is not imported: there are no connections to databases here",
        hint="write the rows to a file, then: mlctl data create -n NAME -p FILE -t uri_file",
    )


def find_folder(session: Session, text: str, base_folder: Path) -> Path:
    """Return the path that a table's folder is at: of an asset, or of this machine."""
    asset = _find_named(session, text)
    if asset is None:
        return _find_source(session, _strip_scheme(text), base_folder, "input")
    path = Path(asset.spec["path"])
    if not _exists(path):
        raise _gone(asset, path)
    return path


def _gone(asset: Asset, path: Path) -> InvalidInput:
    return InvalidInput(
        f"the files of data {asset.name}:{asset.version} are gone: {path} does not exist",
        hint=f"put them back, or register others: mlctl data create -n {asset.name} -p PATH",
    )


def resolve_input(session: Session, text: str, base_folder: Path) -> tuple[str, list[str]]:
    """Return the kind (uri_file, uri_folder or mltable) and the absolute paths that an input names.

    text: a path, `file:` URI, datastore path, or a data asset: `azureml:NAME:VERSION`, `azureml:NAME@latest`, its id.
    base_folder: what relative paths start from.
    """
    asset = _find_named(session, text)
    if asset is None:
        path = _find_source(session, _strip_scheme(text), base_folder, "input")
        return ("uri_folder" if path.is_dir() else "uri_file"), [str(path)]
    path = Path(asset.spec["path"])
    if not _exists(path):
        raise _gone(asset, path)
    if look_into(path).digest != asset.artifact:
        session.on_notice(f"the files of data {asset.name}:{asset.version} have changed since it was registered")
    kind = str(asset.spec["type"])
    if kind != "mltable":
        return kind, [str(path)]
    from mlctl.ops.mltable import read_table

    return kind, list(read_table(path).paths)


def _strip_scheme(text: str) -> str:
    """Turn `file:/path` into what other paths look like; `file:///path` is taken already."""
    return text if text.startswith("file://") else text.removeprefix("file:")


def _find_named(session: Session, text: str) -> Asset | None:
    """Return the asset that a text names, None when it names a path; NotFound names near ones."""
    match = _ARM.fullmatch(text) or _LONG.fullmatch(text) or _SHORT.fullmatch(text)
    if match is None:
        return None
    parts = match.groupdict()
    name, version, label = parts["name"], parts.get("version"), parts.get("label")
    if label is not None and label.lower() != "latest":
        raise NotFound(f"data {name} has no label {label}", hint="the only label is latest")
    key = {"kind": KIND, "workspace": session.workspace, "name": name}
    if version is not None:
        found = assets.get_asset(session.store, **key, version=version)
    else:
        found = assets.latest_asset(session.store, **key)
    if found is None:
        raise _missing(session, text, name)
    return found


def _missing(session: Session, text: str, name: str) -> NotFound:
    known = assets.list_assets(session.store, kind=KIND, workspace=session.workspace)
    versions = [asset for asset in known if asset.name == name]
    if versions and all(asset.archived for asset in versions) and ":" not in text.removeprefix("azureml:"):
        return NotFound(f"all versions of data {name} are archived", hint=f"mlctl data restore -n {name}")
    if versions:
        shown = ", ".join(asset.version for asset in versions[:10])
        return NotFound(f"there is no data {text}", hint=f"{name} has the versions {shown}")
    near = name_near(name, sorted({asset.name for asset in known}))
    create = f"register it: mlctl data create -n {name} -p PATH"
    return NotFound(f"there is no data {text}", hint=f"{near}\n{create}" if near else create)
