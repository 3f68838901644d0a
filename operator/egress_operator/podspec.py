"""Owns the recorder's pod: command, mounts, probes, resources by preset, Pod Security *restricted*. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from egress_operator.api import Spec
from egress_operator.api_parts import FileOutput
from egress_operator.facts import encoding_of
from egress_operator.model import Document
from egress_operator.settings import Settings
from egress_operator.units import exact_quantity, parse_quantity
from egress_recorder.contract import CONTROL_PORT, Encoding

CONFIG_DIRECTORY: Final = "/etc/egress/recording"
CREDENTIALS_ROOT: Final = "/etc/egress/credentials"
VOLUMES_ROOT: Final = "/mnt/egress"
SCRATCH: Final = "/scratch"
TERMINATION_LOG: Final = "/dev/termination-log"
SCRATCH_SIZE: Final = "10Gi"
USER: Final = 65532
"""`nonroot` of the usual base images."""

ARGUMENTS: Final = (
    "run",
    "--config-dir",
    CONFIG_DIRECTORY,
    "--credentials-root",
    CREDENTIALS_ROOT,
    "--volumes-root",
    VOLUMES_ROOT,
    "--scratch",
    SCRATCH,
    "--termination-log",
    TERMINATION_LOG,
    "--bind",
    f"$(POD_IP):{CONTROL_PORT}",
)

_REQUESTS: Final = (
    # pixels per second up to, CPU, memory
    (1280 * 720 * 30, "600m", "384Mi"),
    (1280 * 720 * 60, "1100m", "512Mi"),
    (1920 * 1080 * 30, "1200m", "512Mi"),
    (1920 * 1080 * 60, "2200m", "768Mi"),
)
"""Of the presets; `advanced` takes the first row that holds its pixel rate, the last one beyond."""


def credential_secrets(outputs: Sequence[FileOutput]) -> list[str]:
    """Return the storage Secrets, each once; the index is the directory's name below the credentials root."""
    named = [
        output.s3.credentials_secret_ref.name
        for output in outputs
        if output.s3 and output.s3.credentials_secret_ref
    ]
    return list(dict.fromkeys(named))


def claims(outputs: Sequence[FileOutput]) -> list[str]:
    """Return the claims, each once; the index is the directory's name below the volumes root."""
    return list(dict.fromkeys(output.pvc.claim_name for output in outputs if output.pvc))


def pod_spec(spec: Spec, settings: Settings, *, secret: str) -> Document:
    """Return the pod's spec for one part."""
    volumes, mounts = _volumes(spec.file_outputs, secret)
    template = spec.template
    pod: Document = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": settings.termination_grace_seconds,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(spec, settings, mounts)],
        "volumes": volumes,
    }
    if template is not None:
        if template.node_selector:
            pod["nodeSelector"] = dict(template.node_selector)
        if template.tolerations:
            pod["tolerations"] = [
                toleration.model_dump(by_alias=True, exclude_none=True) for toleration in template.tolerations
            ]
        if template.service_account_name:
            pod["serviceAccountName"] = template.service_account_name
    return pod


def _container(spec: Spec, settings: Settings, mounts: list[Document]) -> Document:
    return {
        "name": "recorder",
        "image": settings.recorder_image,
        "imagePullPolicy": "IfNotPresent",
        "command": list(settings.recorder_command),
        "args": list(ARGUMENTS),
        "env": [
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "HOME", "value": "/tmp"},  # noqa: S108 - a mounted emptyDir
            {"name": "TMPDIR", "value": "/tmp"},  # noqa: S108
        ],
        "ports": [{"name": "control", "containerPort": CONTROL_PORT}],
        "readinessProbe": _probe("/readyz", period=1, failures=3),
        "livenessProbe": _probe("/livez", period=10, failures=6) | {"initialDelaySeconds": 15},
        "resources": _resources(spec),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePath": TERMINATION_LOG,
        "terminationMessagePolicy": "File",
        "volumeMounts": mounts,
    }


def _probe(path: str, *, period: int, failures: int) -> Document:
    return {
        "httpGet": {"path": path, "port": CONTROL_PORT},
        "periodSeconds": period,
        "timeoutSeconds": 2,
        "failureThreshold": failures,
    }


def _volumes(outputs: Sequence[FileOutput], secret: str) -> tuple[list[Document], list[Document]]:
    # Mode 0440 and fsGroup: root owns the files, the recorder's group reads them.
    volumes: list[Document] = [
        {"name": "recording", "secret": {"secretName": secret, "defaultMode": 0o440}},
        {"name": "scratch", "emptyDir": {"sizeLimit": SCRATCH_SIZE}},
        {"name": "tmp", "emptyDir": {"sizeLimit": "256Mi"}},
    ]
    mounts: list[Document] = [
        {"name": "recording", "mountPath": CONFIG_DIRECTORY, "readOnly": True},
        {"name": "scratch", "mountPath": SCRATCH},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - a mounted emptyDir
    ]
    for index, name in enumerate(credential_secrets(outputs)):
        volumes.append({"name": f"credentials-{index}", "secret": {"secretName": name, "defaultMode": 0o440}})
        mounts.append(
            {"name": f"credentials-{index}", "mountPath": f"{CREDENTIALS_ROOT}/{index}", "readOnly": True}
        )
    for index, name in enumerate(claims(outputs)):
        volumes.append({"name": f"volume-{index}", "persistentVolumeClaim": {"claimName": name}})
        mounts.append({"name": f"volume-{index}", "mountPath": f"{VOLUMES_ROOT}/{index}"})
    return volumes, mounts


def _resources(spec: Spec) -> Document:
    cpu, memory = _requests(encoding_of(spec))
    asked = spec.template.resources if spec.template else None
    requests: dict[str, int | str] = {"cpu": cpu, "memory": memory, **((asked and asked.requests) or {})}
    # Memory alone is limited: a throttled encoder drops frames, a leaking one must not take the node.
    limits: dict[str, int | str] = {
        "memory": 2 * parse_quantity(requests["memory"]),
        **((asked and asked.limits) or {}),
    }
    for name in requests.keys() & limits.keys():
        # A limit given alone must not be refused because the table asks for more.
        if exact_quantity(requests[name]) > exact_quantity(limits[name]):
            requests[name] = limits[name]
    return {
        "requests": {name: str(value) for name, value in requests.items()},
        "limits": {name: str(value) for name, value in limits.items()},
    }


def _requests(encoding: Encoding) -> tuple[str, str]:
    rate = encoding.width * encoding.height * encoding.framerate
    return next(((cpu, memory) for pixels, cpu, memory in _REQUESTS if rate <= pixels), _REQUESTS[-1][1:])
