"""Jobs over REST: a request becomes the invocation that `batch invoke` makes, a job the resource that Azure answers.

Source: batch contract 4.4, az's surface 1.3.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from mlctl.entities.job_request import JobRequest, RequestInput, RequestProperties, read_job_request
from mlctl.entities.stored import read_map
from mlctl.errors import InvalidInput, NotFound
from mlctl.ops import batch_jobs, job_documents
from mlctl.ops.batch_jobs import Job
from mlctl.ops.batch_orders import Invocation
from mlctl.ops.documents import Document
from mlctl.ops.session import Session
from mlctl.registry import batch_endpoints, jobs
from mlctl.registry.batch_endpoints import BatchEndpointRow

DEPLOYMENT_HEADER = "azureml-model-deployment"
# The SDK writes the second one.
REPEAT_HEADERS = ("repeatability-request-id", "repeatability_request-id")
_LONGEST_REQUEST_ID = 128
_WIRE_TYPES = {
    "uri_file": "UriFile",
    "uri_folder": "UriFolder",
    "mltable": "MLTable",
    "custom_model": "CustomModel",
    "mlflow_model": "MLFlowModel",
    "triton_model": "TritonModel",
}


def read_body(body: bytes) -> JobRequest:
    """Read a request's body; without one nothing is set. InvalidInput says what is wrong with it."""
    if not body.strip():
        return JobRequest()
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, ValueError) else "it is nested too deeply"
        raise InvalidInput(f"the body is not JSON: {reason}") from None
    if not isinstance(data, dict):
        raise InvalidInput("the body is not a JSON object", hint='send {"properties": {"InputData": {…}}}')
    return read_job_request(data)


def make_invocation(endpoint: str, request: JobRequest, headers: Mapping[str, str]) -> Invocation:
    """Return what `batch invoke` would be told; headers: names in lower case."""
    wanted = request.properties
    experiment = wanted.properties.get("experimentName") or wanted.experiment_name
    return Invocation(
        endpoint=endpoint,
        deployment=headers.get(DEPLOYMENT_HEADER) or None,
        values=_read_values(wanted),
        job_name=wanted.name or None,
        experiment_name=str(experiment) if experiment else None,
        request_id=find_request_id(endpoint, headers),
    )


def find_request_id(endpoint: str, headers: Mapping[str, str]) -> str | None:
    """Return what a repeated request is known by; None when the client does not say."""
    for name in REPEAT_HEADERS:
        if text := headers.get(name, "").strip():
            if len(text) > _LONGEST_REQUEST_ID:
                raise InvalidInput(f"{name}: {len(text)} characters, more than {_LONGEST_REQUEST_ID}")
            return f"{endpoint.lower()}/{text}"
    return None


def _read_values(wanted: RequestProperties) -> dict[str, Any]:
    inputs = {name: _read_input(name, given) for name, given in wanted.input_data.items()}
    if wanted.dataset is not None and not inputs:
        path = wanted.dataset.path or wanted.dataset.data_id
        if path is None:
            raise InvalidInput("properties.dataset has no path")
        inputs = {"data": {"path": _check_place("properties.dataset.path", path)}}
    outputs = {
        name: {"path": _check_place(f"properties.outputData.{name}.uri", given.uri)}
        for name, given in wanted.output_data.items()
        if given.uri is not None
    }
    if wanted.output_dataset is not None and wanted.output_dataset.path is not None and not outputs:
        outputs = {"score": {"path": _join_datastore(wanted.output_dataset.datastore_id, wanted.output_dataset.path)}}
    retries = wanted.retry_settings
    values: dict[str, Any] = {
        "inputs": inputs or None,
        "outputs": outputs or None,
        "mini_batch_size": wanted.mini_batch_size,
        "compute": {"instance_count": wanted.compute.instance_count} if wanted.compute else None,
        "error_threshold": wanted.error_threshold,
        "output_file_name": wanted.output_file_name,
    }
    if retries is not None:
        timeout_s = None if retries.timeout is None else retries.timeout.total_seconds()
        if timeout_s is not None and timeout_s <= 0:
            raise InvalidInput("properties.retrySettings.timeout: it has to be longer than nothing")
        found = {"max_retries": retries.max_retries, "timeout": timeout_s}
        values["retry_settings"] = {key: value for key, value in found.items() if value is not None}
    return {key: value for key, value in values.items() if value is not None}


def _read_input(name: str, given: RequestInput) -> Any:
    path = f"properties.inputData.{name}"
    if given.job_input_type == "Literal":
        if given.value is None:
            raise InvalidInput(f"{path}.value: a literal has a value")
        return {"value": given.value}
    if given.uri is None:
        raise InvalidInput(
            f"{path}.uri: data has a URI", hint="a path of the machine that serves, or azureml:NAME:VERSION"
        )
    kind = {wire: kind for kind, wire in _WIRE_TYPES.items()}.get(given.job_input_type, "")
    return {"path": _check_place(f"{path}.uri", given.uri), **({"type": kind} if kind else {})}


def _check_place(field: str, text: str) -> str:
    """Refuse a relative path: whose folder would it start from?"""
    if "://" in text or text.startswith(("azureml:", "file:/")) or PurePosixPath(text).is_absolute():
        return text
    raise InvalidInput(
        f"{field}: {text} is a relative path, and this server does not know what folder it starts from",
        hint="give an absolute path of the machine that serves, or azureml:NAME:VERSION",
    )


def _join_datastore(datastore: str | None, path: str) -> str:
    if datastore is None or PurePosixPath(path).is_absolute():
        return _check_place("properties.outputDataset.path", path)
    return f"azureml://datastores/{datastore.rpartition('/')[2].removeprefix('azureml:')}/paths/{path}"


def start(session: Session, invocation: Invocation) -> Document:
    """Start a job, or find the one that the same request has started."""
    return describe(session, batch_jobs.invoke(session, invocation))


def show(session: Session, endpoint: BatchEndpointRow, name: str) -> Document:
    """Return a job of an endpoint; NotFound for one of another."""
    found = jobs.find(session.store, name)
    if found is None or (found.endpoint or "").lower() != endpoint.name.lower():
        raise NotFound(f"{endpoint.name} has no job {name}", hint=f"mlctl batch list-jobs -n {endpoint.name}")
    return describe(session, batch_jobs.look(session, found.name))


def list_page(session: Session, endpoint: BatchEndpointRow, *, skip: int, top: int) -> list[Document]:
    """Return jobs of an endpoint, the newest first, and one more than `top` if there are more."""
    found = batch_jobs.list_all(session, endpoint=endpoint.name, limit=skip + top + 1)
    return [describe(session, job) for job in found[skip:]]


def describe(session: Session, job: Job) -> Document:
    """Return a job as the resource that Azure answers; `status` stands at both places that clients look at."""
    shown = job_documents.job_document(session, job)
    outputs = {
        name: {"jobOutputType": _WIRE_TYPES.get(found["type"], "UriFolder"), "uri": found["path"]}
        for name, found in read_map(shown, "outputs").items()
    }
    properties: Document = {
        "jobType": "Pipeline",
        "status": job.status,
        "displayName": shown["display_name"],
        "experimentName": shown["experiment_name"],
        "services": shown["services"],
        "tags": shown["tags"],
        "properties": shown["properties"],
        "outputs": outputs,
    }
    if "error" in shown:
        properties["error"] = shown["error"]
    context = shown["creation_context"]
    return {
        "id": shown["id"],
        "name": shown["name"],
        "type": shown["type"],
        "status": job.status,
        "properties": properties,
        "systemData": {"createdAt": context["created_at"], "createdBy": context["created_by"]},
    }


def find_endpoint(session: Session, name: str) -> BatchEndpointRow:
    """Return a batch endpoint; NotFound when it was deleted meanwhile."""
    return batch_endpoints.get_endpoint(session.store, name)
