"""The check of a workflow's parameters: each mistake gets one sentence that names the parameter."""

import argparse

import pytest
import yaml

from distml.administration import parameters
from distml.model import names
from distml.step import outcome
from support.project import ROOT

SPEC = yaml.safe_load((ROOT / "workflow.yaml").read_text())["spec"]
VALUES = {parameter["name"]: parameter["value"] for parameter in SPEC["arguments"]["parameters"]}
LISTED = 'expected one such as ["plain", "dropout"]'


def check(workflow: str = "distml-abcde", namespace: str = "kubeflow", **changes: str) -> dict:
    values = VALUES | {name.replace("_", "-"): value for name, value in changes.items()}
    return parameters.check(values, workflow, namespace)


def refusal(workflow: str = "distml-abcde", namespace: str = "kubeflow", **changes: str) -> str:
    """Return the sentence with which the check refuses the parameters."""
    with pytest.raises(outcome.StepError) as refused:
        check(workflow, namespace, **changes)
    assert refused.value.exit_status == 2
    return str(refused.value)


def test_the_check_knows_every_parameter_but_its_own_image() -> None:
    assert tuple(VALUES) == (*parameters.NAMES, parameters.IMAGE)


def test_the_files_own_parameters_are_right() -> None:
    assert check() == {
        "models": list(names.MODELS),
        "seeds": [1],
        "workers": 2,
        "epochs": 4,
        "batch-per-worker": 64,
        "train-images": 55_000,
        "training-deadline": 3600,
        "accuracy-floor": 0.85,
        "class-floor": 0.0,
        "tolerance": 0.01,
        "signatures": "ignored",
        "keep-runs": 10,
        "train": "always",
        "service": "flower-sample",
    }


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("models", "plain batchnorm", f"'plain batchnorm' is not a JSON list of one or more entries, {LISTED}"),
        ("models", "", f"'' is not a JSON list of one or more entries, {LISTED}"),
        ("models", "[]", f"'[]' is not a JSON list of one or more entries, {LISTED}"),
        ("models", '{"plain": 1}', f"'{{\"plain\": 1}}' is not a JSON list of one or more entries, {LISTED}"),
        (
            "models",
            '["plain", "batch-norm"]',
            "'batch-norm' is not a model, expected a JSON list of some of plain, dropout, batchnorm",
        ),
        (
            "models",
            '["plain", "plain"]',
            """'["plain", "plain"]' is a list that repeats "plain", expected each entry once""",
        ),
        (
            "models",
            '[["plain"]]',
            "['plain'] is not a model, expected a JSON list of some of plain, dropout, batchnorm",
        ),
        ("seeds", "3", "'3' is not a JSON list of one or more entries, expected one such as [1, 2]"),
        ("seeds", "[1, 1]", "'[1, 1]' is a list that repeats 1, expected each entry once"),
        ("seeds", '["1"]', "'[\"1\"]' is not a list of whole numbers, expected one such as [1, 2]"),
        ("seeds", "[true]", "'[true]' is not a list of whole numbers, expected one such as [1, 2]"),
        ("seeds", "[-0]", "'[-0]' is not a list of whole numbers, expected one such as [1, 2]"),
        ("seeds", "[1.5]", "'[1.5]' is not a list of whole numbers, expected one such as [1, 2]"),
        ("seeds", "[-1]", "'-1' is not an integer from 0 to 2000000000"),
        ("seeds", str([*range(101)]), "101 seeds are too many, expected at most 100"),
        ("workers", "0", "'0' is not an integer of 1 or more"),
        ("workers", "two", "'two' is not an integer of 1 or more"),
        ("workers", " 2", "' 2' is not written in plain digits, expected 2"),
        ("epochs", "", "'' is not an integer of 1 or more"),
        ("epochs", "1_0", "'1_0' is not written in plain digits, expected 10"),
        ("epochs", "4\nfoo: bar", r"'4\nfoo: bar' is not an integer of 1 or more"),
        ("epochs", '"4"', "'\"4\"' is not an integer of 1 or more"),
        ("epochs", "2147483648", "'2147483648' is too large, expected at most 2147483647"),
        ("batch-per-worker", "-64", "'-64' is not an integer of 1 or more"),
        ("train-images", "60000", "'60000' is not an integer from 1 to 55000"),
        ("training-deadline", "1h", "'1h' is not an integer from 1 to 2147483587"),
        ("training-deadline", "2147483588", "'2147483588' is not an integer from 1 to 2147483587"),
        ("accuracy-floor", "85%", "'85%' is not a number from 0 to 1"),
        ("class-floor", "nan", "'nan' is not a number from 0 to 1"),
        ("tolerance", "-0.1", "'-0.1' is not a number from 0 to 1"),
        ("tolerance", "-0", "'-0' is not written in plain digits, expected 0.0"),
        ("tolerance", "1e-5", "'1e-5' is not written in plain digits, expected 0.00001"),
        ("tolerance", "1_0e-1", "'1_0e-1' is not written in plain digits, expected 1.0"),
        ("class-floor", ".5", "'.5' is not written in plain digits, expected 0.5"),
        ("class-floor", " 0.5", "' 0.5' is not written in plain digits, expected 0.5"),
        (
            "accuracy-floor",
            "\N{ARABIC-INDIC DIGIT ONE}",
            "'\N{ARABIC-INDIC DIGIT ONE}' is not written in plain digits, expected 1.0",
        ),
        ("keep-runs", "all", "'all' is not an integer of 0 or more"),
        ("keep-runs", "-0", "'-0' is not written in plain digits, expected 0"),
        ("signatures", "Required", "'Required' is not known, expected ignored or required"),
        ("signatures", "", "'' is not known, expected ignored or required"),
        ("signatures", "true", "'true' is not known, expected ignored or required"),
        ("train", "sometimes", "'sometimes' is not known, expected always or if-needed"),
        ("train", "", "'' is not known, expected always or if-needed"),
    ],
)
def test_a_mistyped_parameter_is_refused_in_one_sentence(name: str, value: str, reason: str) -> None:
    assert refusal(**{name: value}) == f"parameter {name}: {reason}"


@pytest.mark.parametrize(("value", "number"), [("0", 0), ("1", 1), ("0.05", 0.05), ("0.850", 0.85), ("1.0", 1)])
def test_a_fraction_has_digits_and_at_most_one_point(value: str, number: float) -> None:
    assert check(tolerance=value)["tolerance"] == number


@pytest.mark.parametrize("service", ["Flower", "flower_sample", "flower.sample", "9flowers", "flower-", ""])
def test_a_service_has_a_name_that_kserve_accepts(service: str) -> None:
    assert refusal(service=service) == (
        f"parameter service: {service!r} is not a valid name, expected lower-case letters, digits and hyphens, a letter"
        " first and no hyphen last, such as flower-sample"
    )


def test_a_services_name_leaves_room_for_those_of_its_predictor() -> None:
    assert check(service="s" * 44)["service"] == "s" * 44
    assert refusal(service="s" * 45) == (
        f"parameter service: '{'s' * 45}' has 45 characters, expected at most 44, since its predictor gets the name"
        f" {'s' * 45}-predictor-kubeflow, and Kubernetes allows 63"
    )
    assert "expected at most 48, since its predictor gets the name isvc.ss" in refusal(service="s" * 49, namespace="ml")


def test_a_namespaces_name_leaves_room_for_a_service() -> None:
    assert check(namespace="n" * 51, service="s")["service"] == "s"
    assert refusal(namespace="n" * 60) == (
        f"the namespace's name: '{'n' * 60}' has 60 characters, expected at most 51, since the predictor of a service"
        f" gets the name s-predictor-{'n' * 60}, and Kubernetes allows 63"
    )


@pytest.mark.parametrize("name", ["distml.1", "1distml", "-distml"])
def test_a_workflows_name_begins_the_names_of_services(name: str) -> None:
    assert refusal(workflow=name) == (
        f"the workflow's name: {name!r} is not a valid name, expected lower-case letters, digits and hyphens, a letter"
        " first and no hyphen last, such as flower-sample; its TFJobs are named after it"
    )


def test_a_workflow_of_45_characters_is_refused_with_the_model_batchnorm() -> None:
    name = "w" * 45
    assert refusal(workflow=name, models='["batchnorm"]') == (
        f"the workflow's name: '{name}' has 45 characters, expected at most 36, since the Service of a worker gets the"
        f" name {name}-batchnorm-1-xxxxx-worker-1, and Kubernetes allows 63"
    )
    assert check("w" * 36, models='["batchnorm"]')["models"] == ["batchnorm"]


def test_a_job_of_any_seed_and_of_1000_workers_has_a_valid_name() -> None:
    assert check("distml-abcde", seeds="[2000000000]", workers="1000", batch_per_worker="55")["workers"] == 1000


def test_a_global_batch_has_at_most_the_training_images() -> None:
    assert refusal(batch_per_worker="12800", train_images="25599") == (
        "parameters workers and batch-per-worker: a global batch of 25600 is more than the 25599 training"
        " images; lower one of the two, or raise train-images"
    )
    assert check(batch_per_worker="12800", train_images="25600")["batch-per-worker"] == 12_800


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("epoch", r"did you mean epochs\?"),
        ("zzz", "expected only models, seeds, workers, "),
        ("Train", r"did you mean train\?"),
        ("signature", r"did you mean signatures\?"),
        ("imgae", r"did you mean image\?"),
    ],
)
def test_an_unknown_parameter_is_refused(name: str, expected: str) -> None:
    with pytest.raises(outcome.StepError, match=f"^parameter {name}: there is no parameter of this name; {expected}"):
        parameters.check(VALUES | {name: "1"}, "distml-abcde", "kubeflow")


def test_a_missing_parameter_is_refused() -> None:
    values = {name: value for name, value in VALUES.items() if name != "train"}
    with pytest.raises(outcome.StepError, match=r"^parameter train: it is missing, expected a value"):
        parameters.check(values, "distml-abcde", "kubeflow")


def test_parameters_are_parsed_as_argo_writes_them() -> None:
    assert parameters.parse(r'[{"name":"models","value":"[\"plain\"]"},{"name":"n","value":3}]') == {
        "models": '["plain"]',
        "n": "3",
    }


@pytest.mark.parametrize("text", ["", "{}x", "[1]", '[{"name": "a"}]', "3"])
def test_another_form_of_parameters_is_wrong_input(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r"is not a JSON list of names and values$"):
        parameters.parse(text)
