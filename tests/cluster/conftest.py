"""The cluster with the project installed, a claim that these tests made, a first model trained on it, and KServe."""

import warnings
from collections.abc import Iterator

import pytest
from kubernetes import client, config
from urllib3.exceptions import HTTPError

from cluster import schemas, tfjobs
from cluster.kserve_stand_in import StandIn
from cluster.kube import NAMESPACE, ROOT, kubectl, run, runs

# Only a claim with this label is deleted.
LABEL = "made-by=cluster-tests"
FOLDERS = (
    "manifests",
    "manifests/argo-workflows",
    "manifests/kubeflow-training",
    "manifests/pipeline",
    "manifests/serving",
)
COMPONENTS = "kustomization.yaml with all components"
# A field of each kind whose name gets a letter more.
MISSPELT = {
    "multi-worker-tfjob.yaml": "successPolicy",
    "predict-service.yaml": "automountServiceAccountToken",
    "workflow.yaml": "successCondition",
    "inference-service.yaml": "storageUri",
}
FILES = sorted(path.name for path in ROOT.glob("[!.]*.yaml") if path.name != "kustomization.yaml")


@pytest.fixture(scope="session")
def cluster() -> client.ApiClient:
    """A client of the cluster that KUBECONFIG names."""
    try:
        config.load_kube_config()
        api = client.ApiClient()
        client.VersionApi(api).get_code(_request_timeout=10)
    except (config.ConfigException, client.ApiException, HTTPError) as error:
        pytest.skip(f"no cluster: {error}")
    return api


@pytest.fixture(scope="session")
def namespace(cluster: client.ApiClient) -> None:
    if run("get", "namespace", "kubeflow").returncode:
        kubectl("create", "namespace", "kubeflow")


@pytest.fixture(scope="session")
def answers(namespace: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str] | schemas.Missing]:
    """What the API server, knowing the full schemas, says against each YAML file, and against a misspelt field.

    Asked before manifests/ is installed, which brings Argo's minimal schemas; the full ones return at the end. Where
    they are missing no more than that is known, and the other tests go on.
    """
    try:
        made = schemas.restore()
    except schemas.Missing as missing:
        yield missing
        return
    full = schemas.full_definition()
    answers = {name: schemas.dry_run((ROOT / name).read_text()) for name in FILES}
    answers |= {name: schemas.dry_run(kubectl("kustomize", name, timeout=600)) for name in FOLDERS}
    answers[COMPONENTS] = schemas.dry_run(schemas.with_components(tmp_path_factory.mktemp("components")))
    for name, field in MISSPELT.items():
        answers[f"{name}, misspelt"] = schemas.dry_run((ROOT / name).read_text().replace(f"{field}:", f"{field}s:"))
    yield answers
    kubectl("apply", "--server-side", "--force-conflicts", "--filename=-", stdin=full)
    if made:
        kubectl("delete", "--filename=-", stdin=made)


@pytest.fixture
def objections(answers: dict[str, str] | schemas.Missing) -> dict[str, str]:
    if isinstance(answers, schemas.Missing):
        pytest.fail(str(answers), pytrace=False)
    return answers


@pytest.fixture(scope="session")
def installed(answers: dict[str, str] | schemas.Missing) -> None:
    """manifests/ installed as README says, and the training operator running."""
    kubectl("apply", "--filename=-", stdin=kubectl("kustomize", "manifests", timeout=600))
    kubectl("rollout", "status", "deployment/training-operator", "--timeout=5m", timeout=330)


@pytest.fixture(scope="session")
def pods(installed: None) -> Iterator[None]:
    """A new claim, and the pods of access-model.yaml and predict-service.yaml on it."""
    if run("get", "persistentvolumeclaim", "strategy-volume").returncode == 0:
        mine = kubectl("get", "persistentvolumeclaim", f"--selector={LABEL}", "--output=name")
        assert mine, "the claim strategy-volume was not made by these tests: delete it, or use another cluster"
        clean_up()
    kubectl("create", "--filename=multi-worker-pvc.yaml")
    kubectl("label", "persistentvolumeclaim", "strategy-volume", LABEL)
    kubectl("create", "--filename=access-model.yaml", "--filename=predict-service.yaml")
    kubectl("wait", "--for=condition=Ready", "pod/access-model", "pod/predict-service", "--timeout=3m", timeout=200)
    yield
    clean_up()


def clean_up() -> None:
    """Delete the claim, after what uses it, and leave other TFJobs alone."""
    for job in tfjobs.on_the_claim():
        tfjobs.delete(job)
    kubectl("delete", "pod", "access-model", "predict-service", "--ignore-not-found")
    kubectl("delete", "persistentvolumeclaim", "strategy-volume", "--ignore-not-found")


@pytest.fixture(scope="session")
def trained(pods: None) -> str:
    """A TFJob of two workers that ingested the data, trained one epoch and succeeded; its name, which is its run's."""
    name = "trained"
    tfjobs.submit(name, "--epochs=1", "--train-images=25600")
    tfjobs.wait_for(name, "Succeeded", seconds=300)
    return name


@pytest.fixture(scope="module")
def kserve(cluster: client.ApiClient, pods: None) -> Iterator[None]:
    """Provide KServe's controller, running, or what stands in for it."""
    if runs("kserve", "kserve-controller-manager"):
        yield
        return
    if run("get", "customresourcedefinition", "inferenceservices.serving.kserve.io").returncode:
        pytest.skip("the cluster has neither KServe nor its API schemas")
    stand_in = StandIn(cluster, NAMESPACE)
    stand_in.start()
    yield
    stand_in.end()
    met = f"; it met {'; '.join(sorted(stand_in.troubles))}" if stand_in.troubles else ""
    warnings.warn(
        "KServe's controller cannot run in this cluster: tests/cluster/kserve_stand_in.py made the predictor's"
        f" Deployment and Service in its place{met}",
        stacklevel=1,
    )
