"""Owns the repository of the GitOps tests: the project's examples as Flux or Argo CD would apply them."""

from __future__ import annotations

import copy
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from devstack.kubeapi import APPLY
from egress_operator import names
from support.gitops_tools import ROOT
from support.operator_scene import OperatorScene, Shown

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Tool:
    """How a GitOps tool applies: its field manager, and the marks it leaves on what it applies."""

    name: str
    manager: str

    def marks(self, document: Document, namespace: str) -> dict[str, dict[str, str]]:
        """Return the labels and annotations which say to which application an object belongs."""
        if self.name == "flux":
            group = "kustomize.toolkit.fluxcd.io"
            return {"labels": {f"{group}/name": "recordings", f"{group}/namespace": "flux-system"}}
        path = f"{names.GROUP}/{document['kind']}:{namespace}/{document['metadata']['name']}"
        return {"annotations": {"argocd.argoproj.io/tracking-id": f"recordings:{path}"}}

    def marked(self, document: Document, namespace: str) -> Document:
        """Return the manifest with the marks of the tool."""
        marked = copy.deepcopy(document)
        metadata = marked["metadata"]
        metadata["namespace"] = namespace
        for field, marks in self.marks(document, namespace).items():
            metadata[field] = {**metadata.get(field, {}), **marks}
        return marked


FLUX = Tool("flux", "kustomize-controller")
ARGO = Tool("argo", "argocd-controller")


def examples(scene: OperatorScene) -> list[Document]:
    """Return the project's examples; only the room and the other LiveKit server become those of the scene.

    Secrets that stand beside them are put into the namespace: no repository of anybody's holds them.
    """
    everything: list[Document] = [
        document
        for path in sorted((ROOT / "examples").glob("*-egress*.yaml"))
        for document in yaml.safe_load_all(path.read_text())
    ]
    for document in everything:
        if document["kind"] == "Secret":
            scene.stack.api.apply("secrets", scene.namespace, document)
    documents = [document for document in everything if document["kind"] != "Secret"]
    for document in documents:
        spec = document["spec"]
        spec["roomName"] = scene.room
        if "livekit" in spec:
            spec["livekit"]["url"] = scene.stack.livekit.url
    return documents


def is_queued(document: Document) -> bool:
    """True for an example whose Job waits for a queue that does not exist here."""
    return names.LABEL_QUEUE in document["metadata"].get("labels", {})


def shown(scene: OperatorScene, document: Document) -> Shown:
    """Return the handle of an applied manifest."""
    return Shown(scene.stack.api, document["kind"], scene.namespace, document["metadata"]["name"])


def apply(scene: OperatorScene, tool: Tool, document: Document, *, dry_run: bool = False) -> Document:
    """Apply on the server's side, strictly and with force, as both tools do; return the object."""
    query = {"fieldManager": tool.manager, "force": "true", "fieldValidation": "Strict"}
    if dry_run:
        query["dryRun"] = "All"
    return scene.stack.api.request(
        "PATCH", shown(scene, document).path, document, content_type=APPLY, query=query
    )


def kubectl(scene: OperatorScene, *arguments: str, stdin: str) -> subprocess.CompletedProcess[str]:
    """Run the real kubectl as the cluster's administrator."""
    command = [
        str(scene.stack.tools / "kubectl"),
        "--kubeconfig",
        str(scene.stack.plane.kubeconfig),
        *arguments,
    ]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=60)


def kustomize(kubectl_binary: Path, directory: Path) -> list[Document]:
    """Return what `kubectl kustomize` makes of a directory."""
    done = subprocess.run(
        [str(kubectl_binary), "kustomize", str(directory)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))
