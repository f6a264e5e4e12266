"""The evaluation of NetworkPolicies agrees with the documentation of the API."""

import pytest
import yaml

from support.reachability import Peer, is_open, matches

WEB = Peer("web", "shop", {"app": "web", "tier": "front"}, {"team": "a"}, {"http": 8080}, address="10.1.0.5")
DATABASE = Peer("database", "shop", {"app": "database"}, {"team": "a"}, address="10.1.0.6")
STRANGER = Peer("stranger", "elsewhere", {"app": "web"}, {"team": "b"}, address="10.2.0.7")
HOST = Peer("host", address="172.17.1.9")


def opened(spec: str, source: Peer, target: Peer, port: int = 8080, protocol: str = "TCP") -> bool:
    """Return True if one policy of the namespace `shop` with this spec lets the source reach the target."""
    policy = {"metadata": {"name": "tested", "namespace": "shop"}, "spec": yaml.safe_load(spec)}
    return is_open([policy], source, target, (protocol, port))


@pytest.mark.parametrize(
    ("spec", "open_"),
    [
        ("{podSelector: {}}", False),  # no policyTypes and no rules: ingress, denied
        ("{podSelector: {}, ingress: []}", False),
        ("{podSelector: {}, ingress: [{}]}", True),
        ("{podSelector: {}, ingress: [{from: []}]}", True),
        ("{podSelector: {}, ingress: [{ports: []}]}", True),
        ("{podSelector: {}, policyTypes: [Egress]}", True),  # does not isolate ingress
        ("{podSelector: {matchLabels: {app: database}}}", True),  # selects another pod
        ("{podSelector: {}, ingress: [{from: [{podSelector: {}}]}]}", False),  # only pods of this namespace
        ("{podSelector: {}, ingress: [{from: [{namespaceSelector: {}}]}]}", True),
        ("{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: a}}}]}]}", False),
        ("{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: b}}}]}]}", True),
        (
            "{podSelector: {}, ingress: [{from: [{namespaceSelector: "
            "{matchLabels: {kubernetes.io/metadata.name: elsewhere}}}]}]}",
            True,
        ),
        # One peer with both selectors means both; two peers mean either.
        (
            "{podSelector: {}, ingress: [{from: [{namespaceSelector: {}, podSelector: {matchLabels: {app: x}}}]}]}",
            False,
        ),
        (
            "{podSelector: {}, ingress: [{from: [{namespaceSelector: {}}, {podSelector: {matchLabels: {app: x}}}]}]}",
            True,
        ),
        ("{podSelector: {}, ingress: [{ports: [{port: http}]}]}", True),
        ("{podSelector: {}, ingress: [{ports: [{port: grpc}]}]}", False),
        ("{podSelector: {}, ingress: [{ports: [{port: 8080, protocol: UDP}]}]}", False),
        ("{podSelector: {}, ingress: [{ports: [{protocol: TCP}]}]}", True),
        ("{podSelector: {}, ingress: [{ports: [{port: 8000, endPort: 8080}]}]}", True),
        ("{podSelector: {}, ingress: [{ports: [{port: 8000, endPort: 8079}]}]}", False),
        (
            "{podSelector: {}, ingress: [{from: [{podSelector: {}}], ports: [{port: 8080}]}, {ports: [{port: 1}]}]}",
            False,
        ),
    ],
)
def test_ingress_from_another_namespace(spec: str, open_: bool) -> None:
    assert opened(spec, STRANGER, WEB) is open_


def test_egress_is_isolated_by_a_rule_or_by_the_policy_types() -> None:
    to_database = "{podSelector: {}, egress: [{to: [{podSelector: {matchLabels: {app: database}}}]}], ingress: [{}]}"
    assert opened(to_database, WEB, DATABASE)
    assert not opened(to_database, WEB, STRANGER)
    assert opened("{podSelector: {}, egress: []}", WEB, STRANGER)
    assert not opened("{podSelector: {}, policyTypes: [Egress]}", WEB, STRANGER)


def test_a_block_of_addresses_leaves_out_its_exceptions() -> None:
    block = "{podSelector: {}, egress: [{to: [{ipBlock: {cidr: 172.17.0.0/16, except: [%s]}}]}], policyTypes: [Egress]}"
    assert opened(block % "172.17.2.0/24", WEB, HOST)
    assert not opened(block % "172.17.1.0/24", WEB, HOST)


def test_a_host_is_matched_by_no_selector() -> None:
    assert not opened("{podSelector: {}, ingress: [{from: [{namespaceSelector: {}}]}]}", HOST, WEB)
    assert not opened("{podSelector: {}, ingress: [{from: [{podSelector: {}}]}]}", HOST, WEB)


def test_both_ends_must_allow_a_connection() -> None:
    deny_in = {"metadata": {"namespace": "shop"}, "spec": {"podSelector": {}, "policyTypes": ["Ingress"]}}
    deny_out = {"metadata": {"namespace": "elsewhere"}, "spec": {"podSelector": {}, "policyTypes": ["Egress"]}}
    allow_in = {"metadata": {"namespace": "shop"}, "spec": {"podSelector": {}, "ingress": [{}]}}
    assert not is_open([deny_in], STRANGER, WEB, ("TCP", 8080))
    assert is_open([deny_in, allow_in], STRANGER, WEB, ("TCP", 8080))
    assert not is_open([deny_in, allow_in, deny_out], STRANGER, WEB, ("TCP", 8080))


@pytest.mark.parametrize(
    ("operator", "values", "labels", "matching"),
    [
        ("In", ["a", "b"], {"key": "a"}, True),
        ("In", ["a"], {"key": "b"}, False),
        ("In", ["a"], {}, False),
        ("NotIn", ["a"], {"key": "a"}, False),
        ("NotIn", ["a"], {"key": "b"}, True),
        ("NotIn", ["a"], {}, True),
        ("Exists", None, {"key": ""}, True),
        ("Exists", None, {}, False),
        ("DoesNotExist", None, {"key": ""}, False),
        ("DoesNotExist", None, {}, True),
    ],
)
def test_an_expression_of_a_selector(
    operator: str, values: list[str] | None, labels: dict[str, str], matching: bool
) -> None:
    selector = {"matchExpressions": [{"key": "key", "operator": operator, "values": values}]}
    assert matches(selector, labels) is matching
    assert not matches({**selector, "matchLabels": {"other": "x"}}, labels)
