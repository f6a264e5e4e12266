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
WATCH = "get list watch"
CHANGE = f"{WATCH} create delete patch update"


def each(group: str, resources: str, verbs: str) -> set[Right]:
    return {(group, resource, "", verb) for resource in resources.split() for verb in verbs.split()}


# What Argo's and the operator's own files give their controllers, and this project adds. The operator's rights hold in
# every namespace.
CONTROLLERS: dict[str, set[Right]] = {
    "argo": ADDED["argo"]
    | each("", "pods pods/exec", CHANGE)
    | each("", "configmaps", WATCH)
    | each("", "persistentvolumeclaims persistentvolumeclaims/finalizers", "create delete get update")
    | each("", "serviceaccounts", "get list")
    | each("", "secrets", "get")
    | each("", "events", "create patch")
    | each("argoproj.io", "workflows workflows/finalizers workflowtasksets workflowtasksets/finalizers", CHANGE)
    | each("argoproj.io", "workflowartifactgctasks", CHANGE)
    | each("argoproj.io", "workflowtemplates workflowtemplates/finalizers", WATCH)
    | each("argoproj.io", "workflowtaskresults", "list watch deletecollection")
    | each("argoproj.io", "cronworkflows cronworkflows/finalizers", f"{WATCH} delete patch update")
    | each("coordination.k8s.io", "leases", "create get update")
    | each("policy", "poddisruptionbudgets", "create delete get"),
    "training-operator": each("", "pods events", CHANGE)
    | each("", "pods/exec", "create")
    | each("", "configmaps", "create list update watch")
    | each("", "secrets", f"{WATCH} update")
    | each("", "serviceaccounts", f"{WATCH} create")
    | each("", "services", f"{WATCH} create delete")
    | each("admissionregistration.k8s.io", "validatingwebhookconfigurations", f"{WATCH} update")
    | each("autoscaling", "horizontalpodautoscalers", CHANGE)
    | each("kubeflow.org", "jaxjobs mpijobs paddlejobs pytorchjobs tfjobs xgboostjobs", CHANGE)
    | {
        ("kubeflow.org", f"{kind}jobs/{part}", "", verb)
        for kind in ("jax", "mpi", "paddle", "pytorch", "tf", "xgboost")
        for part, verbs in (("finalizers", ["update"]), ("status", ["get", "patch", "update"]))
        for verb in verbs
    }
    | each("rbac.authorization.k8s.io", "roles rolebindings", "create list update watch")
    | each("scheduling.volcano.sh", "podgroups", CHANGE)
    | each("scheduling.x-k8s.io", "podgroups", CHANGE),
}


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
