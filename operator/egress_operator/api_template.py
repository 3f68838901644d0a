"""Owns `template`: what a user may change of the recorder's pod, with the rules that keep it ours. Pure.

Shapes and names are the pod's own. Where the pod's schema is huge (affinity, selectors, csi) the inside is left to the
API server, which refuses a bad one when the Job is created: condition `Refused`, with its words.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from egress_operator.api_volumes import EnvironmentVariable, Free, LocalReference, Volume, VolumeMount
from egress_operator.names import GROUP
from egress_operator.schema import ApiModel, dns_name, rule

Quantities = Annotated[dict[str, int | str], Field(max_length=8)]
_QUANTITIES_RULE: dict[str, Any] = {
    "x-kubernetes-validations": [
        rule(
            "self.all(k, type(self[k]) == int ? self[k] >= 0 :"
            " (isQuantity(self[k]) && !quantity(self[k]).isLessThan(quantity('0'))))",
            'template.resources must hold quantities of 0 or more: write for example cpu: "1200m" or memory: "512Mi"',
        )
    ]
}


def _keyed(*keys: str) -> dict[str, Any]:
    """Return the extension of a list whose entries are told apart by a key: each once, merged by it."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}


class Resources(ApiModel):
    """Requests and limits of the recorder's container; a name given here replaces that of the preset's table."""

    requests: Quantities | None = Field(
        default=None, description="Requests.", json_schema_extra=_QUANTITIES_RULE
    )
    limits: Quantities | None = Field(default=None, description="Limits.", json_schema_extra=_QUANTITIES_RULE)


class Toleration(ApiModel):
    """As in a pod."""

    key: str | None = Field(default=None, max_length=316)
    operator: Literal["Exists", "Equal"] | None = None
    value: str | None = Field(default=None, max_length=63)
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    toleration_seconds: int | None = Field(default=None, ge=0, le=2**31)


class Affinity(ApiModel):
    """As in a pod."""

    node_affinity: Free | None = None
    pod_affinity: Free | None = None
    pod_anti_affinity: Free | None = None


class SpreadConstraint(ApiModel):
    """As in a pod; `matchLabelKeys: [egress.livekit.io/kind]` and a labelSelector of the own labels are usual."""

    max_skew: int = Field(ge=1, le=1000)
    topology_key: str = Field(min_length=1, max_length=316)
    when_unsatisfiable: Literal["DoNotSchedule", "ScheduleAnyway"]
    label_selector: Free | None = None
    min_domains: int | None = Field(default=None, ge=1, le=1000)
    node_affinity_policy: Literal["Honor", "Ignore"] | None = None
    node_taints_policy: Literal["Honor", "Ignore"] | None = None
    match_label_keys: Annotated[list[Annotated[str, Field(max_length=316)]], Field(max_length=8)] | None = (
        None
    )


_OWN_KEY = f"k.startsWith('{GROUP}/')"
_LABELS_RULE = rule(
    f"self.all(k, !({_OWN_KEY} || k.startsWith('batch.kubernetes.io/')"
    " || k in ['app.kubernetes.io/managed-by', 'controller-uid', 'job-name']))",
    f"template.labels must not set {GROUP}/…, batch.kubernetes.io/…, app.kubernetes.io/managed-by,"
    " controller-uid or job-name: the operator finds its pods by them",
)
_ANNOTATIONS_RULE = rule(
    f"self.all(k, !{_OWN_KEY})",
    f"template.annotations must not set {GROUP}/…: the operator finds its pods by them",
)


class Template(ApiModel):
    """Overrides of the recorder's pod; applies to the next part."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                rule(
                    "!has(self.volumeMounts) || self.volumeMounts.all(m,"
                    " has(self.volumes) && self.volumes.exists(v, v.name == m.name))",
                    "template.volumeMounts must name entries of template.volumes: add the volume or correct the name",
                )
            ]
        }
    )

    labels: Annotated[dict[str, Annotated[str, Field(max_length=63)]], Field(max_length=32)] | None = Field(
        default=None,
        description="Labels of the pod.",
        json_schema_extra={"x-kubernetes-validations": [_LABELS_RULE]},
    )
    annotations: Annotated[dict[str, Annotated[str, Field(max_length=4096)]], Field(max_length=32)] | None = (
        Field(
            default=None,
            description="Annotations of the pod; those that keep autoscalers away may be set to something else.",
            json_schema_extra={"x-kubernetes-validations": [_ANNOTATIONS_RULE]},
        )
    )
    resources: Resources | None = None
    scratch_size: int | str | None = Field(
        default=None,
        description="Size of the scratch volume, which holds each file until it is uploaded, as a quantity; absent: 10Gi.",
        json_schema_extra={
            "x-kubernetes-validations": [
                rule(
                    "type(self) == int ? self > 0 :"
                    " (isQuantity(self) && quantity(self).isGreaterThan(quantity('0')))",
                    'template.scratchSize must be a quantity greater than 0: write for example "20Gi"',
                )
            ]
        },
    )
    node_selector: Annotated[dict[str, Annotated[str, Field(max_length=63)]], Field(max_length=32)] | None = (
        None
    )
    affinity: Affinity | None = None
    tolerations: Annotated[list[Toleration], Field(max_length=32)] | None = None
    topology_spread_constraints: Annotated[list[SpreadConstraint], Field(max_length=8)] | None = None
    service_account_name: str | None = Field(
        default=None,
        min_length=1,
        max_length=253,
        description="Service account of the pod (workload identity); its token is not mounted.",
        json_schema_extra=dns_name("template.serviceAccountName"),
    )
    priority_class_name: str | None = Field(
        default=None,
        min_length=1,
        max_length=253,
        json_schema_extra=dns_name("template.priorityClassName"),
    )
    runtime_class_name: str | None = Field(
        default=None,
        min_length=1,
        max_length=253,
        json_schema_extra=dns_name("template.runtimeClassName"),
    )
    image_pull_secrets: Annotated[list[LocalReference], Field(max_length=16)] | None = Field(
        default=None,
        description="Beside those of the operator's defaults.",
        json_schema_extra=_keyed("name"),
    )
    env: Annotated[list[EnvironmentVariable], Field(max_length=64)] | None = Field(
        default=None, description="Further variables of the recorder.", json_schema_extra=_keyed("name")
    )
    volumes: Annotated[list[Volume], Field(max_length=16)] | None = Field(
        default=None, description="Further volumes; no hostPath.", json_schema_extra=_keyed("name")
    )
    volume_mounts: Annotated[list[VolumeMount], Field(max_length=32)] | None = Field(
        default=None, description="Where they are mounted.", json_schema_extra=_keyed("mountPath")
    )
