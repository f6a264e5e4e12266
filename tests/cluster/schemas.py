"""The full API schemas, with which a strict dry run finds every misspelt field."""

import json
import re
import shutil
import subprocess
from functools import partial
from pathlib import Path

from cluster.kube import ROOT, kubectl, run, wait_until


class Missing(Exception):
    """A full schema that could not be downloaded."""


KSERVE = "https://github.com/kserve/kserve//config/crd?ref=v0.21.0"
ARGO = "https://github.com/argoproj/argo-workflows//manifests/base/crds/full?ref=v4.1.2"
# manifests/ installs minimal schemas of these kinds.
REPLACED = ("workflows.argoproj.io", "workflowtemplates.argoproj.io", "cronworkflows.argoproj.io")
# The kinds that the project's files use, and the release of each full schema.
SCHEMAS = {
    **dict.fromkeys(REPLACED, ARGO),
    "tfjobs.kubeflow.org": "https://github.com/kubeflow/training-operator//manifests/base/crds?ref=v1.9.4",
    "inferenceservices.serving.kserve.io": KSERVE,
    "servingruntimes.serving.kserve.io": KSERVE,
}
TRAINING = ("multi-worker-tfjob.yaml", "multi-worker-job.yaml")


def is_full(name: str) -> bool:
    """Return whether the cluster's schema of `name` lists the fields of `spec`; Argo's minimal schemas accept any."""
    done = run("get", "customresourcedefinition", name, "--output=json")
    if done.returncode:
        return False
    (version,) = (version for version in json.loads(done.stdout)["spec"]["versions"] if version["storage"])
    return bool(version["schema"]["openAPIV3Schema"]["properties"]["spec"].get("properties"))


def install_full() -> str:
    """Install the full schemas that the cluster lacks, server-side, since a client-side apply rejects their size.

    Returns KServe's definitions if the cluster had none, for the caller to delete at the end; empty otherwise.

    Raises:
        Missing: a schema could not be downloaded.
    """
    added = ""
    for name, base in SCHEMAS.items():
        if not is_full(name):
            definitions = subprocess.run(
                ["kubectl", "kustomize", base], capture_output=True, text=True, timeout=300, check=False, cwd=ROOT
            )
            if definitions.returncode:
                why = " ".join(definitions.stderr.split())
                raise Missing(
                    f"the cluster has no full schema of {name}, and `kubectl kustomize {base}` failed: "
                    f"{why}; let this machine reach github.com, or install that schema by hand"
                )
            if base == KSERVE and run("get", "customresourcedefinition", name).returncode:
                added = definitions.stdout
            kubectl("apply", "--server-side", "--force-conflicts", "--filename=-", stdin=definitions.stdout)
            wait_until(f"{name} is established", 60, partial(is_established, name))
    return added


def is_established(name: str) -> bool:
    """Return whether a definition is established; one without conditions yet makes `kubectl wait` fail at once."""
    established = run("wait", "--for=condition=Established", f"customresourcedefinition/{name}", "--timeout=30s")
    return established.returncode == 0


def full_definitions() -> str:
    """Return Argo's full schemas from the cluster, for applying them again later."""
    found = json.loads(kubectl("get", "customresourcedefinition", *REPLACED, "--output=json"))["items"]
    kept = [
        {
            "apiVersion": definition["apiVersion"],
            "kind": definition["kind"],
            "metadata": {"name": definition["metadata"]["name"]},
            "spec": definition["spec"],
        }
        for definition in found
    ]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": kept})


def dry_run(text: str) -> str:
    """Return the API server's errors for a YAML text, one line per field; empty if the server accepts it.

    "already exists" is not an error here: the server checks that last, after all fields.
    """
    done = run("create", "--dry-run=server", "--validate=strict", "--filename=-", stdin=text)
    lines = done.stderr.splitlines() if done.returncode else []
    return "\n".join(line for line in lines if not line.endswith("already exists") and not line.startswith("Warning: "))


def with_components(folder: Path) -> str:
    """Render a copy of the root's kustomization.yaml with both training jobs and all components uncommented."""
    for name in ("multi-worker-pvc.yaml", *TRAINING):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "manifests" / "components", folder / "manifests" / "components")
    text = (
        (ROOT / "kustomization.yaml")
        .read_text()
        .replace(f"  - {TRAINING[0]}\n", "".join(f"  - {job}\n" for job in TRAINING))
    )
    (folder / "kustomization.yaml").write_text(re.sub(r"^# (components:|- )", r"\1", text, flags=re.MULTILINE))
    return kubectl("kustomize", str(folder))
