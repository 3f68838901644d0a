"""Owns the objects of the end-to-end cluster as plain documents: pure, nothing is sent anywhere from here.

Every namespace enforces Pod Security *restricted*: operator, livekit-server, publisher and recorder all run under it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

Document = dict[str, Any]

OPERATOR_NAMESPACE: Final = "egress-system"
OPERATOR: Final = "egress-operator"
LIVEKIT_NAMESPACE: Final = "livekit"
LIVEKIT: Final = "livekit"
CONNECTION_SECRET: Final = "livekit-connection"
"""In both namespaces; its keys are the variables LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET."""
CLAIM: Final = "recordings"

_HTTP, _UDP, _TCP, _OPERATOR_PORT = 7880, 7882, 7881, 8081
_USER: Final = 65532
_POD_SECURITY: Final = {
    "runAsNonRoot": True,
    "runAsUser": _USER,
    "runAsGroup": _USER,
    "seccompProfile": {"type": "RuntimeDefault"},
}
_CONTAINER_SECURITY: Final = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
_LIVEKIT_CONFIG: Final = f"""\
port: {_HTTP}
rtc: {{udp_port: {_UDP}, tcp_port: {_TCP}, use_external_ip: false}}
logging: {{level: info, pion_level: error}}
"""


def namespace(name: str) -> Document:
    """Return a namespace under Pod Security restricted."""
    labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def connection_secret(where: str, *, api_key: str, api_secret: str) -> Document:
    """Return the Secret with the LiveKit connection."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": CONNECTION_SECRET, "namespace": where},
        "stringData": {
            "LIVEKIT_URL": f"ws://{LIVEKIT}.{LIVEKIT_NAMESPACE}.svc:{_HTTP}",
            "LIVEKIT_API_KEY": api_key,
            "LIVEKIT_API_SECRET": api_secret,
            # As livekit-server reads it: a YAML map.
            "LIVEKIT_KEYS": f"{api_key}: {api_secret}",
        },
    }


def account(rules: Sequence[Document]) -> list[Document]:
    """Return the operator's ServiceAccount with exactly these rights."""
    group = "rbac.authorization.k8s.io"
    meta = {"name": OPERATOR}
    subject = {"kind": "ServiceAccount", "name": OPERATOR, "namespace": OPERATOR_NAMESPACE}
    role = {"apiGroup": group, "kind": "ClusterRole", "name": OPERATOR}
    return [
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {**meta, "namespace": OPERATOR_NAMESPACE},
        },
        {"apiVersion": f"{group}/v1", "kind": "ClusterRole", "metadata": meta, "rules": list(rules)},
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": meta,
            "subjects": [subject],
            "roleRef": role,
        },
    ]


def _deployment(name: str, where: str, pod: Document, *, image_id: str) -> Document:
    labels = {"app.kubernetes.io/name": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": where, "labels": labels},
        "spec": {
            "replicas": 1,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": labels},
            # A new image under the old tag must bring a new pod.
            "template": {
                "metadata": {"labels": labels, "annotations": {"e2e/image-id": image_id}},
                "spec": {"enableServiceLinks": False, "securityContext": _POD_SECURITY, **pod},
            },
        },
    }


def _http_probe(path: str, port: int, **changes: int) -> Document:
    return {"httpGet": {"path": path, "port": port}, "periodSeconds": 1, "timeoutSeconds": 2, **changes}


def operator(image: str, image_id: str, recorder_image: str) -> Document:
    """Return the operator's Deployment."""
    container = {
        "name": "operator",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "env": [{"name": "EGRESS_RECORDER_IMAGE", "value": recorder_image}],
        "envFrom": [{"secretRef": {"name": CONNECTION_SECRET}}],
        "ports": [{"name": "http", "containerPort": _OPERATOR_PORT}],
        "readinessProbe": _http_probe("/healthz", _OPERATOR_PORT),
        "livenessProbe": _http_probe("/healthz", _OPERATOR_PORT, periodSeconds=10, initialDelaySeconds=10),
        "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
        "securityContext": _CONTAINER_SECURITY,
    }
    pod = {
        "serviceAccountName": OPERATOR,
        "terminationGracePeriodSeconds": 30,
        "containers": [container],
    }
    return _deployment(OPERATOR, OPERATOR_NAMESPACE, pod, image_id=image_id)


def livekit(image: str, image_id: str) -> list[Document]:
    """Return livekit-server and its Service; media goes to the pod's own address."""
    container = {
        "name": "livekit",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "env": [
            {"name": "NODE_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "LIVEKIT_CONFIG", "value": _LIVEKIT_CONFIG},
            {
                "name": "LIVEKIT_KEYS",
                "valueFrom": {"secretKeyRef": {"name": CONNECTION_SECRET, "key": "LIVEKIT_KEYS"}},
            },
        ],
        "ports": [
            {"name": "http", "containerPort": _HTTP},
            {"name": "rtc-udp", "containerPort": _UDP, "protocol": "UDP"},
            {"name": "rtc-tcp", "containerPort": _TCP},
        ],
        "readinessProbe": _http_probe("/", _HTTP),
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
        "securityContext": _CONTAINER_SECURITY,
    }
    pod = {
        "automountServiceAccountToken": False,
        # A regular end waits for the participants to leave.
        "terminationGracePeriodSeconds": 1,
        "containers": [container],
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": LIVEKIT, "namespace": LIVEKIT_NAMESPACE},
        "spec": {
            "selector": {"app.kubernetes.io/name": LIVEKIT},
            "ports": [{"name": "http", "port": _HTTP, "targetPort": "http"}],
        },
    }
    return [_deployment(LIVEKIT, LIVEKIT_NAMESPACE, pod, image_id=image_id), service]


def publisher(name: str, image: str, *, room: str, identity: str, arguments: Sequence[str] = ()) -> Document:
    """Return a pod that publishes the test pattern until it is deleted."""
    container = {
        "name": "publisher",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": ["--room", room, "--identity", identity, *arguments],
        # The publisher leaves when its standard input ends.
        "stdin": True,
        "env": [{"name": "HOME", "value": "/tmp"}],
        "envFrom": [{"secretRef": {"name": CONNECTION_SECRET}}],
        "resources": {"requests": {"cpu": "200m", "memory": "128Mi"}},
        "securityContext": _CONTAINER_SECURITY,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": LIVEKIT_NAMESPACE},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 5,
            "securityContext": _POD_SECURITY,
            "containers": [container],
        },
    }


def claim(where: str, *, node: str, path: str) -> list[Document]:
    """Return a claim `recordings` and its volume: a directory of the node.

    A *local* volume: the kubelet gives it the pod's fsGroup, as it does with a cloud's disk. (The host-path
    provisioner of a node image without kind's own leaves root's directory, which no restricted pod may write.)
    """
    size = "2Gi"
    volume = f"{where}-{CLAIM}"
    term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}
    return [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": volume},
            "spec": {
                "capacity": {"storage": size},
                "accessModes": ["ReadWriteOnce"],
                "persistentVolumeReclaimPolicy": "Retain",
                "storageClassName": "",
                "claimRef": {"namespace": where, "name": CLAIM},
                "local": {"path": path},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [term]}},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": CLAIM, "namespace": where},
            "spec": {
                "storageClassName": "",
                "volumeName": volume,
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": size}},
            },
        },
    ]


def recording(kind: str, name: str, where: str, spec: Mapping[str, Any]) -> Document:
    """Return a custom resource that records into the claim."""
    outputs = [{"filepath": "{room_name}/{publisher_identity}-{time}", "pvc": {"claimName": CLAIM}}]
    if kind == "TrackCompositeEgress":
        outputs[0]["filepath"] = "{room_name}/tracks-{time}"
    return {
        "apiVersion": "egress.livekit.io/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": where},
        "spec": {"fileOutputs": outputs, **spec},
    }
