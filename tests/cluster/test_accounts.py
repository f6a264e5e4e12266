"""The rights of the service accounts as the API server reports them: those of the table, and no others."""

import json

import pytest

from cluster.kube import NAMESPACE, kubectl
from support import accounts

pytestmark = pytest.mark.cluster
REVIEW = {
    "apiVersion": "authorization.k8s.io/v1",
    "kind": "SelfSubjectRulesReview",
    "spec": {"namespace": NAMESPACE},
}


def rights_of(user: str) -> set[accounts.Right]:
    """Return what the API server says that a user may do in the namespace."""
    path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
    answer = kubectl("create", f"--raw={path}", "--filename=-", f"--as={user}", stdin=json.dumps(REVIEW))
    status = json.loads(answer)["status"]
    assert status["incomplete"] is False
    return accounts.rights(status["resourceRules"])


@pytest.mark.parametrize("account", [*accounts.STEPS, *accounts.CONTROLLERS, "default"])
def test_an_account_has_exactly_the_rights_of_the_table(account: str, installed: None) -> None:
    every_user = rights_of("somebody")
    found = rights_of(f"system:serviceaccount:{NAMESPACE}:{account}")
    assert found - every_user == {**accounts.STEPS, **accounts.CONTROLLERS}.get(account, set()) - every_user


def test_the_namespace_has_no_other_account(installed: None) -> None:
    names = kubectl("get", "serviceaccounts", "--output=jsonpath={.items[*].metadata.name}").split()
    assert set(names) == {*accounts.STEPS, *accounts.CONTROLLERS, "default"}
