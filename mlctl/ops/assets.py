"""Models and environments: registered under a name and a version; their content never changes afterwards."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlctl.errors import BackendUnavailable, InvalidInput, NotFound
from mlctl.ops.batch_documents import data_document
from mlctl.ops.documents import Document, asset_document, creation_context
from mlctl.ops.session import Session
from mlctl.registry import artifacts, assets
from mlctl.registry.artifacts import Artifact
from mlctl.registry.assets import Asset

if TYPE_CHECKING:
    from mlctl.ops.environments import Content

Operation = tuple[str, Sequence[str]]
ANONYMOUS_COMPONENT = "azureml_anonymous"
REGISTRY_REASON = "there is no Azure ML registry on this machine"


def create_model(
    session: Session, *, file: Path | None, options: Mapping[str, Any], overrides: Sequence[str] = ()
) -> Document:
    """Register a model from a file, from --name and --path, or both; its files are copied into the registry."""
    from mlctl.entities.model import Model
    from mlctl.ops.job_outputs import find_job_output
    from mlctl.ops.loading import load
    from mlctl.ops.resolving import REMOTE, register

    name, path = options.get("name"), options.get("path")
    if file is None and (name is None or path is None):
        raise InvalidInput(
            "give --file, or --name and --path",
            hint=f"mlctl model create -n {name or 'fraud-model'} -p {path or './model'}",
        )
    spec = load(file, lambda _: Model, overrides=overrides, options=options).to_document()
    output = find_job_output(session, str(spec["path"]))
    if output is None and str(spec["path"]).startswith(REMOTE):
        raise InvalidInput(
            f"path: {spec['path']} is not on this machine, and mlctl does not fetch it",
            hint=f"download it, then: mlctl model create -n {spec['name']} -p ./folder",
        )
    source = output or _start_of_paths(file, options.get("path")) / spec["path"]
    if not source.exists():
        field = "path" if options.get("path") is None else "--path"
        raise InvalidInput(f"{field}: {source} does not exist", hint=f"ls {source.parent}")
    stored = artifacts.store_artifact(session.store, session.settings.artifacts, source)
    return _document(session, register(session, "model", spec, stored.hash, anonymous=stored.hash))


def create_environment(
    session: Session,
    *,
    file: Path | None,
    options: Mapping[str, Any],
    overrides: Sequence[str] = (),
    build_context: str | None = None,
    dockerfile_path: str | None = None,
) -> Document:
    """Register an environment; its conda file and its build folder are kept with it.

    Without a version, content that the newest version has already makes no new one. Source: az's surface 1.6.
    """
    from mlctl.entities.environment import Environment
    from mlctl.ops.loading import load
    from mlctl.ops.resolving import inline_conda_file, register

    _check_flags(file, options, build_context, dockerfile_path)
    given = dict(options)
    if build_context is not None:
        build = {"path": build_context, "dockerfile_path": dockerfile_path}
        given["build"] = {key: value for key, value in build.items() if value is not None}
    elif dockerfile_path is not None:
        overrides = [*overrides, f"build.dockerfile_path={dockerfile_path}"]
    spec = load(file, lambda _: Environment, overrides=overrides, options=given).to_document()
    spec = inline_conda_file(spec, _start_of_paths(file, options.get("conda_file")))
    artifact = _store_build_folder(session, spec, _start_of_paths(file, build_context))
    with session.store.transaction():
        if spec.get("version") is None:
            newest = _find(session, "environment", spec["name"], label="latest")
            if newest is not None and assets.is_same_content(newest, spec, artifact):
                spec["version"] = newest.version
        asset = register(session, "environment", spec, artifact, anonymous=None)
    return _document(session, asset)


def _check_flags(
    file: Path | None, options: Mapping[str, Any], build_context: str | None, dockerfile_path: str | None
) -> None:
    """Refuse flags that do not go together in the flags' words: a user who wrote no YAML does not know its fields."""
    create = f"mlctl environment create -n {options.get('name') or 'NAME'}"
    image, conda_file = options.get("image"), options.get("conda_file")
    if image is not None and build_context is not None:
        raise InvalidInput("give --image or --build-context, not both", hint=f"{create} --image {image}")
    if conda_file is not None and build_context is not None:
        raise InvalidInput(
            "--conda-file goes with --image, not with --build-context",
            hint=f"install the packages in the Dockerfile, or: {create} --image python:3.11-slim -c {conda_file}",
        )
    if file is not None:
        return
    if options.get("name") is None:
        raise InvalidInput("give --file, or --name and --image", hint="mlctl environment create -f environment.yml")
    if image is None and build_context is None:
        raise InvalidInput(
            "give --image, which every environment is based on, or --build-context",
            hint=f"{create} --image python:3.11-slim" + (f" -c {conda_file}" if conda_file else ""),
        )
    if dockerfile_path is not None and build_context is None:
        raise InvalidInput(
            "--dockerfile-path names a file in the folder of --build-context, which is missing",
            hint=f"{create} --build-context FOLDER --dockerfile-path {dockerfile_path}",
        )


def _start_of_paths(file: Path | None, option: str | None) -> Path:
    """Paths of options start from the working folder, those of a file from the file's."""
    return Path.cwd() if option is not None or file is None else file.absolute().parent


def _store_build_folder(session: Session, spec: Mapping[str, Any], folder: Path) -> str | None:
    from mlctl.ops.resolving import REMOTE

    build: Mapping[str, Any] = spec.get("build") or {}
    path = str(build.get("path", ""))
    if not path or path.startswith((*REMOTE, "git@")):
        return None
    dockerfile = folder / path / str(build["dockerfile_path"]).lstrip("/")
    if not dockerfile.is_file():
        raise InvalidInput(
            f"build: there is no {build['dockerfile_path']} in {folder / path}", hint=f"ls {folder / path}"
        )
    return artifacts.store_artifact(session.store, session.settings.artifacts, folder / path).hash


def find_copy(session: Session, kind: str, document: Document) -> Artifact | None:
    """Return the files that are kept of a version; None for an environment without a build folder."""
    asset = _find(session, kind, document["name"], version=document["version"])
    stored = asset.artifact if asset else None
    return artifacts.find_artifact(session.store, session.settings.artifacts, stored) if stored else None


def describe_content(session: Session, document: Document) -> Content:
    """Return what an environment comes to on this machine: interpreter, packages, and how they differ from it."""
    from mlctl.ops import environments

    return environments.describe(session, document)


def show(session: Session, kind: str, name: str, *, version: str | None, label: str | None) -> Document:
    """Return one version, by number or by label (`latest`: the one registered last)."""
    return _document(session, _get(session, kind, name, version=version, label=label, verb="show"))


def list_all(
    session: Session,
    kind: str,
    *,
    name: str | None,
    stage: str | None = None,
    archived_only: bool = False,
    include_archived: bool = False,
    max_results: int | None = None,
) -> list[Document]:
    """Return the versions of one name, newest first, or the newest version of every name."""
    if archived_only and include_archived:
        raise InvalidInput(
            "--archived-only and --include-archived exclude each other", hint=f"mlctl {kind} list --include-archived"
        )
    found = assets.list_assets(
        session.store,
        kind=kind,
        workspace=session.workspace,
        name=name,
        archived=True if archived_only else None if include_archived else False,
    )
    found = [asset for asset in found if stage is None or asset.spec.get("stage") == stage]
    if name is not None:
        return [_list_row(_document(session, asset), "version") for asset in found][:max_results]
    # What a deployment described inline has no name of its own: Azure does not list it either.
    named = (asset for asset in reversed(found) if asset.spec.get("name") and asset.name != ANONYMOUS_COMPONENT)
    newest = {asset.name: asset for asset in named}
    return [_list_row(_document(session, asset), "latest version") for asset in newest.values()][:max_results]


def set_archived(
    session: Session, kind: str, name: str, *, version: str | None, label: str | None, archived: bool
) -> list[str]:
    """Archive or restore one version, or with neither version nor label all of them; return which."""
    if version is not None and label is not None:
        raise InvalidInput("give --version or --label, not both", hint=f"mlctl {kind} list -n {name}")
    if label is not None:
        version = _get(session, kind, name, version=None, label=label, verb="list").version
    meant = assets.set_archived(
        session.store, kind=kind, workspace=session.workspace, name=name, version=version, archived=archived
    )
    if not meant:
        raise _missing(session, kind, name, version)
    return meant


def update(
    session: Session,
    kind: str,
    name: str,
    *,
    version: str | None,
    label: str | None,
    operations: Sequence[Operation] = (),
    forces_text: bool = False,
    stage: str | None = None,
) -> Document:
    """Change description, tags, properties or stage of a version; anything else is its content and is refused."""
    with session.store.transaction():
        asset = _get(session, kind, name, version=version, label=label, verb="update")
        base = {**asset.spec, "name": asset.name, "version": asset.version}
        changed = _apply(base, operations, forces_text)
        if stage is not None:
            changed["stage"] = stage
        _refuse_other_content(kind, asset, base, changed)
        checked = _check(kind, changed)
        kept = {key: value for key, value in asset.spec.items() if key not in assets.CHANGEABLE}
        words = {key: checked[key] for key in assets.CHANGEABLE & checked.keys()}
        assets.replace_spec(session.store, asset, {**kept, **words})
    return _document(session, _get(session, kind, name, version=asset.version, label=None, verb="show"))


def _apply(base: Mapping[str, Any], operations: Sequence[Operation], forces_text: bool) -> Document:
    from mlctl.entities.generic_update import apply_generic_update

    flat: list[tuple[str, ...]] = []
    for verb, tokens in operations:
        flat += [("set", token) for token in tokens] if verb == "set" else [(verb, *tokens)]
    return apply_generic_update(dict(base), flat, force_string=forces_text)


def _refuse_other_content(kind: str, asset: Asset, base: Mapping[str, Any], changed: Mapping[str, Any]) -> None:
    fields = sorted(
        key for key in {*base, *changed} if key not in assets.CHANGEABLE and base.get(key) != changed.get(key)
    )
    if fields:
        allowed = "description, tags, properties and stage" if kind == "model" else "description, tags and properties"
        raise InvalidInput(
            f"{kind} {asset.name}:{asset.version}: {', '.join(fields)} cannot change, a registered version keeps its "
            f"content (only {allowed} may)",
            hint=f"register the next version: mlctl {kind} create -n {asset.name} --help",
        )


def _check(kind: str, document: Mapping[str, Any]) -> Document:
    from mlctl.entities.component import CommandComponent, PipelineComponent
    from mlctl.entities.data import Data
    from mlctl.entities.document import make_document
    from mlctl.entities.environment import Environment
    from mlctl.entities.model import Model
    from mlctl.entities.parts import Entity
    from mlctl.ops.loading import parse_checked

    classes: dict[str, type[Entity]] = {"model": Model, "environment": Environment, "data": Data}
    classes["component"] = PipelineComponent if document.get("type") == "pipeline" else CommandComponent
    return parse_checked(make_document(dict(document)), classes[kind]).to_document()


def download(session: Session, name: str, version: str, folder: Path) -> Path:
    """Copy a model's files to `folder/name/…`, over what is there; return where they are."""
    asset = _get(session, "model", name, version=version, label=None, verb="download")
    stored = artifacts.find_artifact(session.store, session.settings.artifacts, asset.artifact or "")
    if stored is None or not stored.path.is_dir():
        raise NotFound(f"the files of model {name}:{version} are not in the registry any more", hint="mlctl doctor")
    target = folder / asset.name
    try:
        _copy_files(stored.path, target)
    except OSError as error:
        raise BackendUnavailable(f"cannot write {target}: {error.strerror}", hint=f"df -h {folder}") from error
    return target


def _copy_files(source: Path, target: Path) -> None:
    """Copy a stored tree for the user to own: writable, unlike the registry's."""
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.rglob("*")):
        place = target / path.relative_to(source)
        if path.is_dir():
            place.mkdir(exist_ok=True)
            continue
        place.unlink(missing_ok=True)
        shutil.copyfile(path, place)
        if path.stat().st_mode & 0o100:
            place.chmod(place.stat().st_mode | 0o111)


def refuse_registry(registry: str | None) -> None:
    """Refuse `--registry-name`: a workspace here is a name in this machine's own registry."""
    if registry is not None:
        raise InvalidInput(
            f"--registry-name {registry}: {REGISTRY_REASON}",
            hint="leave it out; -w NAME keeps assets of different teams apart",
        )


def refuse_sharing(kind: str, name: str, version: str) -> None:
    """Refuse `share`, and say how to get the same."""
    raise InvalidInput(
        f"{kind} {name}:{version} cannot be shared: {REGISTRY_REASON}",
        hint=f"register it under another workspace: mlctl {kind} create -n {name} -v {version} … -w NAME",
    )


def refuse_packaging(name: str, version: str) -> None:
    """Refuse `model package`, and say how to get the same."""
    raise InvalidInput(
        f"model {name}:{version} cannot be packaged: packages are images, and mlctl builds none",
        hint="a deployment runs the model as it is: mlctl deployment create -f blue.yml",
    )


def _get(session: Session, kind: str, name: str, *, version: str | None, label: str | None, verb: str) -> Asset:
    if (version is None) == (label is None):
        raise InvalidInput("give either --version or --label", hint=f"mlctl {kind} {verb} -n {name} --label latest")
    if label is not None and label.lower() != "latest":
        raise NotFound(f"{kind} {name} has no label {label}", hint="the only label is latest")
    found = _find(session, kind, name, version=version, label=label)
    if found is None:
        raise _missing(session, kind, name, version or label)
    return found


def _find(
    session: Session, kind: str, name: str, *, version: str | None = None, label: str | None = None
) -> Asset | None:
    if label is not None:
        return assets.latest_asset(session.store, kind=kind, workspace=session.workspace, name=name)
    return assets.get_asset(session.store, kind=kind, workspace=session.workspace, name=name, version=version or "")


def _missing(session: Session, kind: str, name: str, what: str | None) -> NotFound:
    known = assets.list_assets(session.store, kind=kind, workspace=session.workspace, name=name)
    text = f"{name}:{what}" if what else name
    if known and all(asset.archived for asset in known):
        return NotFound(f"{kind} {text}: all versions of {name} are archived", hint=f"mlctl {kind} restore -n {name}")
    if known:
        versions = ", ".join(asset.version for asset in known[:10])
        return NotFound(f"there is no {kind} {text}", hint=f"{name} has the versions {versions}")
    return NotFound(f"there is no {kind} {text}", hint=f"mlctl {kind} list")


def _document(session: Session, asset: Asset) -> Document:
    if asset.kind == "data":
        return data_document(asset, session.resource_group)
    document = asset_document(asset, session.resource_group)
    if asset.kind == "environment":
        # What is stored of an environment is its build folder; Azure shows no path of it.
        document.pop("path", None)
    context = creation_context(
        asset.created_at,
        asset.created_by,
        asset.modified_at or asset.created_at,
        asset.modified_by or asset.created_by,
    )
    return document | {"creation_context": context}


def _list_row(document: Document, version_key: str) -> Document:
    row = {"name": document["name"], version_key: document["version"]}
    if "path" in document:
        row |= {"model type": document.get("type"), "path": document["path"]}
    if "is_deterministic" in document:
        row |= {key: document[key] for key in ("type", "display_name") if key in document}
    keys = ("tags", "stage", "id", "properties", "description", "creation_context")
    return row | {key: document[key] for key in keys if document.get(key) is not None}
