from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlctl.entities.deployment import KubernetesOnlineDeployment, ManagedOnlineDeployment
from mlctl.entities.endpoint import KubernetesOnlineEndpoint, ManagedOnlineEndpoint
from mlctl.entities.environment import Environment
from mlctl.entities.kinds import KINDS, Kind
from mlctl.entities.model import Model
from mlctl.entities.parsing import check_document, parse_document
from mlctl.entities.parts import Entity
from mlctl.entities.yaml_file import load_document
from mlctl.errors import InvalidInput, Problem
from tests.unit.entities.texts import BAD, F1


def problems_of(text: str, model: type[Entity] = ManagedOnlineDeployment) -> list[tuple[str, str]]:
    """List (message, hint) of everything wrong with a text."""
    return [(problem.message, problem.hint) for problem in check_document(load_document(text, file="x"), model)]


def test_the_bad_example_is_told_all_at_once() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_document(load_document(BAD, file="blue.yml"), ManagedOnlineDeployment)
    assert caught.value.message == "blue.yml: 3 problems, nothing was changed"
    assert caught.value.exit_code == 1
    assert caught.value.problems == (
        Problem(
            "code_configuration.scoring_scrpt: unknown field",
            "blue.yml",
            6,
            3,
            "did you mean scoring_script?",
            "  scoring_scrpt: score.py",
            13,
        ),
        Problem(
            'instance_count: "two" is not a whole number (1 to 50)', "blue.yml", 9, 17, "", "instance_count: two", 3
        ),
        Problem(
            "request_settings.request_timeout_ms: 999999 is more than 180000",
            "blue.yml",
            12,
            22,
            "",
            " request_timeout_ms: 999999",
            6,
        ),
    )


def test_a_right_document_has_no_problems() -> None:
    assert problems_of(F1) == []


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ("scoring_script: x", "scoring_script: unknown field", "it belongs under code_configuration"),
        ("instanceCount: 2", "instanceCount: unknown field", "did you mean instance_count?"),
        ("zzzzzz: 2", "zzzzzz: unknown field", ""),
        (
            "resources: {}",
            "resources: unknown field",
            "only a Kubernetes online deployment has it (type: kubernetes)",
        ),
        ("period: 1", "period: unknown field", "it belongs under liveness_probe or readiness_probe"),
        ("tags: 3", "tags: 3 is not a map", ""),
        ("tags: {a: {b: 1}}", "tags.a: a map stands where one value belongs", ""),
        ("description: 3", "description: 3 is not text", 'write it in quotation marks: "3"'),
        ("model_mount_path: ''", "model_mount_path: is empty", ""),
        ("app_insights_enabled: 'yes'", 'app_insights_enabled: "yes" is not true or false', ""),
        ("type: cluster", 'type: "cluster" is not managed', ""),
        ("scale_settings: {}", "scale_settings.type: is missing", ""),
        (
            "scale_settings: {type: default, min_instances: 2}",
            "scale_settings: type default takes no further fields (min_instances)",
            "type: target_utilization",
        ),
        (
            "scale_settings: {type: target_utilization, min_instances: 3, max_instances: 2}",
            "scale_settings.max_instances: 2 is less than min_instances, 3",
            "",
        ),
        ("liveness_probe: {success_threshold: 2}", "liveness_probe.success_threshold: 2 is more than 1", ""),
        ("readiness_probe: {period: 0}", "readiness_probe.period: 0 is less than 1", ""),
        ("readiness_probe: {period: 1.5}", "readiness_probe.period: 1.5 is not a whole number (1 to 86400)", ""),
        ("request_settings:", "request_settings: is empty", "leave the line out, or give it a value"),
        (
            "data_collector: {collections: {request: {}}}",
            "data_collector.collections.request.enabled: is missing",
            "",
        ),
        (
            "data_collector: {collections: {}, sampling_rate: 2}",
            "data_collector.sampling_rate: 2 is not between 0 and 1",
            "",
        ),
        (
            'data_collector: {collections: {"../up": {enabled: "true"}}}',
            'data_collector.collections: "../up" is not a name for a collection',
            "letters, digits, - and _, 64 at most: it names a folder",
        ),
        (
            "data_collector: {collections: {" + ", ".join(f'c{i}: {{enabled: "true"}}' for i in range(6)) + "}}",
            "data_collector.collections: 6 collections are too many (c0, c1, c2, c3, c4, c5)",
            "5 at most besides request and response",
        ),
        (
            "data_collector: {collections: {}, request_logging: {capture_headers: x}}",
            'data_collector.request_logging.capture_headers: "x" is not a list',
            "each item is a line of its own that begins with -",
        ),
    ],
)
def test_a_fault_is_told_in_plain_words(line: str, message: str, hint: str) -> None:
    assert problems_of(F1 + line + "\n") == [(message, hint)]


def test_a_probe_has_no_path_of_its_own() -> None:
    ((message, hint),) = problems_of(F1 + "liveness_probe: {path: /x}\n")
    assert message == "liveness_probe.path: unknown field"
    assert "environment.inference_config" in hint


@pytest.mark.parametrize(
    ("model", "message", "hint"),
    [
        ("fraud-model:3", 'model: "fraud-model:3" is not a reference', "did you mean azureml:fraud-model:3?"),
        ("[a]", "model: a list is neither a reference (azureml:NAME:VERSION) nor a map", ""),
        ("{name: m}", "model.path: is missing", "for example path: ./model/model.pkl"),
        ("{path: m, type: x}", 'model.type: "x" is not custom_model, mlflow_model or triton_model', ""),
    ],
)
def test_faults_of_the_model_are_told_without_the_halves_of_the_union(model: str, message: str, hint: str) -> None:
    assert problems_of(F1.replace("azureml:fraud-model:3", model)) == [(message, hint)]


def test_what_is_missing_comes_with_an_example() -> None:
    assert problems_of("name: blue\n") == [
        ("endpoint_name: is missing", "for example endpoint_name: fraud-endpoint"),
        ("instance_type: is missing", "for example instance_type: Standard_DS3_v2"),
    ]


def test_a_script_that_is_missing_is_told_at_its_configuration() -> None:
    document = load_document(F1.replace("  scoring_script: score.py\n", ""), file="x")
    (problem,) = check_document(document, ManagedOnlineDeployment)
    assert (problem.message, problem.line) == ("code_configuration.scoring_script: is missing", 5)


def test_a_field_put_elsewhere_is_not_missing_as_well() -> None:
    text = F1.replace("  scoring_script:", "scoring_script:")
    assert problems_of(text) == [("scoring_script: unknown field", "it belongs under code_configuration")]


def test_fields_of_the_other_kind_of_endpoint_are_explained() -> None:
    text = "name: fraud\ncompute: azureml:c\nmirror_traffic: {a: 10}\n"
    expected = ("mirror_traffic: unknown field", "only a managed online endpoint has it (without compute)")
    assert problems_of(text, KubernetesOnlineEndpoint) == [expected]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("traffic: {blue: 90}", "traffic: blue 90 makes 90, it must be 100 (or 0: nobody is served)"),
        ("traffic: {blue: '100'}", 'traffic.blue: "100" is not a whole number (0 to 100)'),
        ("traffic: {blue: 50, Blue: 50}", "traffic: blue is given twice"),
        ("mirror_traffic: {a: 60}", "mirror_traffic: a would get 60 %, at most 50 % can be mirrored"),
        (
            "mirror_traffic: {a: 10, b: 10}",
            "mirror_traffic: traffic is mirrored to one deployment at most, not to a and b",
        ),
        (
            "traffic: {a: 100}\nmirror_traffic: {a: 10}",
            "mirror_traffic: a has 100 % of the live traffic, it cannot get mirrored traffic as well",
        ),
        ("auth_mode: token", 'auth_mode: "token" is not key, aml_token or aad_token'),
        ("auth_mode:", "auth_mode: is empty (key, aml_token or aad_token)"),
        (
            "identity: {type: user_assigned}",
            "identity.user_assigned_identities: is missing: type user_assigned needs one",
        ),
        (
            "identity: {type: user_assigned, user_assigned_identities: [x]}",
            'identity.user_assigned_identities[0]: "x" is not a map',
        ),
    ],
)
def test_faults_of_an_endpoint_are_told(line: str, message: str) -> None:
    ((told, _),) = problems_of(f"name: fraud\n{line}\n", ManagedOnlineEndpoint)
    assert told == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: e", "build: is missing, and so is image: one of them is needed"),
        ("name: e\nimage: i\nbuild: {path: p}", "build: stands beside image, only one of them is allowed"),
        ("name: e\nbuild: {path: p}\nconda_file: c", "conda_file: stands beside build, it goes with image only"),
        ("name: e\nimage: i\nconda_file: [a]", "conda_file: a list is not a path or a map"),
        ("name: e\nimage: i\ndependencies: []", "dependencies: unknown field"),
        ("image: i", "name: is missing"),
        ("name: e\nimage: i\nversion: true", "version: true is not text"),
    ],
)
def test_faults_of_an_environment_are_told(text: str, message: str) -> None:
    ((told, _),) = problems_of(text, Environment)
    assert told == message


def test_routes_of_a_container_need_all_three() -> None:
    text = "name: e\nimage: i\ninference_config: {liveness_route: {path: /x, port: 0}}"
    assert [message for message, _ in problems_of(text, Environment)] == [
        "inference_config.readiness_route: is missing",
        "inference_config.scoring_route: is missing",
        "inference_config.liveness_route.port: 0 is less than 1",
    ]


def test_the_name_of_a_model_is_a_safe_name() -> None:
    ((message, _),) = problems_of("name: ../m\npath: x", Model)
    assert message.startswith('name: the name "../m" may hold nothing but')


def test_text_is_quoted_and_cut_in_messages() -> None:
    ((message, _),) = problems_of(F1.replace("instance_count: 1", "instance_count: " + "x" * 500))
    assert len(message) < 120


def test_kubernetes_allows_longer_requests() -> None:
    text = F1 + "type: Kubernetes\nrequest_settings: {request_timeout_ms: 300000}\n"
    parse_document(load_document(text, file="x"), KubernetesOnlineDeployment)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.data(), st.sampled_from(KINDS))
def test_any_values_in_any_fields_are_an_entity_or_refused(data: st.DataObject, kind: Kind) -> None:
    names = st.sampled_from([*kind.model_class.list_fields(), "other", "$schema"])
    document = load_document("a: 1", file="x").replace_data(data.draw(st.dictionaries(names, VALUES)))
    assert all("nput should" not in problem.message for problem in check_document(document, kind.model_class))


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("description: off", 'YAML reads off as false; in quotation marks it is text: "off"'),
        ("description: Yes", 'YAML reads Yes as true; in quotation marks it is text: "Yes"'),
        ("instance_count: no", "YAML reads no as false"),
        ("description: true", 'write it in quotation marks: "true"'),
    ],
)
def test_a_word_that_became_a_boolean_is_explained(line: str, hint: str) -> None:
    key = line.partition(":")[0]
    text = "\n".join(one for one in F1.splitlines() if not one.startswith(key)) + f"\n{line}\n"
    assert [found for _, found in problems_of(text)] == [hint]
