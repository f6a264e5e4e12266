"""Fixtures: a cluster with the project installed, the tests' own claim, a first trained model, and KServe."""

import warnings
from collections.abc import Iterator

import pytest
from kubernetes import client, config
from urllib3.exceptions import HTTPError

from cluster import indexed_jobs, schemas, tfjobs
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
# One field per kind; the tests misspell it with an s at the end.
MISSPELT = {
    "multi-worker-tfjob.yaml": "successPolicy",
    "multi-worker-job.yaml": "podReplacementPolicy",
    "predict-service.yaml": "automountServiceAccountToken",
    "workflow.yaml": "successCondition",
    "retrain.yaml": "concurrencyPolicy",
    "inference-service.yaml": "storageUri",
}
FILES = sorted(path.name for path in ROOT.glob("[!.]*.yaml") if path.name != "kustomization.yaml")


@pytest.fixture(scope="session")
def cluster() -> client.ApiClient:
    """Return a client of the cluster that KUBECONFIG names, or skip the test."""
    try:
        config.load_kube_config()
        api = client.ApiClient()
        client.VersionApi(api).get_code(_request_timeout=10)
    except (config.ConfigException, client.ApiException, HTTPError) as error:
        pytest.skip(f"cannot reach the cluster that KUBECONFIG names: {error}")
    return api


@pytest.fixture(scope="session")
def namespace(cluster: client.ApiClient) -> None:
    if run("get", "namespace", "kubeflow").returncode:
        kubectl("create", "namespace", "kubeflow")


@pytest.fixture(scope="session")
def dry_runs(namespace: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str] | schemas.Missing]:
    """Dry-run each YAML file, and some with a misspelt field, against the full schemas; yield the server's errors.

    This runs before manifests/ is installed, because manifests/ brings Argo's minimal schemas; at the end the full ones
    are applied again. If a schema is missing, yield that error instead, so that the other tests go on.
    """
    try:
        added = schemas.install_full()
    except schemas.Missing as missing:
        yield missing
        return
    full = schemas.full_definitions()
    errors = {name: schemas.dry_run((ROOT / name).read_text()) for name in FILES}
    errors |= {name: schemas.dry_run(kubectl("kustomize", name, timeout=600)) for name in FOLDERS}
    errors[COMPONENTS] = schemas.dry_run(schemas.with_components(tmp_path_factory.mktemp("components")))
    for name, field in MISSPELT.items():
        errors[f"{name}, misspelt"] = schemas.dry_run((ROOT / name).read_text().replace(f"{field}:", f"{field}s:"))
    yield errors
    kubectl("apply", "--server-side", "--force-conflicts", "--filename=-", stdin=full)
    if added:
        kubectl("delete", "--filename=-", stdin=added)


@pytest.fixture
def server_errors(dry_runs: dict[str, str] | schemas.Missing) -> dict[str, str]:
    if isinstance(dry_runs, schemas.Missing):
        pytest.fail(str(dry_runs), pytrace=False)
    return dry_runs


@pytest.fixture(scope="session")
def installed(dry_runs: dict[str, str] | schemas.Missing) -> None:
    """Install manifests/ as in README, and wait until the training operator runs."""
    kubectl("apply", "--filename=-", stdin=kubectl("kustomize", "manifests", timeout=600))
    kubectl("rollout", "status", "deployment/training-operator", "--timeout=5m", timeout=330)


@pytest.fixture(scope="session")
def pods(installed: None) -> Iterator[None]:
    """Create a new claim, and the pods of access-model.yaml and predict-service.yaml that mount it."""
    if run("get", "persistentvolumeclaim", "strategy-volume").returncode == 0:
        owned = kubectl("get", "persistentvolumeclaim", f"--selector={LABEL}", "--output=name")
        assert owned, "the claim strategy-volume was not made by these tests: delete it, or use another cluster"
        clean_up()
    kubectl("create", "--filename=multi-worker-pvc.yaml")
    kubectl("label", "persistentvolumeclaim", "strategy-volume", LABEL)
    kubectl("create", "--filename=access-model.yaml", "--filename=predict-service.yaml")
    kubectl("wait", "--for=condition=Ready", "pod/access-model", "pod/predict-service", "--timeout=3m", timeout=200)
    yield
    clean_up()


def clean_up() -> None:
    """Delete the claim after the pods and jobs that use it; keep all other jobs."""
    for kind in (tfjobs, indexed_jobs):
        for job in kind.on_the_claim():
            kind.delete(job)
    kubectl("delete", "pod", "access-model", "predict-service", "tensorboard", "--ignore-not-found")
    kubectl("delete", "persistentvolumeclaim", "strategy-volume", "--ignore-not-found")


@pytest.fixture(scope="session")
def trained(pods: None) -> str:
    """Ingest the data and train three epochs in a TFJob of two workers; return the name of the job and its run."""
    name = "trained"
    tfjobs.submit(name, *tfjobs.THREE_EPOCHS)
    tfjobs.wait_for(name, "Succeeded", seconds=300)
    return name


@pytest.fixture(scope="module")
def kserve(cluster: client.ApiClient, pods: None) -> Iterator[None]:
    """Provide KServe's controller or its stand-in."""
    if runs("kserve", "kserve-controller-manager"):
        yield
        return
    if run("get", "customresourcedefinition", "inferenceservices.serving.kserve.io").returncode:
        pytest.skip("the cluster has neither KServe nor its API schemas")
    stand_in = StandIn(cluster, NAMESPACE)
    stand_in.start()
    yield
    stand_in.end()
    errors = f"; its errors: {'; '.join(sorted(stand_in.errors))}" if stand_in.errors else ""
    warnings.warn(
        "KServe's controller cannot run in this cluster: tests/cluster/kserve_stand_in.py made the predictor's"
        f" Deployment and Service in its place{errors}",
        stacklevel=1,
    )
