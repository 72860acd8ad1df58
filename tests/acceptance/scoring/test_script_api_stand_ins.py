"""Packages of Azure that scripts import: stood in for where they are missing, used where they are installed."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.acceptance.scoring.conftest import StartReplica
from tests.acceptance.scoring.replicas import Replica


def _start(start_replica: StartReplica, script: str, files: Mapping[str, str]) -> Replica:
    """Start a replica whose interpreter has the packages among `files` installed, as it seems to it."""
    probe = start_replica(None, files=files)  # for its folder only: it has no script
    probe.failure()
    return start_replica(script, environment={"PYTHONPATH": str(probe.folder / "site")}).wait_ready()


IMPORTS = {
    "azureml_inference_server_http.api.aml_request": "AMLRequest, rawhttp",
    "azureml_inference_server_http.api.aml_response": "AMLResponse",
    "azureml.contrib.services.aml_request": "AMLRequest, rawhttp",
    "azureml.contrib.services.aml_response": "AMLResponse",
    "azureml.ai.monitoring": "Collector",
    "azureml.ai.monitoring.context": "BasicCorrelationContext",
    "azureml.core": "Model",
    "azureml.core.model": "Model",
    "inference_schema.schema_decorators": "input_schema, output_schema",
    "inference_schema.schema_util": "get_input_schema, get_supported_versions, is_schema_decorated",
    "inference_schema.parameter_types.abstract_parameter_type": "AbstractParameterType",
    "inference_schema.parameter_types.standard_py_parameter_type": "StandardPythonParameterType",
    "inference_schema.parameter_types.numpy_parameter_type": "NumpyParameterType",
    "inference_schema.parameter_types.pandas_parameter_type": "PandasParameterType",
    "inference_schema.parameter_types.spark_parameter_type": "SparkParameterType",
}


def test_all_of_them_can_be_imported_and_bring_in_no_large_package(start_replica: StartReplica) -> None:
    lines = [f"from {module} import {names}" for module, names in IMPORTS.items() if "aml_re" not in module]
    script = "\n".join(["import sys", *lines, "def init(): pass", "def run(raw_data): return sorted(sys.modules)"])
    loaded = start_replica(script).wait_ready().score("x").json()
    assert "inference_schema.schema_util" in loaded
    assert not {"numpy", "pandas", "pyspark", "flask", "werkzeug"} & set(loaded)


def test_names_of_requests_and_responses_can_be_imported_under_both_names(start_replica: StartReplica) -> None:
    lines = [f"from {module} import {names}" for module, names in IMPORTS.items() if "aml_re" in module]
    star = "from azureml.contrib.services.aml_request import *"
    script = "\n".join([*lines, star, "def init(): pass", "@rawhttp", "def run(req): return req.method"])
    assert start_replica(script).wait_ready().call("GET", "/score").json() == "GET"


def test_script_that_imports_none_loads_no_stand_in(start_replica: StartReplica) -> None:
    script = "import sys\ndef init(): pass\ndef run(raw_data): return sorted(sys.modules)"
    loaded = set(start_replica(script).wait_ready().score("x").json())
    assert (
        not {"mlctl.scoring.raw_api", "mlctl.scoring.schema.decorators", "mlctl.scoring.v1_model", "werkzeug"} & loaded
    )


@pytest.mark.parametrize("name", ["inference_schema", "azureml_inference_server_http.api", "azureml.contrib.services"])
def test_names_that_are_not_stood_in_for_are_missing_by_name(start_replica: StartReplica, name: str) -> None:
    script = f"from {name} import nothing_such\ndef init(): pass\ndef run(data): pass"
    message = start_replica(script).failure()["message"]
    assert message.startswith(f"ImportError: cannot import name 'nothing_such' from '{name}'")


SCHEMA = {
    "site/inference_schema/__init__.py": "",
    "site/inference_schema/schema_util.py": """
        decorated = []

        def is_schema_decorated(function):
            return function in decorated

        def get_supported_versions(function):
            return ["3.0"]

        def get_input_schema(function):
            return {"real": "input"}

        def get_output_schema(function):
            return {"real": "output"}
        """,
    "site/inference_schema/schema_decorators.py": """
        from inference_schema.schema_util import decorated

        def input_schema(name, kind):
            def decorate(function):
                decorated.append(function)
                return function
            return decorate
        """,
}


def test_installed_inference_schema_is_used_and_asked(start_replica: StartReplica) -> None:
    script = """
    from inference_schema.schema_decorators import input_schema

    def init():
        pass

    @input_schema("data", None)
    def run(data):
        return ["real", data]
    """
    replica = _start(start_replica, script, SCHEMA)
    assert replica.score('{"data": 1}').json() == ["real", 1]
    assert replica.call("GET", "/swagger.json").status == 404
    document = replica.call("GET", "/swagger.json?version=3").json()
    assert document["components"]["schemas"]["ServiceInput"] == {"real": "input"}


def test_installed_inference_schema_is_not_mixed_with_the_stand_in(start_replica: StartReplica) -> None:
    script = """
    import inference_schema

    def init():
        pass

    def run(raw_data):
        try:
            import inference_schema.parameter_types.numpy_parameter_type
        except ImportError as error:
            return str(error)
    """
    replica = _start(start_replica, script, SCHEMA)
    assert replica.score("x").json() == "No module named 'inference_schema.parameter_types'"


def test_installed_server_package_is_used_and_its_mark_is_seen(start_replica: StartReplica) -> None:
    files = {
        "site/azureml_inference_server_http/__init__.py": "",
        "site/azureml_inference_server_http/api/__init__.py": "",
        "site/azureml_inference_server_http/api/aml_request.py": """
            _rawHttpRequested = False

            def rawhttp(function):
                global _rawHttpRequested
                _rawHttpRequested = True
                return function
            """,
        "site/azureml_inference_server_http/api/aml_response.py": """
            from werkzeug.wrappers import Response

            class AMLResponse(Response):
                def __init__(self, message, status_code):
                    super().__init__("real " + message, status_code)
            """,
    }
    script = """
    from azureml_inference_server_http.api.aml_request import rawhttp
    from azureml_inference_server_http.api.aml_response import AMLResponse

    def init():
        pass

    @rawhttp
    def run(request):
        return AMLResponse(request.method, 201)
    """
    reply = _start(start_replica, script, files).call("GET", "/score")
    assert (reply.status, reply.body) == (201, b"real GET")


def test_other_packages_below_azureml_stay_as_they_are(start_replica: StartReplica) -> None:
    files = {
        "site/azureml/__init__.py": "",
        "site/azureml/ai/__init__.py": "",
        "site/azureml/ai/monitoring/__init__.py": """
            class Collector:
                def __init__(self, *, name):
                    self.name = "real " + name
            """,
    }
    script = """
    from azureml.ai.monitoring import Collector
    from azureml.contrib.services.aml_response import AMLResponse
    from azureml.core.model import Model

    def init():
        pass

    def run(raw_data):
        return AMLResponse([Collector(name=raw_data).name, Model.__module__], 200, json_str=True)
    """
    assert _start(start_replica, script, files).score("x").json() == ["real x", "mlctl.scoring.v1_model"]


def test_package_beside_the_script_goes_before_the_stand_in(start_replica: StartReplica) -> None:
    script = """
    from azureml.core.model import Model

    def init():
        pass

    def run(raw_data):
        return Model
    """
    files = {
        "code/azureml/__init__.py": "",
        "code/azureml/core/__init__.py": "",
        "code/azureml/core/model.py": "Model = 'own'",
    }
    assert start_replica(script, files=files).wait_ready().score("x").json() == "own"
