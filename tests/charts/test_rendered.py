"""What the chart renders: names, the operator's pod and its environment, images, what each switch adds."""

import json
from typing import Any

import pytest

from devstack import charts
from egress_operator import settings
from support.chart import FULL_NAME, Rendered, combinations, refusal, render

CONNECTION = {"url": "wss://livekit.example.com", "existingSecret": "livekit"}


def loaded(rendered: Rendered) -> settings.Settings:
    """What the operator itself makes of the rendered environment."""
    return settings.load(rendered.environment)


def test_the_defaults_give_one_operator_that_is_replaced_and_not_rolled() -> None:
    deployment = render().one("Deployment")

    assert deployment["metadata"]["name"] == FULL_NAME
    assert deployment["spec"]["replicas"] == 1
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}


@pytest.mark.parametrize(
    ("release", "values", "name"),
    [
        ("egress", {}, "egress-livekit-egress-operator"),
        ("livekit-egress-operator", {}, "livekit-egress-operator"),
        ("livekit-egress-operator-eu", {}, "livekit-egress-operator-eu"),
        ("egress", {"fullnameOverride": "control"}, "control"),
    ],
)
def test_every_object_is_named_after_the_release(release: str, values: dict[str, Any], name: str) -> None:
    rendered = render(release, **values)

    own = [document for document in rendered.documents if document["kind"] != "CustomResourceDefinition"]
    assert {document["metadata"]["name"] for document in own} == {
        name,
        f"{name}-view",
        f"{name}-edit",
        f"{name}-test",
    }


def test_the_service_and_the_deployment_select_the_pod_and_never_a_recorder() -> None:
    rendered = render(podLabels={"team": "media"})

    labels = rendered.one("Deployment")["spec"]["template"]["metadata"]["labels"]
    for selector in (
        rendered.one("Service")["spec"]["selector"],
        rendered.one("Deployment")["spec"]["selector"]["matchLabels"],
    ):
        assert selector.items() <= labels.items()
        assert selector == {
            "app.kubernetes.io/name": "livekit-egress-operator",
            "app.kubernetes.io/instance": "egress",
        }
    # The label by which recorders are found must be on no object of the chart.
    assert "livekit-egress-operator" not in {
        document["metadata"].get("labels", {}).get("app.kubernetes.io/managed-by")
        for document in rendered.documents
    }
    assert labels["team"] == "media"


def test_the_pod_meets_pod_security_restricted() -> None:
    for rendered in combinations().values():
        for pod in (rendered.pod, rendered.one("Pod")["spec"]):
            assert pod["securityContext"]["runAsNonRoot"] is True
            assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
            for container in pod["containers"]:
                assert container["securityContext"] == {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                }
                assert container["resources"]["requests"]
            assert not any("hostPath" in volume for volume in pod.get("volumes", []))


def test_all_probes_ask_the_operators_health() -> None:
    container = render().container

    assert container["ports"] == [{"name": "http", "containerPort": 8081}]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"] == {"path": "/healthz", "port": "http"}
    assert container["startupProbe"]["periodSeconds"] == 1


def test_without_a_connection_the_operator_gets_none_and_starts_all_the_same() -> None:
    environment = render().environment

    assert not [name for name in environment if name.startswith("LIVEKIT_")]
    assert not settings.load(environment).has_default_connection


def test_the_connection_comes_from_an_existing_secret_by_the_given_keys() -> None:
    rendered = render(
        livekit=CONNECTION | {"apiKeyKey": "k", "apiSecretKey": "s", "allowedNamespaces": ["one", "two"]}
    )

    assert rendered.environment["LIVEKIT_URL"] == "wss://livekit.example.com"
    assert rendered.environment["LIVEKIT_API_KEY"] == "livekit/k"
    assert rendered.environment["LIVEKIT_API_SECRET"] == "livekit/s"
    assert loaded(rendered).default_allowed_namespaces == {"one", "two"}


def test_no_rendering_contains_a_secret() -> None:
    assert not [secret for rendered in combinations().values() for secret in rendered.of("Secret")]


@pytest.mark.parametrize(
    ("storage", "expected"),
    [
        ({"s3": {"bucket": "b", "forcePathStyle": True}}, {"s3": {"bucket": "b", "forcePathStyle": True}}),
        (
            {
                "s3": {
                    "bucket": "b",
                    "assumeRoleArn": "arn:aws:iam::1:role/r",
                    "proxy": {"url": "http://proxy:3128"},
                }
            },
            {
                "s3": {
                    "bucket": "b",
                    "assumeRoleArn": "arn:aws:iam::1:role/r",
                    "proxy": {"url": "http://proxy:3128"},
                }
            },
        ),
        ({"http": {"url": "https://archive.example.com"}}, {"http": {"url": "https://archive.example.com"}}),
        ({"pvc": {"claimName": "recordings"}}, {"pvc": {"claimName": "recordings"}}),
    ],
)
def test_the_default_storage_reaches_the_operator_as_the_resource_spells_it(
    storage: dict[str, Any], expected: dict[str, Any]
) -> None:
    rendered = render(defaultStorage=storage | {"allowedNamespaces": ["meetings"]})

    assert json.loads(rendered.environment["EGRESS_DEFAULT_STORAGE"]) == expected
    assert rendered.environment["EGRESS_DEFAULT_STORAGE_ALLOWED_NAMESPACES"] == "meetings"
    loaded(rendered)


def test_without_a_default_storage_there_is_no_variable_of_it() -> None:
    assert not [name for name in render().environment if "STORAGE" in name]


def test_the_backup_storage_reaches_the_operator_beside_the_default_one() -> None:
    rendered = render(
        defaultStorage={"pvc": {"claimName": "recordings"}},
        backupStorage={"gcp": {"bucket": "rescue"}, "allowedNamespaces": ["meetings"]},
    )

    assert json.loads(rendered.environment["EGRESS_DEFAULT_STORAGE"]) == {"pvc": {"claimName": "recordings"}}
    assert json.loads(rendered.environment["EGRESS_BACKUP_STORAGE"]) == {"gcp": {"bucket": "rescue"}}
    assert rendered.environment["EGRESS_BACKUP_STORAGE_ALLOWED_NAMESPACES"] == "meetings"
    loaded(rendered)


def test_receivers_of_webhooks_and_who_may_name_more_reach_the_operator() -> None:
    receivers = [{"url": "https://app.example.com/hook", "filterParams": {"includeEvents": ["egress_ended"]}}]
    livekit = {"url": "wss://livekit.example.com", "existingSecret": "livekit"}
    values = {"receivers": receivers, "allowedNamespaces": ["a", "b"], "allowedHosts": ["*.example.com"]}
    rendered = render(livekit=livekit, webhooks=values)

    configuration = loaded(rendered)
    assert json.loads(rendered.environment["EGRESS_WEBHOOKS"]) == receivers
    assert [one.url for one in configuration.webhooks] == ["https://app.example.com/hook"]
    assert configuration.webhook_allowed_namespaces == {"a", "b"}
    assert configuration.webhook_allowed_hosts == ("*.example.com",)
    assert "EGRESS_WEBHOOKS" not in render().environment


def test_the_recorders_defaults_reach_the_operator() -> None:
    template = {"nodeSelector": {"pool": "media"}, "imagePullSecrets": [{"name": "pull"}]}
    resources = {"H264_1080P_30": {"requests": {"cpu": "2"}, "limits": {"memory": "2Gi"}}}
    rendered = render(
        recorder={
            "template": template,
            "resources": resources,
            "terminationGracePeriodSeconds": 86400,
            "jobTTLSeconds": 60,
            "image": {"pullPolicy": "Never"},
        }
    )

    environment = rendered.environment
    assert json.loads(environment["EGRESS_RECORDER_TEMPLATE"]) == template
    assert json.loads(environment["EGRESS_RECORDER_RESOURCES"]) == resources
    assert environment["EGRESS_RECORDER_IMAGE_PULL_POLICY"] == "Never"
    assert environment["EGRESS_TERMINATION_GRACE_SECONDS"] == "86400"
    assert environment["EGRESS_JOB_TTL_SECONDS"] == "60"
    loaded(rendered)


def test_the_operator_itself_accepts_the_environment_of_every_combination() -> None:
    for rendered in combinations().values():
        configuration = loaded(rendered)

        assert configuration.recorder_image == rendered.environment["EGRESS_RECORDER_IMAGE"]


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ({}, "livekit-egress-operator:0.1.0"),
        ({"registry": "r.example.com:5000/team"}, "r.example.com:5000/team/livekit-egress-operator:0.1.0"),
        ({"repository": "other", "tag": "next"}, "other:next"),
        ({"tag": "next", "digest": "sha256:" + "a" * 64}, f"livekit-egress-operator@sha256:{'a' * 64}"),
    ],
)
def test_the_image_is_put_together_from_its_parts(image: dict[str, str], expected: str) -> None:
    rendered = render(image=image, recorder={"image": image})

    assert rendered.container["image"] == expected
    assert rendered.one("Pod")["spec"]["containers"][0]["image"] == expected
    recorder = expected if "repository" in image else expected.replace("-operator", "-recorder")
    assert rendered.environment["EGRESS_RECORDER_IMAGE"] == recorder


def test_the_operators_pod_takes_every_value_that_is_about_it() -> None:
    rendered = combinations()["everything"]

    pod, container = rendered.pod, rendered.container
    assert pod["serviceAccountName"] == "control"
    assert pod["nodeSelector"] == {"kubernetes.io/os": "linux"}
    assert pod["tolerations"] == [{"operator": "Exists"}]
    assert "nodeAffinity" in pod["affinity"]
    assert pod["priorityClassName"] == "system-cluster-critical"
    assert pod["volumes"] == [{"name": "ca", "configMap": {"name": "private-ca"}}]
    assert container["volumeMounts"][0]["mountPath"] == "/etc/ca"
    assert container["resources"]["limits"] == {"cpu": "1", "memory": "512Mi"}
    assert rendered.environment["SSL_CERT_FILE"] == "/etc/ca/ca.crt"
    assert rendered.environment["EGRESS_LOG_LEVEL"] == "DEBUG"
    annotations = rendered.one("Deployment")["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/scrape"] == "false"


def test_openshift_may_choose_the_user_itself() -> None:
    context = render(podSecurityContext={"runAsUser": None, "runAsGroup": None}).pod["securityContext"]

    assert context == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


def test_a_disruption_budget_is_off_by_default() -> None:
    assert not render().of("PodDisruptionBudget")

    budget = render(podDisruptionBudget={"enabled": True, "maxUnavailable": 0}).one("PodDisruptionBudget")
    assert budget["spec"]["maxUnavailable"] == 0
    assert budget["spec"]["selector"]["matchLabels"]["app.kubernetes.io/instance"] == "egress"


def test_helm_refuses_a_cluster_without_cel_rules() -> None:
    with pytest.raises(charts.ChartError, match="incompatible with Kubernetes"):
        charts.template(arguments=["--kube-version=1.28.0"])


def test_a_refused_value_is_really_a_refusal() -> None:
    """The helper of the other tests must not take a broken chart for a refused value."""
    assert "values don't meet the specifications of the schema" in refusal(logLevel="LOUD")
