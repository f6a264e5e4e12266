"""The connections that NetworkPolicies allow, computed as the API's documentation defines it."""

import ipaddress
from dataclasses import dataclass, field
from typing import Any

Policy = dict[str, Any]
Rule = dict[str, Any]
Port = tuple[str, int]


@dataclass(frozen=True)
class Peer:
    """A pod or, with an empty namespace, a host outside the cluster.

    `namespace_labels` are those of the pod's namespace, `ports` the numbers of its named ports.
    """

    name: str
    namespace: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    namespace_labels: dict[str, str] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    address: str = ""


def is_open(policies: list[Policy], source: Peer, target: Peer, port: Port) -> bool:
    """Return True if the source's egress and the target's ingress both allow a connection to the target's port.

    Args:
        policies: NetworkPolicies, each with its namespace.
        source: the pod or host that opens the connection.
        target: the pod or host that it asks.
        port: the protocol and the number, such as ("TCP", 8080).
    """
    return allows(policies, "Egress", source, target, port) and allows(policies, "Ingress", target, source, port)


def allows(policies: list[Policy], direction: str, pod: Peer, other: Peer, port: Port) -> bool:
    """Return True if `pod` is not isolated in this direction, or one of its policies has a rule for the connection."""
    if not pod.namespace:
        return True
    isolating = [policy for policy in policies if selects(policy, pod) and direction in types(policy)]
    target = other if direction == "Egress" else pod
    peers = "to" if direction == "Egress" else "from"
    return not isolating or any(
        matches_port(rule, target, port) and matches_peer(rule.get(peers), policy["metadata"]["namespace"], other)
        for policy in isolating
        for rule in policy["spec"].get(direction.lower()) or []
    )


def selects(policy: Policy, pod: Peer) -> bool:
    return policy["metadata"]["namespace"] == pod.namespace and matches(policy["spec"]["podSelector"], pod.labels)


def types(policy: Policy) -> list[str]:
    """Return the directions that a policy isolates: without policyTypes ingress, and egress if it has such rules."""
    spec = policy["spec"]
    return spec.get("policyTypes") or ["Ingress", *(["Egress"] if spec.get("egress") else [])]


def matches_port(rule: Rule, target: Peer, port: Port) -> bool:
    """Compare the connection's port with a rule's; a rule with no ports, or an empty list, allows every port."""
    return not rule.get("ports") or any(one_port(entry, target, port) for entry in rule["ports"])


def one_port(entry: dict[str, Any], target: Peer, port: Port) -> bool:
    protocol, number = port
    if entry.get("protocol", "TCP") != protocol:
        return False
    first = entry.get("port")
    if isinstance(first, str):
        return target.ports.get(first) == number
    return first is None or first <= number <= entry.get("endPort", first)


def matches_peer(peers: list[dict[str, Any]] | None, namespace: str, other: Peer) -> bool:
    """Compare the other end with a rule's peers; no peers, or an empty list, allow everyone."""
    return not peers or any(one_peer(peer, namespace, other) for peer in peers)


def one_peer(peer: dict[str, Any], namespace: str, other: Peer) -> bool:
    if "ipBlock" in peer:
        return in_block(peer["ipBlock"], other.address)
    if not other.namespace:
        return False
    if "namespaceSelector" in peer:
        known = {"kubernetes.io/metadata.name": other.namespace, **other.namespace_labels}
        same = matches(peer["namespaceSelector"], known)
    else:
        same = other.namespace == namespace
    return same and matches(peer.get("podSelector", {}), other.labels)


def in_block(block: dict[str, Any], address: str) -> bool:
    return bool(address) and any_network([block["cidr"]], address) and not any_network(block.get("except", []), address)


def any_network(networks: list[str], address: str) -> bool:
    return any(ipaddress.ip_address(address) in ipaddress.ip_network(each) for each in networks)


def matches(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Compare labels with a label selector, whose parts must all match; an empty selector matches everything."""
    equal = all(labels.get(key) == value for key, value in (selector.get("matchLabels") or {}).items())
    return equal and all(expression(each, labels) for each in selector.get("matchExpressions") or [])


def expression(one: dict[str, Any], labels: dict[str, str]) -> bool:
    """Evaluate one of matchExpressions; NotIn also matches labels without the key."""
    key, values = one["key"], one.get("values") or []
    return {
        "In": key in labels and labels[key] in values,
        "NotIn": key not in labels or labels[key] not in values,
        "Exists": key in labels,
        "DoesNotExist": key not in labels,
    }[one["operator"]]
