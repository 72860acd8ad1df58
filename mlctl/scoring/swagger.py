"""`/swagger.json`: what describes a scoring script to its clients, as Azure's server writes it. Answered by `app`.

A file of the user's goes before what is generated: `swagger.json` (version 2), `swagger2.json`, `swagger3.json`,
`swagger3.1.json` in AML_APP_ROOT. Without @input_schema, and without a model whose loader tells, nothing is known of
the bodies: they are objects.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

from mlctl.scoring.answers import FUNCTION_SUCCEEDED, JSON_TYPE, Answer, refuse
from mlctl.scoring.user_code import find_schemas_of
from mlctl.scoring.wire import read_query

_logger = logging.getLogger("azmlinfsrv.swagger")
_FILES = {"2": ("swagger.json", "swagger2.json"), "3": ("swagger3.json",), "3.1": ("swagger3.1.json",)}
_ALIASES = {"2": "2", "2.0": "2", "3": "3", "3.0": "3", "3.1": "3.1"}

Document = dict[str, Any]


class Refusal(NamedTuple):
    """Why there is no document of a version."""

    message: str


class Schemas(NamedTuple):
    """What is known of a script's bodies. versions: those of swagger that can express it.

    body: what the loader of a model without a script tells, in JSON Schema, in place of `input`.
    """

    input: Document
    output: Document
    versions: tuple[str, ...]
    body: Mapping[str, Any] | None = None

    def describe_input(self, version: str) -> Document:
        """Return the schema of the input for a version."""
        if self.body is None:
            return self.input
        from mlctl.scoring.body_documents import describe_input

        return describe_input(self.body, version)


class Service(NamedTuple):
    """What the documents call the service, and what its paths begin with."""

    name: str
    version: str
    path_prefix: str


def read_service(environment: Mapping[str, str]) -> Service:
    """Read the variables that Azure's server reads."""
    prefix = environment.get("SERVICE_PATH_PREFIX", "").strip("/")
    name, version = environment.get("SERVICE_NAME", "ML service"), environment.get("SERVICE_VERSION", "1.0")
    return Service(name, version, f"/{prefix}" if prefix else "")


def find_schemas(function: Callable[..., object] | None) -> Schemas:
    """Return what @input_schema and @output_schema say of a script's run(), inference-schema's or a stand-in's."""
    empty: Document = {"type": "object", "example": {}}
    util = find_schemas_of(function) if function else None
    if util is None:
        describe = getattr(getattr(function, "__self__", None), "describe_body", None)
        return Schemas(empty, empty, tuple(_FILES), describe() if describe else None)
    found = {_ALIASES.get(str(version)) for version in util.get_supported_versions(function)}
    versions = tuple(version for version in _FILES if version in found)
    return Schemas(util.get_input_schema(function), util.get_output_schema(function), versions)


class Swagger:
    """Answers requests for the documents; each is made when it is asked for, and kept."""

    def __init__(self, app_root: Path, service: Service, function: Callable[..., object] | None) -> None:
        self._app_root = app_root
        self._service = service
        self._function = function
        self._answers: dict[str, Answer] = {}

    def answer(self, query: bytes) -> Answer:
        """Answer a request. query: may name a version."""
        asked = read_query(query).get("version", ["2"])[0]
        version = _ALIASES.get(asked)
        if version is None or version not in self._answers:
            found = self.build(asked)
            if isinstance(found, Refusal):
                return refuse(404, found.message)
            answer = Answer(200, json.dumps(found).encode(), JSON_TYPE + FUNCTION_SUCCEEDED)
            self._answers[_ALIASES[asked]] = answer
            return answer
        return self._answers[version]

    def build(self, asked: str) -> Document | Refusal:
        """Return the document of a version, or why there is none."""
        version = _ALIASES.get(asked)
        if version and (found := self._read_file(version)):
            return found
        schemas = find_schemas(self._function)
        if version and version in schemas.versions:
            return _make_document(version, schemas, self._service)
        supported = ", ".join(name for name in _FILES if name in schemas.versions or self._read_file(name))
        if version:
            reason = f"is not supported for the scoring script. Supported swagger versions: [{supported}]."
        else:
            reason = f"is not valid. Supported versions: [{supported}]."
        return Refusal(f"Swagger version [{asked}] {reason}")

    def _read_file(self, version: str) -> Document | None:
        for name in _FILES[version]:
            try:
                found = json.loads((self._app_root / name).read_bytes())
            except FileNotFoundError:
                continue
            except (OSError, ValueError, RecursionError) as error:
                _logger.warning("%s is left out: %s", name, error)
                continue
            if found and isinstance(found, dict):
                return cast("Document", found)
        return None


def _make_document(version: str, schemas: Schemas, service: Service) -> Document:
    definitions = {
        "ServiceInput": schemas.describe_input(version),
        "ServiceOutput": schemas.output,
        "ErrorResponse": {"type": "object", "properties": {"message": {"type": "string"}}},
    }
    info = {
        "title": service.name,
        "description": f"API specification for the Azure Machine Learning service {service.name}",
        "version": service.version,
    }
    if version == "2":
        return {
            "swagger": "2.0",
            "info": info,
            "schemes": ["https"],
            "consumes": ["application/json"],
            "produces": ["application/json"],
            "securityDefinitions": {"Bearer": _BEARER},
            "paths": _make_paths(service.path_prefix, _VERSION_2),
            "definitions": definitions,
        }
    return {
        "openapi": "3.0.3" if version == "3" else "3.1.0",
        "info": info,
        "security": [{"Bearer": []}],
        "paths": _make_paths(service.path_prefix, _VERSION_3),
        "components": {"schemas": definitions, "securitySchemes": {"Bearer": _BEARER}},
    }


class _Style(NamedTuple):
    """How a version of swagger writes what the versions have in common."""

    healthy: Document
    text: Document
    reference: Callable[[str], Document]
    body: Document
    choice: Document


def _refer_2(name: str) -> Document:
    return {"schema": {"$ref": f"#/definitions/{name}"}}


def _refer_3(name: str) -> Document:
    return {"content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}}


_BEARER = {"type": "apiKey", "name": "Authorization", "in": "header", "description": "For example: Bearer abc123"}
_PAYLOAD = "The input payload for executing the real-time machine learning service."
_CHOICE = {"type": "integer", "enum": [2, 3]}
_VERSION_2 = _Style(
    healthy={"schema": {"type": "string"}, "examples": {"application/json": "Healthy"}},
    text={"schema": {"type": "string"}},
    reference=_refer_2,
    body={
        "parameters": [
            {"name": "serviceInputPayload", "in": "body", "description": _PAYLOAD, **_refer_2("ServiceInput")}
        ]
    },
    choice=_CHOICE,
)
_VERSION_3 = _Style(
    healthy={"content": {"text/plain": {"schema": {"type": "string", "example": "Healthy"}}}},
    text={"content": {"text/plain": {"schema": {"type": "string"}}}},
    reference=_refer_3,
    body={"requestBody": {"description": _PAYLOAD, **_refer_3("ServiceInput")}},
    choice={"schema": _CHOICE},
)


def _make_paths(prefix: str, style: _Style) -> Document:
    failed = {"description": "The service failed to execute due to an error.", **style.reference("ErrorResponse")}

    def reply(description: str, content: Document) -> Document:
        return {"responses": {"200": {"description": description, **content}, "default": failed}}

    healthy = "If service is up and running, this response will be returned with the content 'Healthy'"
    scored = "The service processed the input correctly and provided a result prediction, if applicable."
    return {
        f"{prefix}/": {
            "get": {
                "operationId": "ServiceHealthCheck",
                "description": "Simple health check endpoint to ensure the service is up at any given point.",
                **reply(healthy, style.healthy),
            }
        },
        f"{prefix}/score": {
            "post": {
                "operationId": "RunMLService",
                "description": "Run web service's model and get the prediction output",
                "security": [{"Bearer": []}],
                **style.body,
                **reply(scored, style.reference("ServiceOutput")),
            }
        },
        f"{prefix}/swagger.json": {
            "get": {
                "operationId": "GetSwaggerSpec",
                "description": "Get the Swagger specification.",
                "parameters": [{"name": "version", "in": "query", "required": False, **style.choice}],
                **reply("The Swagger specification.", style.text),
            }
        },
    }
