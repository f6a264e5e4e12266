"""workflow.yaml agrees with scripts, table of models and the other YAML files. No cluster is needed."""

import importlib
import json
import re
from typing import Any

import pytest
import yaml

import pipeline_admin
from cluster import templates
from distml.model import names
from distml.training import failure_record, tfjobs
from support.project import ROOT
from support.yaml_files import load

WORKFLOW = yaml.safe_load((ROOT / "workflow.yaml").read_text())
SPEC = WORKFLOW["spec"]
TEMPLATES = {template["name"]: template for template in SPEC["templates"]}
PARAMETERS = {parameter["name"]: parameter["value"] for parameter in SPEC["arguments"]["parameters"]}
CONTAINERS = {name: template["container"] for name, template in TEMPLATES.items() if "container" in template}
RESOURCES = {name: template["resource"] for name, template in TEMPLATES.items() if "resource" in template}
VOLUME = {"name": "volume", "mountPath": "/trained_model"}
NO_TOKEN = {"name": "no-token", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
VALUES = {
    "workflow.name": "distml-abcde",
    "inputs.parameters.job": "distml-abcde-plain-0",
    "inputs.parameters.model": "plain",
    "inputs.parameters.version": "3",
}


def filled(text: str, **parameters: str) -> str:
    """A template's text as a workflow of the file's own parameters, unless others are given, would have it."""
    others = {f"workflow.parameters.{name.replace('_', '-')}": value for name, value in parameters.items()}
    text = templates.filled(text, VALUES | others)
    assert "{{" not in text, text
    return text


def tfjob(**parameters: str) -> dict:
    return yaml.safe_load(filled(RESOURCES["tfjob"]["manifest"], **parameters))


def worker(job: dict) -> dict:
    return job["spec"]["tfReplicaSpecs"]["Worker"]["template"]["spec"]


def steps_of(template: dict) -> list[dict]:
    return [step for group in template.get("steps", []) for step in group]


def test_there_is_a_container_or_a_resource_for_each_step() -> None:
    ends = ["end-former-training", "end-training", "failed-training"]
    assert sorted(CONTAINERS) == [*ends, "ingest", "ingest-once", "select", "smoke"]
    assert sorted(RESOURCES) == ["create-service", "look-for-service", "tfjob", "update-service"]
    assert len(TEMPLATES) == 15


@pytest.mark.parametrize("name", CONTAINERS)
def test_each_containers_command_is_a_script_of_the_image_and_passes_its_arguments(name: Any) -> None:
    program, path, *arguments = CONTAINERS[name]["command"]
    links = re.findall(r"ln -s /opt/pipeline/src/(\w+)\.py (/[\w-]+\.py)", (ROOT / "Dockerfile").read_text())
    module = {link: module for module, link in links}[path]
    assert program == "python3"
    importlib.import_module(module).parse_args([filled(argument) for argument in arguments])


def test_the_workers_command_passes_its_arguments() -> None:
    program, path, *arguments = worker(tfjob())["containers"][0]["command"]
    assert (program, path) == ("python3", "/multi-worker-distributed-training.py")
    module = importlib.import_module("multi_worker_distributed_training")
    parsed = module.parse_args(arguments)
    defaults = module.parse_args(["--model=plain"])
    assert (parsed.epochs, parsed.batch_per_worker, parsed.train_images) == (
        defaults.epochs,
        defaults.batch_per_worker,
        defaults.train_images,
    )


def test_a_winner_must_reach_what_it_must_reach_on_a_laptop() -> None:
    limits = importlib.import_module("local_pipeline").parse_args([])
    wanted = (float(PARAMETERS["accuracy-floor"]), float(PARAMETERS["tolerance"]))
    assert wanted == (limits.accuracy_floor, limits.tolerance)


def test_it_trains_exactly_the_models_of_the_table() -> None:
    assert json.loads(PARAMETERS["models"]) == list(names.MODELS)


def test_each_model_and_each_attempt_has_a_job_of_its_own_and_each_workflow_a_run() -> None:
    (job,) = (step for step in steps_of(TEMPLATES["train"]) if step["name"] == "tfjob")
    named = {parameter["name"]: parameter["value"] for parameter in job["arguments"]["parameters"]}
    assert named["job"] == "{{workflow.name}}-{{inputs.parameters.model}}-{{retries}}"
    command = yaml.safe_load(RESOURCES["tfjob"]["manifest"].replace("{{", "<").replace("}}", ">"))
    assert {"--run=<workflow.name>", "--model=<inputs.parameters.model>"} <= set(
        worker(command)["containers"][0]["command"]
    )
    longest = f"{WORKFLOW['metadata']['generateName']}abcde-{max(names.MODELS, key=len)}-2-worker-99"
    assert len(longest) <= 63


@pytest.mark.parametrize("model", names.MODELS)
def test_a_models_name_may_be_part_of_a_jobs_name(model: Any) -> None:
    assert re.fullmatch("[a-z0-9]([-a-z0-9]*[a-z0-9])?", model)


def test_the_next_attempt_makes_a_job_only_after_the_former_one_was_ended_for_good() -> None:
    former, job, why = steps_of(TEMPLATES["train"])
    assert (former["template"], former["when"]) == ("end-former-training", "{{retries}} != 0")
    assert "continueOn" not in former
    assert (job["template"], why["template"]) == ("tfjob", "failed-training")


def test_the_job_is_that_of_multi_worker_tfjob_yaml() -> None:
    ours, file = tfjob(), load("multi-worker-tfjob.yaml")
    pod, alone = worker(ours), worker(file)
    del alone["initContainers"]  # the workflow has ingested
    pod["containers"][0]["command"] = alone["containers"][0]["command"]
    del pod["containers"][0]["env"][0]  # of the workflow's own: the file for a failure, as compared below
    assert pod == alone
    del ours["spec"]["tfReplicaSpecs"]["Worker"]["template"], file["spec"]["tfReplicaSpecs"]["Worker"]["template"]
    # It stays as long as the workflow, which may have failed.
    assert ours["spec"]["runPolicy"].pop("ttlSecondsAfterFinished") == SPEC["ttlStrategy"]["secondsAfterFailure"]
    del file["spec"]["runPolicy"]["ttlSecondsAfterFinished"]
    assert ours["spec"] == file["spec"]


def test_a_worker_leaves_its_failure_where_the_steps_that_end_training_look() -> None:
    variables = {variable["name"]: variable.get("value") for variable in worker(tfjob())["containers"][0]["env"]}
    for name in ("end-former-training", "failed-training"):
        ending = pipeline_admin.parse_args([filled(argument) for argument in CONTAINERS[name]["command"][2:]])
        assert variables[failure_record.VARIABLE] == str(ending.volume.failure(ending.workflow, ending.model))


def test_the_back_off_limit_grows_with_the_workers_of_which_each_counts() -> None:
    job = tfjob(workers="8")["spec"]
    assert (job["tfReplicaSpecs"]["Worker"]["replicas"], job["runPolicy"]["backoffLimit"]) == (8, 24)


def test_the_workflow_has_time_for_three_attempts_at_each_model_and_for_the_rest() -> None:
    attempts = 3 * len(names.MODELS)
    assert SPEC["activeDeadlineSeconds"] >= attempts * int(PARAMETERS["training-deadline"]) + 3600


def test_argo_logs_shows_the_workers_and_the_steps_that_end_training_find_jobs_and_workers() -> None:
    labels = {tfjobs.WORKFLOW_LABEL: "distml-abcde", tfjobs.MODEL_LABEL: "plain"}
    assert list(labels) == ["workflows.argoproj.io/workflow", "model"]
    assert tfjob()["metadata"]["labels"] == labels
    assert tfjob()["spec"]["tfReplicaSpecs"]["Worker"]["template"]["metadata"]["labels"] == labels


def test_conditions_stand_inside_resource_where_argo_reads_them() -> None:
    for template in TEMPLATES.values():
        assert not {"successCondition", "failureCondition", "setOwnerReference"} & template.keys()
    job = RESOURCES["tfjob"]
    assert job["successCondition"] == "status.replicaStatuses.Worker.succeeded == {{workflow.parameters.workers}}"
    assert job["failureCondition"].count("type == Failed") == 3
    assert job["setOwnerReference"] is True


def test_a_new_service_is_that_of_inference_service_yaml() -> None:
    assert yaml.safe_load(filled(RESOURCES["create-service"]["manifest"])) == load("inference-service.yaml")
    # Whoever deletes a workflow wants the service to stay.
    assert not [name for name in ("create-service", "update-service") if "setOwnerReference" in RESOURCES[name]]


def test_an_existing_service_only_changes_what_it_serves() -> None:
    file = load("inference-service.yaml")
    model = {key: file["spec"]["predictor"]["model"][key] for key in ("modelFormat", "storageUri")}
    assert yaml.safe_load(filled(RESOURCES["update-service"]["manifest"])) == {
        "apiVersion": file["apiVersion"],
        "kind": file["kind"],
        "metadata": {"name": "flower-sample"},
        "spec": {"predictor": {"model": model}},
    }
    # Any `kubectl apply` would take away the scaling that a user had set by `kubectl apply`.
    assert (RESOURCES["update-service"]["action"], RESOURCES["update-service"]["mergeStrategy"]) == ("patch", "merge")


def test_every_template_reference_resolves_and_every_template_is_used() -> None:
    referred = [step["template"] for template in TEMPLATES.values() for step in steps_of(template)]
    assert len(referred) == 13
    assert {*referred, SPEC["entrypoint"], SPEC["onExit"]} == TEMPLATES.keys()


def test_every_parameter_is_used_and_every_used_one_is_there() -> None:
    used = set(re.findall(r"workflow\.parameters(?:\.|\[')([\w-]+)", (ROOT / "workflow.yaml").read_text()))
    assert used == PARAMETERS.keys()
    assert len(used) == 10


def test_every_step_has_a_deadline_and_those_that_may_be_repeated_a_retry() -> None:
    for name in CONTAINERS.keys() | RESOURCES.keys():
        assert "activeDeadlineSeconds" in TEMPLATES[name], name
    without = {name for name in TEMPLATES if "retryStrategy" not in TEMPLATES[name]}
    # `serve` repeats its three: a creation alone could only find what it had made.
    served = {"look-for-service", "create-service", "update-service"}
    assert without == {"pipeline", "publish", "tfjob", "failed-training", *served}
    for template in TEMPLATES.values():
        assert template.get("retryStrategy", {"retryPolicy": "Always"})["retryPolicy"] == "Always"


def test_wrong_input_and_refusal_are_not_tried_again() -> None:
    for name in ("ingest", "ingest-once", "end-former-training", "select", "smoke"):
        assert TEMPLATES[name]["retryStrategy"]["expression"] == "lastRetry.exitCode not in ['2', '3']"


def test_every_container_is_restricted_and_those_that_talk_to_no_api_server_have_no_token() -> None:
    defaults = SPEC["templateDefaults"]["container"]
    assert SPEC["securityContext"] == worker(load("multi-worker-tfjob.yaml"))["securityContext"]
    assert defaults["securityContext"] == worker(load("multi-worker-tfjob.yaml"))["containers"][0]["securityContext"]
    assert {"requests", "limits"} == defaults["resources"].keys()
    assert not [name for name, container in CONTAINERS.items() if {"securityContext", "resources"} & container.keys()]
    with_token = {name for name, container in CONTAINERS.items() if NO_TOKEN not in container["volumeMounts"]}
    assert with_token == {"end-training", "end-former-training", "failed-training"}
    for name in ("end-former-training", "failed-training"):
        assert CONTAINERS[name]["volumeMounts"][0] == {**VOLUME, "readOnly": True}


def test_one_mutex_holds_select_serve_and_smoke() -> None:
    assert [step["template"] for step in steps_of(TEMPLATES["publish"])] == ["select", "serve", "smoke"]
    assert TEMPLATES["publish"]["synchronization"] == {"mutexes": [{"name": "publish"}]}


def test_jobs_of_all_workflows_share_one_limit_which_is_one() -> None:
    (reference,) = TEMPLATES["train"]["synchronization"]["semaphores"]
    limits = load("manifests/pipeline/training-limit.yaml")
    assert reference["configMapKeyRef"]["name"] == limits["metadata"]["name"]
    assert limits["data"] == {reference["configMapKeyRef"]["key"]: "1"}


def test_argos_controller_may_write_the_cache_that_the_workflow_names() -> None:
    (rule,) = (rule for rule in load("manifests/argo-workflows/cache-role.yaml")["rules"] if "resourceNames" in rule)
    assert rule["resourceNames"] == [TEMPLATES["ingest-once"]["memoize"]["cache"]["configMap"]["name"]]
    assert re.fullmatch("[a-zA-Z0-9][-a-zA-Z0-9]*", TEMPLATES["ingest-once"]["memoize"]["key"])


def test_what_argo_4_no_longer_knows_is_not_there() -> None:
    text = (ROOT / "workflow.yaml").read_text()
    assert re.findall(r"^\s*(schedule|mutex|semaphore|podPriority):", text, re.MULTILINE) == []


def test_each_account_may_do_what_its_steps_do_and_no_more() -> None:
    roles = yaml.safe_load_all((ROOT / "manifests/pipeline/roles.yaml").read_text())
    assert {role["metadata"]["name"]: role["rules"] for role in roles} == {
        "pipeline-step": [rule("argoproj.io", ["workflowtaskresults"], ["create", "patch"])],
        "pipeline-train": [rule("kubeflow.org", ["tfjobs"], ["create", "get"])],
        "pipeline-end": [
            rule("kubeflow.org", ["tfjobs"], ["list", "delete"]),
            rule("", ["pods", "events"], ["list"]),
        ],
        "pipeline-serve": [rule("serving.kserve.io", ["inferenceservices"], ["create", "get", "patch"])],
    }
    accounts = yaml.safe_load_all((ROOT / "manifests/pipeline/service-accounts.yaml").read_text())
    bindings = yaml.safe_load_all((ROOT / "manifests/pipeline/role-bindings.yaml").read_text())
    all_accounts = [account["metadata"]["name"] for account in accounts]
    bound = {binding["roleRef"]["name"]: [one["name"] for one in binding["subjects"]] for binding in bindings}
    assert bound == {"pipeline-step": all_accounts} | {name: [name] for name in all_accounts[1:]}
    used = {template.get("serviceAccountName", SPEC["serviceAccountName"]) for template in TEMPLATES.values()}
    assert used == set(all_accounts)


def rule(group: str, resources: list[str], verbs: list[str]) -> dict:
    return {"apiGroups": [group], "resources": resources, "verbs": verbs}
