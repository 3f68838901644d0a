"""Identities, roles and network: what the operator, the recorders and people may do under each value."""

import pytest
import yaml

from devstack import charts
from egress_operator import names
from support.chart import FULL_NAME, combinations, render

RULES = yaml.safe_load((charts.CHART / "files" / "operator-rules.yaml").read_text())
RECORDER = {names.LABEL_MANAGED_BY: names.MANAGED_BY}
OPERATOR = {"kind": "ServiceAccount", "name": FULL_NAME, "namespace": "egress-system"}


def test_cluster_wide_the_operator_has_exactly_the_listed_rules() -> None:
    rendered = render()

    role = rendered.one("ClusterRole", FULL_NAME)
    assert role["rules"] == RULES
    binding = rendered.one("ClusterRoleBinding")
    assert binding["subjects"] == [OPERATOR]
    assert binding["roleRef"] == {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "ClusterRole",
        "name": FULL_NAME,
    }
    assert not rendered.of("Role")
    assert "WATCH_NAMESPACES" not in rendered.environment


def test_with_a_list_of_namespaces_there_are_roles_and_no_right_in_the_cluster_as_a_whole() -> None:
    rendered = render(watchNamespaces=["meetings", "webinars"], rbac={"aggregateRoles": False})

    assert not rendered.of("ClusterRole")
    assert not rendered.of("ClusterRoleBinding")
    assert [role["metadata"]["namespace"] for role in rendered.of("Role")] == ["meetings", "webinars"]
    assert all(role["rules"] == RULES for role in rendered.of("Role"))
    for binding in rendered.of("RoleBinding"):
        assert binding["subjects"] == [OPERATOR]
        assert binding["roleRef"]["kind"] == "Role"
    assert {binding["metadata"]["namespace"] for binding in rendered.of("RoleBinding")} == {
        "meetings",
        "webinars",
    }
    assert rendered.environment["WATCH_NAMESPACES"] == "meetings,webinars"


def test_people_get_their_rights_through_the_clusters_own_roles() -> None:
    rendered = render()

    view = rendered.one("ClusterRole", f"{FULL_NAME}-view")
    edit = rendered.one("ClusterRole", f"{FULL_NAME}-edit")
    assert view["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-view"] == "true"
    assert {verb for rule in view["rules"] for verb in rule["verbs"]} == {"get", "list", "watch"}
    assert edit["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-edit"] == "true"
    assert edit["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-admin"] == "true"
    for role in (view, edit):
        for rule in role["rules"]:
            assert rule["apiGroups"] == [names.GROUP]
            # Status is the operator's alone.
            assert sorted(rule["resources"]) == sorted(names.PLURALS.values())
    assert [
        role["metadata"]["name"] for role in render(rbac={"aggregateRoles": False}).of("ClusterRole")
    ] == [FULL_NAME]


def test_without_rbac_and_account_the_chart_binds_nothing_and_uses_the_given_account() -> None:
    rendered = combinations()["bare"]

    assert not [kind for kind in ("ClusterRole", "ClusterRoleBinding", "Role") if rendered.of(kind)]
    assert rendered.pod["serviceAccountName"] == "operator"
    assert [account["metadata"]["name"] for account in rendered.of("ServiceAccount")] == [f"{FULL_NAME}-test"]


def test_only_pods_that_ask_for_it_get_a_token() -> None:
    for rendered in combinations().values():
        for account in rendered.of("ServiceAccount"):
            assert account["automountServiceAccountToken"] is False
        assert rendered.pod["automountServiceAccountToken"] is True


def test_recorders_get_accounts_for_workload_identity_where_they_run() -> None:
    role = {"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/recorder"}
    rendered = render(
        recorder={"serviceAccounts": [{"namespace": "meetings", "name": "recorder", "annotations": role}]}
    )

    (account,) = rendered.of("ServiceAccount", "meetings")
    assert account["metadata"]["name"] == "recorder"
    assert account["metadata"]["annotations"] == role
    assert account["automountServiceAccountToken"] is False


def test_there_is_no_network_policy_by_default() -> None:
    assert not render().of("NetworkPolicy")


def test_the_operators_network_reaches_the_api_server_livekit_dns_webhooks_and_recorders_only() -> None:
    policy = render(networkPolicy={"enabled": True}).one("NetworkPolicy", FULL_NAME)["spec"]

    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["ingress"] == [{"ports": [{"protocol": "TCP", "port": 8081}]}]
    ports = [sorted(port["port"] for port in rule["ports"]) for rule in policy["egress"]]
    assert ports == [[53, 53], [443, 6443], [80, 443, 7880], [80, 443], [8080]]
    assert policy["egress"][-1]["to"] == [{"namespaceSelector": {}, "podSelector": {"matchLabels": RECORDER}}]
    labels = render().one("Deployment")["spec"]["template"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()


def test_a_recorders_network_lets_only_the_operator_in_and_never_names_the_api_server() -> None:
    values = {"enabled": True, "recorderNamespaces": ["meetings"]}
    rendered = render(networkPolicy=values)

    (policy,) = rendered.of("NetworkPolicy", "meetings")
    spec = policy["spec"]
    assert spec["podSelector"] == {"matchLabels": RECORDER}
    (ingress,) = spec["ingress"]
    assert ingress["ports"] == [{"protocol": "TCP", "port": 8080}]
    (peer,) = ingress["from"]
    assert peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "egress-system"}
    labels = rendered.one("Deployment")["spec"]["template"]["metadata"]["labels"]
    assert peer["podSelector"]["matchLabels"].items() <= labels.items()
    ports = [sorted((port["protocol"], port["port"]) for port in rule["ports"]) for rule in spec["egress"]]
    dns, livekit, storage = ports
    assert dns == [("TCP", 53), ("UDP", 53)]
    assert {("TCP", 7880), ("UDP", 3478), ("UDP", 50000), ("TCP", 7881)} <= set(livekit)
    assert ("TCP", 9000) in storage
    assert not [port for rule in ports for port in rule if port[1] == 6443]


def test_network_peers_and_further_rules_come_from_the_values() -> None:
    rendered = combinations()["everything"]

    operator = rendered.one("NetworkPolicy", "recorder-control")["spec"]
    recorder = rendered.one("NetworkPolicy", "recorder-control-recorders")["spec"]
    monitoring = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    test = {"matchLabels": rendered.one("Pod")["metadata"]["labels"]}
    assert operator["ingress"][0]["from"] == [monitoring, {"podSelector": test}]
    assert recorder["ingress"][0]["from"][1:] == [monitoring]
    assert operator["egress"][1]["to"] == [{"ipBlock": {"cidr": "10.0.0.1/32"}}]
    assert operator["egress"][3] == {
        "to": [{"ipBlock": {"cidr": "203.0.113.0/24"}}],
        "ports": [{"protocol": "TCP", "port": 443}],
    }
    assert recorder["egress"][1]["to"] == [{"ipBlock": {"cidr": "192.0.2.0/24"}}]
    assert recorder["egress"][2]["to"] == [{"ipBlock": {"cidr": "198.51.100.0/24"}}]
    for policy in (operator, recorder):
        assert policy["egress"][-1] == {"ports": [{"protocol": "TCP", "port": 3128}]}


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({}, []),
        ({"watchNamespaces": ["meetings"]}, ["meetings"]),
        (
            {"watchNamespaces": ["meetings"], "networkPolicy": {"recorderNamespaces": ["webinars"]}},
            ["webinars"],
        ),
    ],
)
def test_recorders_policies_are_where_recorders_are_known_to_run(
    values: dict[str, object], where: list[str]
) -> None:
    policy = {"enabled": True, **values.get("networkPolicy", {})}  # type: ignore[dict-item]
    rendered = render(**values | {"networkPolicy": policy})

    found = [policy["metadata"]["namespace"] for policy in rendered.of("NetworkPolicy")]
    assert found == ["egress-system", *where]
