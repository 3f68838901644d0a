"""The recorder's pod under the operator's defaults and the resource's own template: who wins, and what stays ours."""

from __future__ import annotations

from typing import Any

import pytest

from egress_operator import jobs, names, podtemplate
from egress_operator.api_template import Resources, Template
from egress_operator.settings import Settings
from support.operator_builders import recording

pytestmark = pytest.mark.unit


def template(**fields: Any) -> Template:
    return Template.model_validate(fields)


def pod_template(own: dict[str, Any] | None, default: dict[str, Any] | None = None) -> dict[str, Any]:
    settings = Settings(recorder_template=template(**default) if default else None)
    one = recording(**({"template": own} if own else {}))
    made: dict[str, Any] = jobs.job_manifest(one, settings, part=1)["spec"]["template"]
    return made


EVERYTHING: dict[str, Any] = {
    "labels": {"team": "media"},
    "annotations": {"karpenter.sh/do-not-disrupt": "30m", "note": "x"},
    "nodeSelector": {"disk": "ssd"},
    "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1}]}},
    "tolerations": [{"key": "gpu", "operator": "Exists"}],
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
    ],
    "serviceAccountName": "recorder",
    "priorityClassName": "high",
    "runtimeClassName": "gvisor",
    "imagePullSecrets": [{"name": "registry"}],
    "env": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
    "volumes": [{"name": "ca", "configMap": {"name": "ca"}}],
    "volumeMounts": [{"name": "ca", "mountPath": "/etc/certificates", "readOnly": True}],
}


@pytest.mark.parametrize("side", ["own", "default"])
def test_the_whole_template_reaches_the_pod_as_it_was_written(side: str) -> None:
    made = pod_template(EVERYTHING) if side == "own" else pod_template(None, EVERYTHING)
    pod, container = made["spec"], made["spec"]["containers"][0]

    for field in ("nodeSelector", "affinity", "tolerations", "topologySpreadConstraints", "imagePullSecrets"):
        assert pod[field] == EVERYTHING[field]
    for field in ("serviceAccountName", "priorityClassName", "runtimeClassName"):
        assert pod[field] == EVERYTHING[field]
    assert container["env"][-1] == EVERYTHING["env"][0]
    assert pod["volumes"][-1] == EVERYTHING["volumes"][0]
    assert container["volumeMounts"][-1] == EVERYTHING["volumeMounts"][0]
    assert made["metadata"]["labels"]["team"] == "media"
    assert made["metadata"]["annotations"]["karpenter.sh/do-not-disrupt"] == "30m"
    assert made["metadata"]["annotations"]["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false"
    assert made["metadata"]["annotations"][names.ANNOTATION_NAME] == "alice"


def test_a_template_takes_nothing_away_from_the_recorder() -> None:
    made = pod_template(EVERYTHING)["spec"]
    bare = pod_template(None)["spec"]
    container, own = made["containers"][0], bare["containers"][0]

    assert container["env"][: len(own["env"])] == own["env"]
    assert container["volumeMounts"][: len(own["volumeMounts"])] == own["volumeMounts"]
    assert made["securityContext"] == bare["securityContext"]
    assert container["securityContext"] == own["securityContext"]
    assert made["automountServiceAccountToken"] is False


def test_labels_of_ours_win_over_those_of_the_operators_defaults() -> None:
    made = pod_template(None, {"labels": {"app.kubernetes.io/managed-by": "x", "a": "b"}})

    assert made["metadata"]["labels"]["app.kubernetes.io/managed-by"] == names.MANAGED_BY
    assert made["metadata"]["labels"]["a"] == "b"


def test_the_resources_own_template_wins_key_by_key() -> None:
    made = podtemplate.merged(
        template(
            nodeSelector={"disk": "ssd", "zone": "a"},
            env=[{"name": "A", "value": "1"}, {"name": "B", "value": "1"}],
            volumes=[{"name": "v", "emptyDir": {}}],
            volumeMounts=[{"name": "v", "mountPath": "/v"}],
            imagePullSecrets=[{"name": "one"}],
            tolerations=[{"key": "t1"}],
            topologySpreadConstraints=[
                {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}
            ],
            affinity={"nodeAffinity": {"a": 1}},
            priorityClassName="low",
        ),
        template(
            nodeSelector={"zone": "b"},
            env=[{"name": "B", "value": "2"}],
            volumes=[{"name": "w", "emptyDir": {}}],
            imagePullSecrets=[{"name": "two"}],
            tolerations=[{"key": "t2"}],
            topologySpreadConstraints=[
                {"maxSkew": 2, "topologyKey": "host", "whenUnsatisfiable": "DoNotSchedule"}
            ],
            affinity={"podAffinity": {"b": 2}},
            priorityClassName="high",
        ),
    )

    assert made["nodeSelector"] == {"disk": "ssd", "zone": "b"}
    assert made["env"] == [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]
    assert [volume["name"] for volume in made["volumes"]] == ["v", "w"]
    assert made["volumeMounts"] == [{"name": "v", "mountPath": "/v"}]
    assert made["imagePullSecrets"] == [{"name": "one"}, {"name": "two"}]
    assert [one["key"] for one in made["tolerations"]] == ["t1", "t2"]
    assert [one["maxSkew"] for one in made["topologySpreadConstraints"]] == [2]
    assert made["affinity"] == {"podAffinity": {"b": 2}}
    assert made["priorityClassName"] == "high"


@pytest.mark.parametrize(
    ("spec", "cpu", "memory", "limit"),
    [
        ({}, "2", "384Mi", str(768 * 2**20)),
        ({"preset": "PORTRAIT_H264_720P_30"}, "2", "384Mi", str(768 * 2**20)),
        ({"preset": "PORTRAIT_H264_1080P_30"}, "3", "1Gi", "4Gi"),
        ({"preset": "H264_1080P_30"}, "1200m", "512Mi", str(2**30)),
        ({"advanced": {"width": 640, "height": 360}}, "2", "384Mi", str(768 * 2**20)),
        ({"template": {"resources": {"requests": {"cpu": "5"}}}}, "5", "384Mi", str(768 * 2**20)),
    ],
)
def test_the_operators_table_replaces_the_built_in_one_by_preset(
    spec: dict[str, Any], cpu: str, memory: str, limit: str
) -> None:
    table = {
        "H264_720P_30": Resources.model_validate({"requests": {"cpu": 2}}),
        "PORTRAIT_H264_1080P_30": Resources.model_validate(
            {"requests": {"cpu": 3, "memory": "1Gi"}, "limits": {"memory": "4Gi"}}
        ),
    }
    made = jobs.job_manifest(recording(**spec), Settings(recorder_resources=table), part=1)
    resources = made["spec"]["template"]["spec"]["containers"][0]["resources"]

    assert resources["requests"] == {"cpu": cpu, "memory": memory}
    assert resources["limits"] == {"memory": limit}


def test_the_pull_policy_is_the_operators() -> None:
    made = jobs.job_manifest(recording(), Settings(pull_policy="Always"), part=1)

    assert made["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"] == "Always"


def test_the_hash_of_a_job_tells_another_pod_and_nothing_else() -> None:
    def pod_hash(part: int = 1, image: str = "a:1", **spec: Any) -> str:
        return jobs.pod_hash(jobs.job_manifest(recording(**spec), Settings(recorder_image=image), part=part))

    assert pod_hash() == pod_hash(part=2)
    assert pod_hash() != pod_hash(image="a:2")
    assert pod_hash() != pod_hash(template={"nodeSelector": {"disk": "ssd"}})
