"""The full API schemas, against which a strict dry run finds each misspelt field."""

import json
import re
import shutil
import subprocess
from functools import partial
from pathlib import Path

from cluster.kube import ROOT, kubectl, run, wait_until


class Missing(Exception):
    """A full schema that could not be had."""


KSERVE = "https://github.com/kserve/kserve//config/crd?ref=v0.21.0"
# What the project's files use, and where its full schema is released.
SCHEMAS = {
    "workflows.argoproj.io": "https://github.com/argoproj/argo-workflows//manifests/base/crds/full?ref=v4.1.2",
    "tfjobs.kubeflow.org": "https://github.com/kubeflow/training-operator//manifests/base/crds?ref=v1.9.4",
    "inferenceservices.serving.kserve.io": KSERVE,
    "servingruntimes.serving.kserve.io": KSERVE,
}
# manifests/ brings a minimal one.
REPLACED = "workflows.argoproj.io"


def is_full(name: str) -> bool:
    """Whether the cluster's schema of `name` knows the fields of `spec`; Argo's minimal ones accept any."""
    done = run("get", "customresourcedefinition", name, "--output=json")
    if done.returncode:
        return False
    (version,) = (version for version in json.loads(done.stdout)["spec"]["versions"] if version["storage"])
    return bool(version["schema"]["openAPIV3Schema"]["properties"]["spec"].get("properties"))


def restore() -> str:
    """Install the full schemas where the cluster has none or minimal ones. Server-side: they are too long otherwise.

    Returns the definitions that nothing else will bring, as this cluster has no KServe; empty where it has.

    Raises:
        Missing: one of them could not be downloaded.
    """
    made = ""
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
                made = definitions.stdout
            kubectl("apply", "--server-side", "--force-conflicts", "--filename=-", stdin=definitions.stdout)
            wait_until(f"{name} is established", 60, partial(is_established, name))
    return made


def is_established(name: str) -> bool:
    """Ask again and again: a definition that has no conditions yet ends kubectl's own wait with an error."""
    established = run("wait", "--for=condition=Established", f"customresourcedefinition/{name}", "--timeout=30s")
    return established.returncode == 0


def full_definition() -> str:
    """Argo's full schema as it is in the cluster now, to be applied again."""
    definition = json.loads(kubectl("get", "customresourcedefinition", REPLACED, "--output=json"))
    kept = {key: definition[key] for key in ("apiVersion", "kind", "spec")}
    return json.dumps({**kept, "metadata": {"name": REPLACED}})


def dry_run(text: str) -> str:
    """What the API server says against a YAML text, field by field; empty when it would take it.

    That an object exists is the last thing it looks at, and nothing against the text.
    """
    done = run("create", "--dry-run=server", "--validate=strict", "--filename=-", stdin=text)
    lines = done.stderr.splitlines() if done.returncode else []
    return "\n".join(line for line in lines if not line.endswith("already exists") and not line.startswith("Warning: "))


def with_components(folder: Path) -> str:
    """What the kustomization of the repository's root renders once its components are uncommented in a copy of it."""
    for name in ("multi-worker-pvc.yaml", "multi-worker-tfjob.yaml"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "manifests" / "components", folder / "manifests" / "components")
    text = (ROOT / "kustomization.yaml").read_text()
    (folder / "kustomization.yaml").write_text(re.sub(r"^# (components:|- )", r"\1", text, flags=re.MULTILINE))
    return kubectl("kustomize", str(folder))
