"""Owns the further environment and volumes of a recorder's pod, with the rules that keep ours ours. Pure.

Shapes and names are the pod's own; the volumes are the kinds that Pod Security *restricted* allows.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from egress_operator.schema import ApiModel, rule

OWN_ENVIRONMENT = ("POD_IP", "HOME", "TMPDIR")
OWN_VOLUMES = ("recording", "scratch", "tmp")
OWN_VOLUME_PREFIXES = ("credentials-", "volume-")
OWN_PATHS = ("/etc/egress", "/mnt/egress", "/scratch", "/tmp", "/dev", "/proc", "/sys")  # noqa: S108 - mounts

_FREE = {"x-kubernetes-preserve-unknown-fields": True}
Free = Annotated[dict[str, Any], Field(max_length=16, json_schema_extra=_FREE)]
"""An object whose inside the API server checks when the Job is created."""

ObjectName = Annotated[str, Field(min_length=1, max_length=253)]
FileMode = Annotated[int, Field(ge=0, le=0o777)]


class LocalReference(ApiModel):
    """Names an object of the resource's own namespace."""

    name: ObjectName


class KeySelector(ApiModel):
    """One key of a Secret or ConfigMap of the resource's own namespace."""

    name: ObjectName
    key: str = Field(min_length=1, max_length=253)
    optional: bool | None = None


class FieldSelector(ApiModel):
    """A field of the pod itself."""

    field_path: str = Field(min_length=1, max_length=317, description="For example spec.nodeName.")


class EnvironmentSource(ApiModel):
    """Where a value comes from; exactly one."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                rule(
                    "[has(self.secretKeyRef), has(self.configMapKeyRef), has(self.fieldRef)].filter(x, x).size() == 1",
                    "template.env.valueFrom needs exactly one of secretKeyRef, configMapKeyRef and fieldRef",
                )
            ]
        }
    )

    secret_key_ref: KeySelector | None = None
    config_map_key_ref: KeySelector | None = None
    field_ref: FieldSelector | None = None


class EnvironmentVariable(ApiModel):
    """As in a container; secrets by secretKeyRef."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                rule(
                    f"!(self.name in {list(OWN_ENVIRONMENT)})",
                    f"template.env must not set {', '.join(OWN_ENVIRONMENT)}: the recorder needs its own",
                ),
                rule(
                    "!(has(self.value) && has(self.valueFrom))",
                    "template.env takes either value or valueFrom: remove one of them",
                ),
            ]
        }
    )

    name: str = Field(min_length=1, max_length=253)
    value: str | None = Field(default=None, max_length=4096)
    value_from: EnvironmentSource | None = None


class KeyPath(ApiModel):
    """One key as a file."""

    key: str = Field(min_length=1, max_length=253)
    path: str = Field(min_length=1, max_length=512)
    mode: FileMode | None = None


class ConfigMapVolume(ApiModel):
    """Files of a ConfigMap."""

    name: ObjectName
    items: Annotated[list[KeyPath], Field(max_length=64)] | None = None
    default_mode: FileMode | None = None
    optional: bool | None = None


class SecretVolume(ApiModel):
    """Files of a Secret."""

    secret_name: ObjectName
    items: Annotated[list[KeyPath], Field(max_length=64)] | None = None
    default_mode: FileMode | None = None
    optional: bool | None = None


class EmptyDirectory(ApiModel):
    """Scratch space."""

    medium: Literal["", "Memory"] | None = None
    size_limit: int | str | None = Field(default=None, description="Quantity, for example 1Gi.")


class ClaimVolume(ApiModel):
    """A PersistentVolumeClaim of the resource's own namespace."""

    claim_name: ObjectName
    read_only: bool | None = None


_SOURCES = ("configMap", "secret", "emptyDir", "persistentVolumeClaim", "projected", "csi")
_OURS = " || ".join(
    [
        f"self.name in {list(OWN_VOLUMES)}",
        *(f"self.name.startsWith('{prefix}')" for prefix in OWN_VOLUME_PREFIXES),
    ]
)


class Volume(ApiModel):
    """As in a pod, the kinds that Pod Security *restricted* allows."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                rule(
                    f"!({_OURS})",
                    f"template.volumes must not be named {', '.join(OWN_VOLUMES)} or begin with"
                    f" {' or '.join(OWN_VOLUME_PREFIXES)}: these are the recorder's own; choose another name",
                ),
                rule(
                    f"[{', '.join(f'has(self.{source})' for source in _SOURCES)}].filter(x, x).size() == 1",
                    f"each entry of template.volumes needs exactly one of {', '.join(_SOURCES)}",
                ),
            ]
        }
    )

    name: str = Field(min_length=1, max_length=63)
    config_map: ConfigMapVolume | None = None
    secret: SecretVolume | None = None
    empty_dir: EmptyDirectory | None = None
    persistent_volume_claim: ClaimVolume | None = None
    projected: Free | None = None
    csi: Free | None = None


_PATHS = " && ".join(
    f"!self.mountPath.startsWith('{path}/') && !'{path}/'.startsWith(self.mountPath + '/')"
    for path in OWN_PATHS
)


class VolumeMount(ApiModel):
    """As in a container."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                rule(
                    "self.mountPath.matches('^(/[A-Za-z0-9._-]+)+$') && !self.mountPath.contains('..')",
                    "template.volumeMounts.mountPath must be an absolute path without a slash at its end:"
                    " write for example /etc/certificates",
                ),
                rule(
                    _PATHS,
                    f"template.volumeMounts.mountPath must lie apart from {', '.join(OWN_PATHS)},"
                    " which the recorder needs: choose another path",
                ),
            ]
        }
    )

    name: str = Field(min_length=1, max_length=63, description="Of an entry of template.volumes.")
    mount_path: str = Field(min_length=1, max_length=255)
    sub_path: str | None = Field(default=None, max_length=255)
    read_only: bool | None = None
