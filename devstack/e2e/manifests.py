"""Owns the objects of the end-to-end cluster as plain documents: pure, nothing is sent anywhere from here.

Every namespace enforces Pod Security *restricted*: operator, livekit-server, S3 server, publisher and recorder all
run under it. All but operator and recorders run on the control plane: a test may drain or restart any worker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

Document = dict[str, Any]

OPERATOR_NAMESPACE: Final = "egress-system"
OPERATOR: Final = "livekit-egress-operator"
"""The Helm release, which is also the Deployment's name."""
OPERATOR_SELECTOR: Final = f"app.kubernetes.io/instance={OPERATOR}"
LIVEKIT_NAMESPACE: Final = "livekit"
LIVEKIT: Final = "livekit"
LIVEKIT_URL: Final = f"ws://{LIVEKIT}.{LIVEKIT_NAMESPACE}.svc:7880"
CONNECTION_SECRET: Final = "livekit"
"""In the operator's namespace: the keys `api-key` and `api-secret`."""
SERVER_SECRET: Final = "livekit-server"
"""In livekit-server's namespace: the variables LIVEKIT_URL, LIVEKIT_API_KEY, LIVEKIT_API_SECRET and LIVEKIT_KEYS."""
CLAIM: Final = "recordings"

_HTTP, _UDP, _TCP = 7880, 7882, 7881
_LIVEKIT_NODE_PORT: Final = 30880
_USER: Final = 65532
_POD_SECURITY: Final = {
    "runAsNonRoot": True,
    "runAsUser": _USER,
    "runAsGroup": _USER,
    "fsGroup": _USER,
    "seccompProfile": {"type": "RuntimeDefault"},
}
CONTAINER_SECURITY: Final = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
_CONTROL_PLANE: Final = "node-role.kubernetes.io/control-plane"
ON_CONTROL_PLANE: Final[Mapping[str, Any]] = {
    "nodeSelector": {_CONTROL_PLANE: ""},
    "tolerations": [{"key": _CONTROL_PLANE, "operator": "Exists", "effect": "NoSchedule"}],
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


def connection_secrets(*, api_key: str, api_secret: str) -> list[Document]:
    """Return the Secrets with the LiveKit connection: the operator's, and livekit-server's with the publishers'."""
    server = {
        "LIVEKIT_URL": LIVEKIT_URL,
        "LIVEKIT_API_KEY": api_key,
        "LIVEKIT_API_SECRET": api_secret,
        # As livekit-server reads it: a YAML map.
        "LIVEKIT_KEYS": f"{api_key}: {api_secret}",
    }
    return [
        _secret(CONNECTION_SECRET, OPERATOR_NAMESPACE, {"api-key": api_key, "api-secret": api_secret}),
        _secret(SERVER_SECRET, LIVEKIT_NAMESPACE, server),
    ]


def _secret(name: str, where: str, content: Mapping[str, str]) -> Document:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": where},
        "stringData": dict(content),
    }


def deployment(name: str, where: str, pod: Mapping[str, Any], *, image_id: str) -> Document:
    """Return a Deployment of one pod that is replaced, never doubled."""
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


def node_port_service(name: str, where: str, *, port: int, node_port: int) -> Document:
    """Return a Service that this machine reaches through the control plane's mapped port."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": where},
        "spec": {
            "type": "NodePort",
            "selector": {"app.kubernetes.io/name": name},
            "ports": [{"name": "http", "port": port, "targetPort": "http", "nodePort": node_port}],
        },
    }


def http_probe(path: str, port: int, **changes: int) -> Document:
    """Return a probe of every second."""
    return {"httpGet": {"path": path, "port": port}, "periodSeconds": 1, "timeoutSeconds": 2, **changes}


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
                "valueFrom": {"secretKeyRef": {"name": SERVER_SECRET, "key": "LIVEKIT_KEYS"}},
            },
        ],
        "ports": [
            {"name": "http", "containerPort": _HTTP},
            {"name": "rtc-udp", "containerPort": _UDP, "protocol": "UDP"},
            {"name": "rtc-tcp", "containerPort": _TCP},
        ],
        "readinessProbe": http_probe("/", _HTTP),
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
        "securityContext": CONTAINER_SECURITY,
    }
    pod = {
        **ON_CONTROL_PLANE,
        "automountServiceAccountToken": False,
        # A regular end waits for the participants to leave.
        "terminationGracePeriodSeconds": 1,
        "containers": [container],
    }
    service = node_port_service(LIVEKIT, LIVEKIT_NAMESPACE, port=_HTTP, node_port=_LIVEKIT_NODE_PORT)
    return [deployment(LIVEKIT, LIVEKIT_NAMESPACE, pod, image_id=image_id), service]


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
        "envFrom": [{"secretRef": {"name": SERVER_SECRET}}],
        "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}},
        "securityContext": CONTAINER_SECURITY,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": LIVEKIT_NAMESPACE, "labels": {"e2e/room": room}},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 2,
            "securityContext": _POD_SECURITY,
            **ON_CONTROL_PLANE,
            "containers": [container],
        },
    }


def claim(where: str, *, node: str, path: str, name: str = CLAIM) -> list[Document]:
    """Return a claim and its volume: a directory of the node.

    A *local* volume: the kubelet gives it the pod's fsGroup, as it does with a cloud's disk. (The host-path
    provisioner of a node image without kind's own leaves root's directory, which no restricted pod may write.)
    """
    size = "2Gi"
    volume = f"{where}-{name}"
    term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}
    shared = {"storageClassName": "", "accessModes": ["ReadWriteOnce"]}
    return [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": volume, "labels": {"e2e/namespace": where}},
            "spec": {
                **shared,
                "capacity": {"storage": size},
                "persistentVolumeReclaimPolicy": "Retain",
                "claimRef": {"namespace": where, "name": name},
                "local": {"path": path},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [term]}},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": name, "namespace": where},
            "spec": {**shared, "volumeName": volume, "resources": {"requests": {"storage": size}}},
        },
    ]


def recording(kind: str, name: str, where: str, spec: Mapping[str, Any]) -> Document:
    """Return a custom resource; `spec` is the whole of it."""
    return {
        "apiVersion": "egress.livekit.io/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": where},
        "spec": dict(spec),
    }
