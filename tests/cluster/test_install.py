"""The installation of manifests/: accounts and their rights, a namespace for restricted pods only, controllers."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from cluster.kube import NAMESPACE, ROOT, get, kubectl, run, wait_until
from support.check_cluster import CLUSTER_WIDE, LABEL, PATH
from support.pod_templates import CONTROLLERS, tfjob_workers

pytestmark = pytest.mark.cluster
OTHER = "somebody-elses-controller"


def test_the_namespace_refuses_a_pod_that_is_not_restricted(installed: None) -> None:
    assert get("namespace", NAMESPACE)["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    refused = run("run", "root", "--image=busybox", "--dry-run=server")
    assert refused.returncode != 0
    assert 'violates PodSecurity "restricted:latest"' in refused.stderr


def test_the_namespace_admits_the_pods_of_both_controllers(installed: None) -> None:
    names = kubectl("get", "deployments", "--output=jsonpath={.items[*].metadata.name}").split()
    assert {"training-operator", "workflow-controller"} <= set(names)
    for name in ("training-operator", "workflow-controller"):
        conditions = {entry["type"]: entry for entry in get("deployment", name)["status"]["conditions"]}
        assert "ReplicaFailure" not in conditions, conditions["ReplicaFailure"]["message"]


def test_argos_controller_runs_if_its_image_can_be_pulled(installed: None) -> None:
    def outcome() -> set[str]:
        if get("deployment", "workflow-controller")["status"].get("availableReplicas"):
            return {"available"}
        state = "{.items[*].status.containerStatuses[*].state.waiting.reason}"
        reasons = kubectl("get", "pods", "--selector=app=workflow-controller", f"--output=jsonpath={state}").split()
        return {"ErrImagePull", "ImagePullBackOff"} & set(reasons)

    found = wait_until("Argo's controller is available", 180, outcome)
    if found != {"available"}:
        pytest.skip(f"the cluster cannot pull the image of Argo's controller: {found}")


def test_the_check_before_make_install_knows_all_that_is_cluster_wide(installed: None) -> None:
    rendered = [each for each in yaml.safe_load_all(kubectl("kustomize", "manifests", timeout=600))]
    wide = {f"{each['kind'].lower()}/{each['metadata']['name']}" for each in rendered if is_cluster_wide(each)}
    assert wide == {*CLUSTER_WIDE, f"namespace/{NAMESPACE}"}
    assert {each["metadata"]["labels"][LABEL[0]] for each in rendered} == {LABEL[1]}


def is_cluster_wide(document: dict) -> bool:
    return "namespace" not in document["metadata"]


def test_make_install_accepts_its_own_installation(installed: None) -> None:
    for when in ("before", "after"):
        ended = subprocess.run([sys.executable, str(PATH), when], capture_output=True, text=True, check=False)
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_another_workflow_controller_stops_make_install(installed: None) -> None:
    kubectl("create", "deployment", OTHER, "--image=workflow-controller", "--replicas=0", "--namespace=default")
    try:
        ended = subprocess.run([sys.executable, str(PATH), "before"], capture_output=True, text=True, check=False)
    finally:
        kubectl("delete", "deployment", OTHER, "--namespace=default")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"this cluster has controllers (deployment/default/{OTHER}) of other owners; ")


def test_the_operator_serves_only_tfjobs(installed: None) -> None:
    kinds = kubectl("api-resources", "--api-group=kubeflow.org", "--output=name").split()
    assert "tfjobs.kubeflow.org" in kinds
    rendered = list(yaml.safe_load_all(kubectl("kustomize", "manifests/kubeflow-training")))
    names = [document["metadata"]["name"] for document in rendered if document["kind"] == "CustomResourceDefinition"]
    assert names == ["tfjobs.kubeflow.org"]
    (webhooks,) = (document["webhooks"] for document in rendered if document["kind"].endswith("WebhookConfiguration"))
    (rule,) = (rule for webhook in webhooks for rule in webhook["rules"])
    assert (len(webhooks), rule["apiGroups"], rule["resources"]) == (1, ["kubeflow.org"], ["tfjobs"])


def test_the_policies_select_the_controllers_that_are_installed(installed: None) -> None:
    for name, (labels, ports) in CONTROLLERS.items():
        pod = get("deployment", name)["spec"]["template"]
        assert pod["metadata"]["labels"] == labels
        (container,) = pod["spec"]["containers"]
        assert {port["name"]: port["containerPort"] for port in container["ports"] if "name" in port} == ports


def test_the_policies_know_the_labels_that_the_operator_adds(trained: str) -> None:
    labels = get("pod", f"{trained}-worker-0")["metadata"]["labels"]
    (known,) = (one.labels for one in tfjob_workers() if one.name == "worker of the TFJob")
    assert labels == known | {"training.kubeflow.org/job-name": trained}


def test_the_network_policies_are_valid_and_change_nothing_else(installed: None, tmp_path: Path) -> None:
    before = list(yaml.safe_load_all(kubectl("kustomize", "manifests", timeout=600)))
    copy = tmp_path / "manifests"
    shutil.copytree(ROOT / "manifests", copy)
    file = copy / "kustomization.yaml"
    file.write_text(file.read_text().replace("# components:\n# - ", "components:\n  - "))
    after = list(yaml.safe_load_all(kubectl("kustomize", str(copy), timeout=600)))
    added = [each for each in after if each["kind"] == "NetworkPolicy"]
    assert [each for each in after if each["kind"] != "NetworkPolicy"] == before
    policies = yaml.safe_load_all((ROOT / "manifests/components/network-policies/policies.yaml").read_text())
    assert added == sorted(policies, key=lambda each: each["metadata"]["name"])
    kubectl("create", "--dry-run=server", "--filename=-", stdin=yaml.safe_dump_all(added))
