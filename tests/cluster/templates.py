"""workflow.yaml's templates as plain pods and objects, for clusters that cannot run Argo's controller."""

import json
import re
from copy import deepcopy
from dataclasses import dataclass

import yaml

from cluster.kube import ROOT, create, get, kubectl, wait_until

SPEC = yaml.safe_load((ROOT / "workflow.yaml").read_text())["spec"]
PARAMETERS = [parameter["name"] for parameter in SPEC["arguments"]["parameters"]]
TEMPLATES = {template["name"]: template for template in SPEC["templates"]}

# The manifests' expressions: a parameter as a number, perhaps multiplied, or as a text in quotes.
EXPRESSION = r"{{=((?P<factor>\d+) \* )?(?P<kind>asInt|toJson)\(workflow\.parameters(\.|\[')(?P<name>[\w-]+)('\])?\)}}"
# The commands' expressions: a path, unless a parameter has the value that needs none.
CHOICE = r"{{=workflow\.parameters\.(?P<name>\w+) == '(?P<value>\w+)' \? '(?P<then>[^']*)' : '(?P<otherwise>[^']*)'}}"


def evaluated(expression: re.Match[str], value: str) -> str:
    """Return what Argo replaces an expression with that reads a parameter of this value."""
    return json.dumps(value) if expression["kind"] == "toJson" else str(int(expression["factor"] or 1) * int(value))


def chosen(choice: re.Match[str], value: str) -> str:
    """Return what Argo replaces a choice with that compares a parameter of this value."""
    return choice["then"] if value == choice["value"] else choice["otherwise"]


def filled(document: dict | str, values: dict[str, str]) -> str:
    """Fill a template's placeholders from `values`, or else from the workflow's own parameters."""
    text = document if isinstance(document, str) else json.dumps(document)
    known = {f"workflow.parameters.{one['name']}": one["value"] for one in SPEC["arguments"]["parameters"]}
    known |= {"workflow.namespace": "kubeflow"} | values
    listed = json.dumps([{"name": name, "value": known[f"workflow.parameters.{name}"]} for name in PARAMETERS])
    # In a document that is JSON already, a text within a text.
    known["workflow.parameters"] = listed if isinstance(document, str) else json.dumps(listed)[1:-1]
    text = re.sub(EXPRESSION, lambda match: evaluated(match, known[f"workflow.parameters.{match['name']}"]), text)
    text = re.sub(CHOICE, lambda match: chosen(match, known[f"workflow.parameters.{match['name']}"]), text)
    return re.sub(r"{{([\w.-]+)}}", lambda match: known[match[1]], text)


def manifest(name: str, values: dict[str, str]) -> dict:
    """Return the object that a resource template creates."""
    return yaml.safe_load(filled(TEMPLATES[name]["resource"]["manifest"], values))


def pod(name: str, template: str, values: dict[str, str]) -> dict:
    """Return the pod of a container template, without Argo's own containers; its caller may change it."""
    container = {"name": "main", **SPEC["templateDefaults"]["container"]}
    container |= json.loads(filled(TEMPLATES[template]["container"], values))
    container["image"] = filled(container["image"], values)
    volumes = [*SPEC["volumes"], *TEMPLATES[template].get("volumes", [])]
    used = {mount["name"] for mount in container["volumeMounts"]}
    document = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "serviceAccountName": TEMPLATES[template].get("serviceAccountName", SPEC["serviceAccountName"]),
            "securityContext": SPEC["securityContext"],
            "containers": [container],
            "volumes": [volume for volume in volumes if volume["name"] in used],
        },
    }
    return deepcopy(document)


@dataclass(frozen=True)
class Ended:
    status: int
    message: str
    output: str


def run(name: str, template: str, **values: str) -> Ended:
    """Run a container template's pod to its end; in the names of `values` write __ for a dot."""
    return run_pod(pod(name, template, {key.replace("__", "."): value for key, value in values.items()}))


def run_pod(document: dict) -> Ended:
    """Run a pod to its end, and delete it."""
    create(document)
    name = document["metadata"]["name"]

    def ended() -> dict | None:
        statuses = get("pod", name)["status"].get("containerStatuses") or [{}]
        return statuses[0].get("state", {}).get("terminated")

    state = wait_until(f"pod {name} has ended", 180, ended)
    output = kubectl("logs", name)
    kubectl("delete", "pod", name)
    return Ended(state["exitCode"], state.get("message", ""), output)
