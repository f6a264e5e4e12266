"""The service accounts: their rights, the pods that use them, and the pods without any. No cluster is needed."""

from typing import Any

import pytest

from cluster import templates
from support import accounts
from support.project import ROOT
from support.yaml_files import documents, files, load

USED_BY = {
    "pipeline-step": {"ingest", "remove-runs", "select"},
    "pipeline-train": {"tfjob"},
    "pipeline-end": {"end-former-training", "end-training", "failed-training"},
    "pipeline-serve": {"create-service", "look-for-service", "update-service"},
    "pipeline-replicas": {"check", "release"},
}
# The steps whose own container calls no API server. Argo's container in the pod needs the token.
MASKED = {"ingest", "remove-runs", "select"}
# The fields of a pod that give it a Secret.
SECRETS = {"secret", "secretName", "secretRef", "secretKeyRef", "projected", "imagePullSecrets"}
TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount"
VALUES = {"workflow.name": "distml-abcde", "inputs.parameters.model": "plain", "inputs.parameters.seed": "1"}
ALL = [document for path in files() for document in documents(str(path.relative_to(ROOT)))]


def of_kind(*kinds: str) -> list[dict]:
    return [document for document in ALL if document["kind"] in kinds]


def owners_of_pods(node: Any) -> list[dict]:
    """Return every mapping that has the containers of a pod, or the model of a predictor, at any depth."""
    if isinstance(node, list):
        return [owner for each in node for owner in owners_of_pods(each)]
    if not isinstance(node, dict):
        return []
    inner = [owner for each in node.values() for owner in owners_of_pods(each)]
    return (
        [node, *inner] if isinstance(node.get("containers"), list) or "modelFormat" in node.get("model", {}) else inner
    )


def test_each_account_has_exactly_the_rights_of_the_table() -> None:
    roles = {role["metadata"]["name"]: accounts.rights(role["rules"]) for role in of_kind("Role")}
    given: dict[str, set[accounts.Right]] = {}
    for binding in of_kind("RoleBinding"):
        assert binding["roleRef"]["kind"] == "Role"
        for subject in binding["subjects"]:
            given.setdefault(subject["name"], set()).update(roles[binding["roleRef"]["name"]])
    assert given == accounts.STEPS | accounts.ADDED
    assert of_kind("ClusterRole", "ClusterRoleBinding") == []


def test_every_binding_names_accounts_of_this_namespace_only() -> None:
    subjects = [subject for binding in of_kind("RoleBinding") for subject in binding["subjects"]]
    assert {tuple(sorted(subject)) for subject in subjects} == {("kind", "name")}
    assert {subject["kind"] for subject in subjects} == {"ServiceAccount"}
    assert {subject["name"] for subject in subjects} == {*accounts.STEPS, "argo"}


def test_each_account_exists_and_is_used_by_its_steps_alone() -> None:
    assert (
        [account["metadata"]["name"] for account in of_kind("ServiceAccount")] == list(USED_BY) == list(accounts.STEPS)
    )
    for name in ("workflow.yaml", "workflow-template.yaml"):
        spec = load(name)["spec"]
        used: dict[str, set[str]] = {}
        for template in spec["templates"]:
            if "steps" in template:
                assert "serviceAccountName" not in template
            else:
                account = template.get("serviceAccountName", spec["serviceAccountName"])
                used.setdefault(account, set()).add(template["name"])
        assert used == USED_BY


def test_a_step_without_calls_to_the_api_server_sees_no_token() -> None:
    containers = {
        name: template["container"] for name, template in templates.TEMPLATES.items() if "container" in template
    }
    masked = {
        name
        for name, container in containers.items()
        if {"name": "no-token", "mountPath": TOKEN} in container["volumeMounts"]
    }
    assert masked == MASKED
    (volume,) = (volume for volume in templates.SPEC["volumes"] if volume["name"] == "no-token")
    assert volume["emptyDir"] == {"sizeLimit": "1Mi"}


def test_no_other_pod_gets_a_token_or_an_account() -> None:
    made = [templates.manifest(name, VALUES) for name in ("tfjob", "create-service", "update-service")]
    workflows = [*of_kind("Workflow", "WorkflowTemplate")]
    others = [document for document in [*ALL, *made] if document not in workflows]
    found = [(document["kind"], owner) for document in others for owner in owners_of_pods(document)]
    count: dict[str, int] = {}
    for kind, owner in found:
        count[kind] = count.get(kind, 0) + 1
        if kind != "Deployment":  # patches of the two controllers, which have accounts of their own
            assert "serviceAccountName" not in owner
        if kind in ("Deployment", "ServingRuntime"):
            continue  # the pod of a runtime gets this field from its InferenceService
        if kind == "InferenceService" and owner is made[2]["spec"]["predictor"]:
            assert owner.keys() == {"model"}  # the patch changes only the model
            continue
        assert owner["automountServiceAccountToken"] is False
    assert count == {"Pod": 3, "TFJob": 2, "Job": 1, "InferenceService": 5, "ServingRuntime": 1, "Deployment": 2}


@pytest.mark.parametrize("name", ["workflow.yaml", "workflow-template.yaml"])
def test_only_the_selection_step_has_the_signing_key(name: str) -> None:
    spec = load(name)["spec"]
    (select,) = (template for template in spec["templates"] if template["name"] == "select")
    secret = {"secretName": "model-signing-key", "optional": True}
    assert select.pop("volumes") == [{"name": "signing-key", "secret": secret}]
    assert not [template["name"] for template in spec["templates"] if reads_secrets(template)]
    assert not reads_secrets({**spec, "templates": []})


def test_no_pod_but_the_selection_steps_reads_a_secret() -> None:
    made = [templates.manifest(name, VALUES) for name in ("tfjob", "create-service", "update-service")]
    assert {document["kind"] for document in [*ALL, *made] if reads_secrets(document)} == {
        "Workflow",
        "WorkflowTemplate",
    }


def reads_secrets(node: Any) -> bool:
    """Return whether something in a pod template mounts a Secret, or copies one into a variable."""
    if isinstance(node, list):
        return any(map(reads_secrets, node))
    if not isinstance(node, dict):
        return False
    return bool(SECRETS & node.keys()) or any(map(reads_secrets, node.values()))
