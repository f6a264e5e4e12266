"""A signed version from the selection step to the predictor, and three versions that nobody accepts."""

import json
import os
import shlex
import subprocess
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster import kserve_stand_in, templates
from cluster.kube import ROOT, create, execute, forwarded, kubectl, run, wait_until
from distml.publishing.versions import signature
from distml.publishing.versions.history import FOLDER

pytestmark = pytest.mark.cluster
VERSIONS = "/trained_model/saved_model_versions"
SERVICE = "signed"
REQUIRED = {"workflow__parameters__signatures": "required"}
# The versions that are refused: what is wrong with each, and the sentence that says so.
REFUSED = {
    2: ("changed", "was changed after it was signed"),
    3: ("unsigned", "is not signed"),
    4: ("of another key", "was not signed with the private key of"),
}
# Makes a version from version 1 that its manifest finds intact; the arguments are its number and what is wrong with it.
PLACE = """
import sys
from pathlib import Path
sys.path.insert(0, "/opt/pipeline/src")
from distml.model import manifest
from distml.publishing.versions import signature, version_files
from distml.step.atomic_files import copy_folder, folder_beside, rename_folder

number, kind = sys.argv[1:]
target = Path("/trained_model/saved_model_versions") / number
with folder_beside(target) as work:
    copy_folder(target.with_name("1"), work)
    (work / manifest.SIGNATURE).unlink()
    manifest.write(work, {**manifest.read(work), "version": int(number)})
    if kind != "unsigned":
        signature.sign(work, Path("/tmp/other.pem" if kind == "of another key" else "/tmp/private.pem"))
    if kind == "changed":
        model = work / version_files.LITE_MODEL
        content = bytearray(model.read_bytes())
        content[len(content) // 2] ^= 255
        model.write_bytes(content)
        manifest.write(work, manifest.read(work))
    rename_folder(work, target)
"""


@pytest.fixture(scope="module")
def own_versions(trained: str) -> Iterator[None]:
    """Put the published versions of other tests aside, and back at the end."""
    kept = "/trained_model/.kept-by-test"
    names = "saved_model_versions report history.txt"
    script = f"cd /trained_model; mkdir {kept}; for name in {names}; do test ! -e $name || mv $name {kept}; done"
    execute("access-model", "sh", "-e", "-c", f"{script}; mkdir {VERSIONS}")
    yield
    execute("access-model", "sh", "-e", "-c", f"cd /trained_model; rm -rf {names}; mv {kept}/* .; rmdir {kept}")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Make two pairs of keys, and give the first to the cluster; yield the folder of the first."""
    folders = [tmp_path_factory.mktemp(name) for name in ("own", "other")]
    for folder in folders:
        for command in signature.COMMANDS.values():
            subprocess.run(shlex.split(command), cwd=folder, check=True, capture_output=True)
    own, other = folders
    kubectl("create", "secret", "generic", "model-signing-key", f"--from-file={own / 'private.pem'}")
    kubectl("create", "configmap", "model-public-key", f"--from-file={own / 'public.pem'}")
    copies = {own / "private.pem": "private.pem", own / "public.pem": "public.pem", other / "private.pem": "other.pem"}
    for path, name in copies.items():
        kubectl("cp", str(path), f"predict-service:/tmp/{name}")
    yield own
    execute("predict-service", "rm", *(f"/tmp/{name}" for name in copies.values()))
    kubectl("delete", "secret/model-signing-key", "configmap/model-public-key")


@pytest.fixture(scope="module")
def published(own_versions: None, keys: Path, trained: str) -> templates.Ended:
    """Publish the candidate of the TFJob `trained` as version 1, signed, by the selection step."""
    bounds = {"workflow__parameters__accuracy-floor": "0.6", "workflow__parameters__tolerance": "1"}
    selected = templates.run("signing", "select", workflow__name=trained, **bounds, **REQUIRED)
    assert selected.status == 0, selected.output
    return selected


@pytest.fixture(scope="module")
def predictor(published: templates.Ended, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Create the Deployment and the Service of a predictor with the public key; yield the name of both."""
    service = yaml.safe_load((ROOT / "inference-service.yaml").read_text())
    service["metadata"]["name"] = SERVICE
    service["spec"]["predictor"]["model"]["args"] = kserve_stand_in.SHORT_TRIAL
    objects = kserve_stand_in.predictor_objects(service, runtime(tmp_path_factory.mktemp("runtime")))
    for document in objects:
        create(document)
    name = objects[0]["metadata"]["name"]
    kubectl("rollout", "status", f"deployment/{name}", "--timeout=2m")
    yield name
    kubectl("delete", f"deployment/{name}", f"service/{name}", "--cascade=foreground")


def runtime(folder: Path) -> dict[str, Any]:
    """Render manifests/serving with the component model-signing."""
    serving, component = (
        os.path.relpath(ROOT / "manifests" / name, folder) for name in ("serving", "components/model-signing")
    )
    (folder / "kustomization.yaml").write_text(json.dumps({"resources": [serving], "components": [component]}))
    rendered: dict[str, Any] = yaml.safe_load(kubectl("kustomize", str(folder)))
    return rendered


@pytest.fixture(scope="module")
def released(predictor: str) -> templates.Ended:
    """Release version 1 by the last step of a workflow."""
    return release(1)


def release(version: int) -> templates.Ended:
    values = {"workflow__parameters__service": SERVICE, "inputs__parameters__version": str(version)}
    return templates.run(f"release-{version}", "release", **values, **REQUIRED)


@pytest.fixture(scope="module")
def refusals(released: templates.Ended) -> dict[int, str]:
    """Place the three versions, one after the other; return what a prediction with the newest says about each."""
    predict = ("python3", "/predict-service.py", "--public-key=/tmp/public.pem", "--output=/tmp/predictions.png")
    said = {}
    for number, (kind, _) in REFUSED.items():
        execute("predict-service", "python3", "-c", PLACE, str(number), kind)
        ended = run("exec", "predict-service", "--", *predict)
        said[number] = f"{ended.returncode}: {ended.stderr}"
    return said


def history() -> list[str]:
    """Return the names of the records about the versions."""
    return execute("access-model", "ls", f"{VERSIONS}/{FOLDER}").split()


def asked(port: int, path: str, body: bytes | None = None) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models/{SERVICE}{path}", body, timeout=30) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def test_a_missing_key_stops_the_selection_without_a_retry(trained: str) -> None:
    assert run("get", "secret", "model-signing-key").returncode, "another test's Secret"
    stopped = templates.run("no-key", "select", workflow__name=trained, **REQUIRED)
    assert stopped.status == 2  # which the step's retry strategy excludes
    assert "cannot read the private key /signing-key/private.pem: No such file or directory" in stopped.message


def test_a_signed_version_is_released(published: templates.Ended, released: templates.Ended) -> None:
    assert "model.sig" in execute("access-model", "ls", f"{VERSIONS}/1").split()
    assert released.status == 0, released.output
    assert released.output.endswith(f"version 1 is released: every replica of {SERVICE} has taken it over\n")
    records = [json.loads(execute("access-model", "cat", f"{VERSIONS}/{FOLDER}/{name}")) for name in history()]
    assert [(record["event"], record["version"]) for record in records] == [("published", 1), ("released", 1)]


def test_kubectl_exec_predicts_with_no_version_that_is_refused(refusals: dict[int, str]) -> None:
    for number, (_, sentence) in REFUSED.items():
        assert refusals[number].startswith("2: "), refusals[number]
        assert f"predict-service.py: {VERSIONS}/{number} {sentence}" in refusals[number]


def test_the_predictor_refuses_each_and_answers_with_the_signed_one(refusals: dict[int, str], predictor: str) -> None:
    with forwarded(f"service/{predictor}", 80) as port:

        def reasons() -> dict[int, str]:
            entries = asked(port, "")["releases"]
            return {int(entry["version"]): entry["reason"] for entry in entries if entry["stage"] == "rejected"}

        wait_until("the predictor has refused three versions", 30, lambda: reasons().keys() == REFUSED.keys())
        for number, (_, sentence) in REFUSED.items():
            assert f"/mnt/models/{number} {sentence}" in reasons()[number]
        answer = asked(port, ":predict", (ROOT / "inference-input.json").read_bytes())
        assert answer["model_version"] == "1"


def test_the_release_step_refuses_each_and_records_nothing(refusals: dict[int, str]) -> None:
    before = history()
    with ThreadPoolExecutor() as pool:
        ended = dict(zip(REFUSED, pool.map(release, REFUSED), strict=True))
    for number, (_, sentence) in REFUSED.items():
        assert ended[number].status == 2
        assert ended[number].message.startswith(f"{VERSIONS}/{number} {sentence}"), ended[number].message
    assert history() == before == ["000001.json", "000002.json"]
