"""The rights of every service account, as this project's roles shall give them: the tests compare files and cluster."""

# A right is an API group, a resource, the name of the only object (or "" for all), and a verb.
Right = tuple[str, str, str, str]

# Argo's executor reports a step's result.
REPORT: set[Right] = {
    ("argoproj.io", "workflowtaskresults", "", "create"),
    ("argoproj.io", "workflowtaskresults", "", "patch"),
}
STEPS: dict[str, set[Right]] = {
    "pipeline-step": REPORT,
    "pipeline-train": REPORT | {("kubeflow.org", "tfjobs", "", "create"), ("kubeflow.org", "tfjobs", "", "get")},
    "pipeline-end": REPORT
    | {("kubeflow.org", "tfjobs", "", "list"), ("kubeflow.org", "tfjobs", "", "delete")}
    | {("", "pods", "", "list"), ("", "events", "", "list")},
    "pipeline-serve": REPORT
    | {("serving.kserve.io", "inferenceservices", "", verb) for verb in ("create", "get", "patch")},
    "pipeline-replicas": REPORT | {("discovery.k8s.io", "endpointslices", "", "list")},
}
# What this project adds to the rights that Argo's own files give its controller.
ADDED: dict[str, set[Right]] = {
    "argo": {("", "configmaps", "", "create"), ("", "configmaps", "ingestion-cache", "update")},
}
CONTROLLERS = ("argo", "training-operator")


def rights(rules: list[dict]) -> set[Right]:
    """Return the rights in the rules of a role, or of the API server's review."""
    return {
        (group, resource, name, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
        for verb in rule["verbs"]
    }
