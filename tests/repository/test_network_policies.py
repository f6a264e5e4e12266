"""The component network-policies opens the connections of the table below and no others. No cluster is needed."""

import re
from copy import deepcopy
from dataclasses import replace

import pytest
import yaml

from support.pod_templates import CONTROLLERS, PodTemplate, pod_templates
from support.project import ROOT
from support.reachability import Peer, Policy, is_open, matches
from support.yaml_files import documents, files, load

FOLDER = "manifests/components/network-policies"
TEMPLATES = pod_templates()
POLICIES = documents(f"{FOLDER}/policies.yaml")

OUTSIDE = [
    Peer("client", "default", {"app": "client"}),
    Peer("Prometheus", "monitoring", {"app.kubernetes.io/name": "prometheus"}),
    Peer("DNS", "kube-system", {"k8s-app": "kube-dns"}),
    Peer("API server", address="10.0.0.1"),
    Peer("internet", address="93.184.216.34"),
]
DNS = {"UDP 53", "TCP 53"}
API = {"TCP 443", "TCP 6443", "TCP 8443", "TCP 16443"}
STEP = DNS | API
# The ports that each pod reaches on every host and pod of OUTSIDE.
LEAVING: dict[str, set[str]] = {
    "step check": STEP,
    "step ingest": STEP,
    "step remove-runs": STEP,
    "step tfjob": STEP,
    "step end-former-training": STEP,
    "step failed-training": STEP,
    "step end-training": STEP,
    "step select": STEP,
    "step look-for-service": STEP,
    "step create-service": STEP,
    "step update-service": STEP,
    "step release": STEP,
    "worker of a workflow": DNS,
    "worker of the TFJob": DNS,
    "worker of the Indexed Job": DNS,
    "predictor": set(),
    "access-model": set(),
    "predict-service": set(),
    "tensorboard": set(),
    "training-operator": STEP,
    "workflow-controller": STEP,
}
# The files with a pod or the model of a predictor. support/pod_templates.py reads one of those with equal pods: the
# workflow's template equals the workflow, and KServe labels the predictors of all three services alike.
POD_FILES = {
    "access-model.yaml",
    "autoscaled-inference-service-knative.yaml",
    "autoscaled-inference-service.yaml",
    "inference-service.yaml",
    "manifests/argo-workflows/workflow-controller-deployment.yaml",
    "manifests/kubeflow-training/training-operator-deployment.yaml",
    "manifests/serving/serving-runtime.yaml",
    "multi-worker-job.yaml",
    "multi-worker-tfjob.yaml",
    "predict-service.yaml",
    "tensorboard.yaml",
    "workflow-template.yaml",
    "workflow.yaml",
}
# The ports of a pod of the project that another pod of the project reaches.
WITHIN: dict[tuple[str, str], set[str]] = {
    ("step check", "predictor"): {"TCP 8080"},
    ("step release", "predictor"): {"TCP 8080"},
    ("worker of a workflow", "worker of a workflow"): {"TCP 2222"},
    ("worker of the TFJob", "worker of the TFJob"): {"TCP 2222"},
    ("worker of the Indexed Job", "worker of the Indexed Job"): {"TCP 2222"},
}
# The ports of a pod of the project that everyone of OUTSIDE reaches.
ENTERING: dict[str, set[str]] = {"predictor": {"TCP 8080", "TCP 8081"}, "training-operator": {"TCP 9443"}}
PROMETHEUS = {("Prometheus", "workflow-controller"): {"TCP 9090"}}
# Beside those that a pod or a policy names: SSH, a port that is next to an open one, and one of no meaning.
OTHER_PORTS = {"TCP 22", "TCP 80", "TCP 2223", "UDP 8080", "TCP 6006", "TCP 6007", "TCP 6060", "TCP 9091", "TCP 50000"}
PORTS = STEP | OTHER_PORTS | {"TCP 2222", "TCP 8080", "TCP 8081", "TCP 9090", "TCP 9443"}

Triples = set[tuple[str, str, str]]


def table() -> Triples:
    """Return what the table allows as (source, target, port)."""
    ways = WITHIN | PROMETHEUS
    ways |= {(source, outside.name): ports for source, ports in LEAVING.items() for outside in OUTSIDE}
    ways |= {(outside.name, target): ports for target, ports in ENTERING.items() for outside in OUTSIDE}
    return {(source, target, port) for (source, target), ports in ways.items() for port in ports}


def peer(template: PodTemplate) -> Peer:
    containers = [*template.spec.get("initContainers", []), *template.spec["containers"]]
    ports = {port["name"]: port["containerPort"] for one in containers for port in one.get("ports", [])}
    return Peer(template.name, template.namespace, template.labels, ports=ports)


INSIDE = [peer(template) for template in TEMPLATES]


def computed(policies: list[Policy]) -> Triples:
    """Return all open connections of the project's pods with each other and with OUTSIDE."""
    pairs = [(source, target) for source in [*INSIDE, *OUTSIDE] for target in [*INSIDE, *OUTSIDE]]
    split = {port: (port.split()[0], int(port.split()[1])) for port in PORTS}
    return {
        (source.name, target.name, port)
        for source, target in pairs
        if source in INSIDE or target in INSIDE
        for port in PORTS
        if is_open(policies, source, target, split[port])
    }


def test_the_policies_open_the_table_and_nothing_else() -> None:
    assert computed(POLICIES) == table()


def test_the_table_has_every_pod_of_the_project_and_no_other() -> None:
    assert set(LEAVING) == {template.name for template in TEMPLATES}


def test_every_file_with_a_pod_is_known() -> None:
    pods = re.compile(r"^\s*(- )?(containers|modelFormat):", re.MULTILINE)
    assert {str(path.relative_to(ROOT)) for path in files() if pods.search(path.read_text())} == POD_FILES


def test_a_labelled_helper_pod_may_ask_the_predictors_by_name() -> None:
    page = (ROOT / "docs/cluster.md").read_text()
    ((name, key, value),) = re.findall(r"`kubectl label pod (\S+) (\S+)=(\S+)`", page)
    pods = {pod.name: pod for pod in [*INSIDE, *OUTSIDE]}
    labelled = replace(pods[name], labels=pods[name].labels | {key: value})
    tried = [(target, port, number) for target in pods for port, number in (("UDP", 53), ("TCP", 443), ("TCP", 8080))]
    open_ = {
        (target, number) for target, port, number in tried if is_open(POLICIES, labelled, pods[target], (port, number))
    }
    assert open_ == {("predictor", 8080), *((outside.name, 53) for outside in OUTSIDE)}


def test_every_port_of_a_pod_or_policy_is_tried() -> None:
    named = {port for template in TEMPLATES for port in peer(template).ports.values()}
    rules = [rule for policy in POLICIES for way in ("ingress", "egress") for rule in policy["spec"].get(way, [])]
    ports = {port["port"] for rule in rules for port in rule["ports"]}
    assert {f"TCP {port}" for port in named | ports} <= PORTS


def test_without_the_policies_everything_is_open() -> None:
    templates = len(TEMPLATES)
    assert len(computed([])) == (templates**2 + 2 * templates * len(OUTSIDE)) * len(PORTS)


@pytest.mark.parametrize("index", range(len(POLICIES)), ids=lambda index: POLICIES[index]["metadata"]["name"])
def test_each_policy_is_needed(index: int) -> None:
    assert computed(POLICIES[:index] + POLICIES[index + 1 :]) != table()


def widened(policy: Policy) -> list[Policy]:
    """Return copies of a policy without its peers, without its ports, and with all selectors of pods empty."""
    no_peers, no_ports, every_pod = copies = [deepcopy(policy) for _ in range(3)]
    rules = [[rule for way in ("ingress", "egress") for rule in copy["spec"].get(way, [])] for copy in copies]
    for without_peers, without_ports, of_every_pod in zip(*rules, strict=True):
        for key in ("from", "to"):
            without_peers.pop(key, None)
            for peer_ in of_every_pod.get(key, []):
                peer_["podSelector"] = {}
        del without_ports["ports"]
    every_pod["spec"]["podSelector"] = {}
    return [copy for copy in (no_peers, no_ports, every_pod) if copy != policy]


@pytest.mark.parametrize("index", range(len(POLICIES)), ids=lambda index: POLICIES[index]["metadata"]["name"])
def test_a_policy_with_fewer_conditions_is_found(index: int) -> None:
    for wider in widened(POLICIES[index]):
        assert computed([*POLICIES[:index], wider, *POLICIES[index + 1 :]]) > table(), wider


def test_the_component_adds_only_its_policies_to_one_namespace() -> None:
    kustomization = load(f"{FOLDER}/kustomization.yaml")
    assert kustomization.keys() == {"apiVersion", "kind", "resources"}
    assert kustomization["resources"] == ["policies.yaml"]
    metadata = [policy["metadata"] for policy in POLICIES]
    assert {one["namespace"] for one in metadata} == {"kubeflow"}
    assert {one["labels"]["app.kubernetes.io/part-of"] for one in metadata} == {"distml"}
    assert len({one["name"] for one in metadata}) == len(POLICIES)
    assert "# - components/network-policies" in (ROOT / "manifests/kustomization.yaml").read_text()


def test_every_policy_begins_with_a_comment() -> None:
    text = (ROOT / FOLDER / "policies.yaml").read_text()
    assert all(part.startswith("# ") for part in text.split("---\n"))


def test_one_policy_for_the_jobs_of_workflows_needs_one_job_at_a_time() -> None:
    limit = load("manifests/pipeline/training-limit.yaml")["data"]["training-jobs"]
    assert limit == "1"
    text = (ROOT / FOLDER / "policies.yaml").read_text()
    (part,) = (part for part in text.split("---\n") if yaml.safe_load(part)["metadata"]["name"] == "workflow-workers")
    assert re.search(rf'limit `training-jobs: "{limit}"` in manifests/pipeline/training-limit\.yaml', part)


def test_monitoring_scrapes_only_open_ports_of_pods_that_exist() -> None:
    pods = {template.name: peer(template) for template in TEMPLATES}
    monitors = [load(f"manifests/monitoring/{name}-pod-monitor.yaml") for name in ("predictor", "workflow-controller")]
    (prometheus,) = (one for one in OUTSIDE if one.name == "Prometheus")
    for monitor in monitors:
        selected = [pod for pod in pods.values() if matches(monitor["spec"]["selector"], pod.labels)]
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        assert [pod.name for pod in selected] in (["predictor"], ["workflow-controller"])
        assert is_open(POLICIES, prometheus, selected[0], ("TCP", selected[0].ports[endpoint["port"]]))
    assert pods.keys() > CONTROLLERS.keys()
