"""workflow.yaml agrees with the scripts, the table of models and the other YAML files. No cluster is needed."""

import importlib
import json
import re
from typing import Any

import pytest
import yaml

import pipeline_admin
import serve
from cluster import templates
from distml.administration import parameters
from distml.model import names
from distml.training import failure_record
from distml.training.group import tfjobs
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
    "inputs.parameters.model": "plain",
    "inputs.parameters.seed": "2",
    "inputs.parameters.version": "3",
    "inputs.parameters.since": "2026-11-27T08:00:00Z",
}


def filled(text: str, **parameters: str) -> str:
    """Fill a template's text with the file's own workflow parameters, overridden by `parameters`."""
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


def test_each_step_has_a_container_or_a_resource() -> None:
    ending = ["end-former-training", "end-training", "failed-training"]
    assert sorted(CONTAINERS) == ["check", *ending, "ingest", "release", "remove-runs", "select"]
    assert sorted(RESOURCES) == ["create-service", "look-for-service", "tfjob", "update-service"]
    assert len(TEMPLATES) == 18


@pytest.mark.parametrize("name", CONTAINERS)
def test_each_steps_command_is_a_script_that_parses_its_arguments(name: Any) -> None:
    program, path, *arguments = CONTAINERS[name]["command"]
    links = re.findall(r"ln -s /opt/pipeline/src/(\w+)\.py (/[\w-]+\.py)", (ROOT / "Dockerfile").read_text())
    module = {link: module for module, link in links}[path]
    assert program == "python3"
    importlib.import_module(module).parse_args([filled(argument) for argument in arguments])


@pytest.mark.parametrize(
    ("step", "option", "path"),
    [("select", "signing_key", "/signing-key/private.pem"), ("release", "public_key", "/public-key/public.pem")],
)
def test_a_step_gets_its_key_unless_signatures_are_ignored(step: str, option: str, path: str) -> None:
    name = f"--{option.replace('_', '-')}="
    (given,) = (argument for argument in CONTAINERS[step]["command"] if argument.startswith(name))
    assert filled(given) == filled(given, signatures="ignored") == name
    # A value that the first step refuses needs the key too, since that step can be left out.
    for value in ("required", "Ignored", ""):
        assert filled(given, signatures=value) == name + path
    (mount,) = (mount for mount in CONTAINERS[step]["volumeMounts"] if path.startswith(mount["mountPath"]))
    assert mount["readOnly"] is True


def test_the_training_script_parses_the_workers_command() -> None:
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


def test_the_quality_gate_equals_that_of_the_local_pipeline() -> None:
    local = importlib.import_module("local_pipeline").parse_args([])
    gate = [float(PARAMETERS[name]) for name in ("accuracy-floor", "class-floor", "tolerance")]
    assert gate == [local.accuracy_floor, local.class_floor, local.tolerance]


def test_the_workflow_trains_exactly_the_models_of_the_table() -> None:
    assert json.loads(PARAMETERS["models"]) == list(names.MODELS)


def test_the_workflow_trains_each_model_with_each_seed() -> None:
    by_model, by_seed = (steps_of(TEMPLATES[name]) for name in ("pipeline", "train-model"))
    (models,) = (step for step in by_model if step["template"] == "train-model")
    (seeds,) = by_seed
    assert (models["withParam"], seeds["withParam"]) == (
        "{{workflow.parameters.models}}",
        "{{workflow.parameters.seeds}}",
    )
    passed = {parameter["name"]: parameter["value"] for parameter in seeds["arguments"]["parameters"]}
    assert (seeds["template"], passed) == ("train", {"model": "{{inputs.parameters.model}}", "seed": "{{item}}"})
    assert json.loads(PARAMETERS["seeds"]) == [importlib.import_module("local_pipeline").parse_args([]).seed]


def test_each_attempt_has_its_own_job_and_each_workflow_its_own_run() -> None:
    job = yaml.safe_load(RESOURCES["tfjob"]["manifest"].replace("{{", "<").replace("}}", ">"))
    name = "<workflow.name>-<inputs.parameters.model>-<inputs.parameters.seed>-"
    assert (job["metadata"].get("name"), job["metadata"]["generateName"]) == (None, name)
    own = {"--run=<workflow.name>", "--model=<inputs.parameters.model>", "--seed=<inputs.parameters.seed>"}
    assert own <= set(worker(job)["containers"][0]["command"])


def test_the_first_step_checks_every_parameter_but_its_own_image() -> None:
    (first,) = TEMPLATES["pipeline"]["steps"][0]
    assert first == {"name": "check", "template": "check"}
    options = CONTAINERS["check"]["command"][2:]
    (given,) = (filled(option) for option in options if "workflow.parameters" in option)
    assert parameters.parse(given.removeprefix("--parameters=")) == PARAMETERS
    assert tuple(PARAMETERS) == (*parameters.NAMES, parameters.IMAGE)


def test_the_workflow_page_lists_every_parameter() -> None:
    page = (ROOT / "docs/workflow.md").read_text()
    table = page[page.index("| parameter |") : page.index("Numbers are written in plain digits")]
    cells = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    assert [name for cell in cells for name in re.findall(r"`([a-z-]+)`", cell)] == list(PARAMETERS)


def test_the_check_writes_the_outputs_that_the_workflow_reads() -> None:
    parsed = pipeline_admin.parse_args([filled(option) for option in CONTAINERS["check"]["command"][2:]])
    paths = {output["name"]: output["valueFrom"]["path"] for output in TEMPLATES["check"]["outputs"]["parameters"]}
    assert paths == {name: str(parsed.outputs / name) for name in ("train", "reason")}


@pytest.mark.parametrize("value", ["4\n: {", '"', "'", "a: b", "[", "&x", "", "1 # 2", "null", "\\"])
def test_no_parameter_makes_a_manifest_invalid_before_the_check(value: str) -> None:
    """Argo parses each manifest when a workflow starts. It fills in the parameters, and accepts an asInt that fails."""

    def argos(tag: re.Match[str]) -> str:
        if "workflow.parameters" not in tag[1] or "asInt(" in tag[1]:
            return "placeholder"
        return json.dumps(value) if "toJson(" in tag[1] else value

    loaded = {
        name: yaml.safe_load(re.sub("{{(.*?)}}", argos, RESOURCES[name].get("manifest", ""))) for name in RESOURCES
    }
    assert worker(loaded["tfjob"])["containers"][0]["image"] == value
    assert loaded["create-service"]["metadata"]["name"] == value


@pytest.mark.parametrize("model", names.MODELS)
def test_a_models_name_is_valid_in_a_jobs_name(model: Any) -> None:
    assert re.fullmatch("[a-z0-9]([-a-z0-9]*[a-z0-9])?", model)


def test_an_attempt_ends_the_former_job_before_it_creates_its_own() -> None:
    former, job, why = steps_of(TEMPLATES["train"])
    assert (former["template"], former["when"]) == ("end-former-training", "{{retries}} != 0")
    assert "continueOn" not in former
    assert (job["template"], why["template"]) == ("tfjob", "failed-training")
    since = {"name": "since", "value": "{{steps.tfjob.startedAt}}"}
    assert why["arguments"]["parameters"] == [*job["arguments"]["parameters"], since]


def test_the_job_equals_that_of_multi_worker_tfjob_yaml() -> None:
    ours, file = tfjob(), load("multi-worker-tfjob.yaml")
    pod, original = worker(ours), worker(file)
    del original["initContainers"]  # the workflow ingests in a step
    pod["containers"][0]["command"] = original["containers"][0]["command"]
    del pod["containers"][0]["env"][0]  # FAILURE_RECORD, which only a workflow sets; see the next test
    assert pod == original
    del ours["spec"]["tfReplicaSpecs"]["Worker"]["template"], file["spec"]["tfReplicaSpecs"]["Worker"]["template"]
    # The job stays as long as a failed workflow.
    assert ours["spec"]["runPolicy"].pop("ttlSecondsAfterFinished") == SPEC["ttlStrategy"]["secondsAfterFailure"]
    del file["spec"]["runPolicy"]["ttlSecondsAfterFinished"]
    assert ours["spec"] == file["spec"]


def test_a_worker_records_its_failure_where_ending_steps_read_it() -> None:
    variables = {variable["name"]: variable.get("value") for variable in worker(tfjob())["containers"][0]["env"]}
    for name in ("end-former-training", "failed-training"):
        ending = pipeline_admin.parse_args([filled(argument) for argument in CONTAINERS[name]["command"][2:]])
        assert variables[failure_record.VARIABLE] == str(
            ending.volume.failure(ending.workflow, ending.model, ending.seed)
        )


def test_the_back_off_limit_grows_with_the_number_of_workers() -> None:
    job = tfjob(workers="8")["spec"]
    assert (job["tfReplicaSpecs"]["Worker"]["replicas"], job["runPolicy"]["backoffLimit"]) == (8, 24)


def test_the_workflow_has_time_for_three_attempts_at_each_model() -> None:
    attempts = 3 * len(names.MODELS)
    assert SPEC["activeDeadlineSeconds"] >= attempts * int(PARAMETERS["training-deadline"]) + 3600


def test_job_and_workers_have_the_labels_of_workflow_model_and_seed() -> None:
    labels = {tfjobs.WORKFLOW_LABEL: "distml-abcde", tfjobs.MODEL_LABEL: "plain", tfjobs.SEED_LABEL: "2"}
    assert list(labels) == ["workflows.argoproj.io/workflow", "model", "seed"]
    labels["sidecar.istio.io/inject"] = "false"
    assert tfjob()["metadata"]["labels"] == labels
    assert tfjob()["spec"]["tfReplicaSpecs"]["Worker"]["template"]["metadata"]["labels"] == labels


def test_the_conditions_of_a_resource_are_in_its_resource_block() -> None:
    for template in TEMPLATES.values():
        assert not {"successCondition", "failureCondition", "setOwnerReference"} & template.keys()
    job = RESOURCES["tfjob"]
    assert job["successCondition"] == "status.replicaStatuses.Worker.succeeded == {{workflow.parameters.workers}}"
    assert job["failureCondition"].count("type == Failed") == 3
    assert job["setOwnerReference"] is True


def test_a_new_service_equals_that_of_inference_service_yaml() -> None:
    assert yaml.safe_load(filled(RESOURCES["create-service"]["manifest"])) == load("inference-service.yaml")
    # The service must outlive a deleted workflow.
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
    # Any `kubectl apply` would remove the scaling that a user set with an earlier `kubectl apply`.
    assert (RESOURCES["update-service"]["action"], RESOURCES["update-service"]["mergeStrategy"]) == ("patch", "merge")


def test_the_release_step_ends_by_itself_after_every_trial() -> None:
    arguments = [filled(argument) for argument in CONTAINERS["release"]["command"][2:]]
    parsed = pipeline_admin.parse_args(arguments)
    assert (parsed.service, parsed.namespace, parsed.version) == ("flower-sample", "kubeflow", 3)
    trial = serve.parse_args([])
    # A replica that starts during a trial begins one of its own.
    assert 2 * (trial.shadow_seconds + trial.probation_seconds) < parsed.timeout
    assert parsed.timeout < TEMPLATES["release"]["activeDeadlineSeconds"]


def test_every_template_is_used_and_every_used_template_exists() -> None:
    used = [step["template"] for template in TEMPLATES.values() for step in steps_of(template)]
    assert len(used) == 17
    assert {*used, SPEC["entrypoint"], SPEC["onExit"]} == TEMPLATES.keys()


def test_every_parameter_is_used_and_every_used_parameter_exists() -> None:
    used = set(re.findall(r"workflow\.parameters(?:\.|\[')([\w-]+)", (ROOT / "workflow.yaml").read_text()))
    assert used == PARAMETERS.keys() - {"train"}  # which only the first step reads, as one of all parameters
    assert len(used) == 14


def test_every_step_has_a_deadline_and_repeatable_steps_a_retry() -> None:
    for name in CONTAINERS.keys() | RESOURCES.keys():
        assert "activeDeadlineSeconds" in TEMPLATES[name], name
    without = {name for name in TEMPLATES if "retryStrategy" not in TEMPLATES[name]}
    # `serve` retries these three together: a creation retried by itself could meet its own service.
    of_serve = {"look-for-service", "create-service", "update-service"}
    assert without == {"pipeline", "ingest-once", "train-model", "publish", "tfjob", "failed-training", *of_serve}
    for template in TEMPLATES.values():
        assert template.get("retryStrategy", {"retryPolicy": "Always"})["retryPolicy"] == "Always"


def test_wrong_input_and_refusals_are_not_retried() -> None:
    for name in ("check", "ingest", "remove-runs", "end-former-training", "select", "release"):
        assert TEMPLATES[name]["retryStrategy"]["expression"].startswith("lastRetry.exitCode not in ['2', '3']")


def test_the_first_step_has_time_to_pull_the_image_as_ingestion_had() -> None:
    for key in ("activeDeadlineSeconds", "retryStrategy"):
        assert TEMPLATES["check"][key] == TEMPLATES["ingest"][key]
    assert TEMPLATES["check"]["activeDeadlineSeconds"] == 900
    # The exit handler does not wait a second time for an image that cannot be pulled.
    handler = TEMPLATES["end-training"]
    expression = f"asFloat(lastRetry.duration) < {handler['activeDeadlineSeconds']}"
    assert handler["retryStrategy"]["expression"] == expression


def test_only_a_failed_removal_of_runs_lets_the_workflow_go_on() -> None:
    going_on = {step["name"]: step["continueOn"] for step in steps_of(TEMPLATES["pipeline"]) if "continueOn" in step}
    assert going_on == {"remove-runs": {"failed": True, "error": True}}


def test_containers_are_restricted_and_have_a_token_only_if_needed() -> None:
    defaults = SPEC["templateDefaults"]["container"]
    assert SPEC["securityContext"] == worker(load("multi-worker-tfjob.yaml"))["securityContext"]
    assert defaults["securityContext"] == worker(load("multi-worker-tfjob.yaml"))["containers"][0]["securityContext"]
    assert {"requests", "limits"} == defaults["resources"].keys()
    assert not [name for name, container in CONTAINERS.items() if {"securityContext", "resources"} & container.keys()]
    with_token = {name for name, container in CONTAINERS.items() if NO_TOKEN not in container["volumeMounts"]}
    assert with_token == {"check", "end-training", "end-former-training", "failed-training", "release"}
    for name in ("check", "end-former-training", "failed-training"):
        assert CONTAINERS[name]["volumeMounts"][0] == {**VOLUME, "readOnly": True}


def test_the_run_of_a_waiting_workflow_is_in_use() -> None:
    removal = pipeline_admin.parse_args([filled(argument) for argument in CONTAINERS["remove-runs"]["command"][2:]])
    assert removal.unused_hours * 3600 > SPEC["activeDeadlineSeconds"]
    assert removal.keep == pipeline_admin.parse_args(["remove-runs"]).keep == int(PARAMETERS["keep-runs"])


def test_one_mutex_spans_select_serve_and_release() -> None:
    assert [step["template"] for step in steps_of(TEMPLATES["publish"])] == ["select", "serve", "release"]
    assert TEMPLATES["publish"]["synchronization"] == {"mutexes": [{"name": "publish"}]}


def test_only_one_tfjob_of_all_workflows_trains_at_a_time() -> None:
    (reference,) = TEMPLATES["train"]["synchronization"]["semaphores"]
    limits = load("manifests/pipeline/training-limit.yaml")
    assert reference["configMapKeyRef"]["name"] == limits["metadata"]["name"]
    assert limits["data"] == {reference["configMapKeyRef"]["key"]: "1"}


def test_a_memoised_template_has_no_retries_of_its_own() -> None:
    """`argo retry` finds no parent of the step after a Retry node without attempts, which a memoised one has."""
    (name,) = (name for name, template in TEMPLATES.items() if "memoize" in template)
    assert steps_of(TEMPLATES[name]) == [{"name": "ingest", "template": "ingest"}]


def test_argos_controller_may_update_the_memoisation_cache() -> None:
    (rule,) = (rule for rule in load("manifests/argo-workflows/cache-role.yaml")["rules"] if "resourceNames" in rule)
    assert rule["resourceNames"] == [TEMPLATES["ingest-once"]["memoize"]["cache"]["configMap"]["name"]]
    assert re.fullmatch("[a-zA-Z0-9][-a-zA-Z0-9]*", TEMPLATES["ingest-once"]["memoize"]["key"])


def test_the_workflow_has_no_field_that_argo_4_removed() -> None:
    text = (ROOT / "workflow.yaml").read_text()
    assert re.findall(r"^\s*(schedule|mutex|semaphore|podPriority):", text, re.MULTILINE) == []


def test_the_cluster_tests_may_change_a_pod_without_changing_the_next() -> None:
    changed = templates.pod("own", "ingest", {})
    before = json.dumps(changed)
    for part in (*changed["spec"]["volumes"], changed["spec"]["securityContext"], *changed["spec"]["containers"]):
        part.clear()
    assert json.dumps(templates.pod("own", "ingest", {})) == before
