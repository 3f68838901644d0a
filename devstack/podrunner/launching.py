"""Owns the way from a container's spec to its process: references resolved, paths of mounts moved below the pod's root."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from devstack.kubeapi import Object
from devstack.podrunner.container import ContainerProcess
from devstack.podrunner.environment import Lookup, PodPaths, command_line, resolve_environment

ENTRYPOINT = ("egress-recorder",)
"""Of an image whose container has no command: the only image that the devstack knows is the recorder's."""


def launch(
    pod: Object,
    mounts: Sequence[str],
    *,
    lookup: Lookup,
    root: Path,
    directory: Path,
    log: Path,
    ended: Callable[[], None],
) -> ContainerProcess:
    """Start the pod's container. Raises ContainerConfigError (try again) and ContainerStartError (it has failed)."""
    spec = pod["spec"]["containers"][0]
    messages = message_file(spec, root)
    messages.parent.mkdir(parents=True, exist_ok=True)
    messages.touch()
    paths = PodPaths(root, [*mounts, _message_path(spec)])
    environment = resolve_environment(spec, pod, lookup)
    environment.setdefault("HOSTNAME", pod["metadata"]["name"])
    command = command_line(spec, environment, ENTRYPOINT)
    working = spec.get("workingDir")
    return ContainerProcess(
        # The program itself is the host's, even where the pod mounts something over its directory.
        [command[0], *map(paths.rewrite, command[1:])],
        directory=directory,
        log=log,
        environment={name: paths.rewrite(value) for name, value in environment.items()},
        working_directory=Path(paths.rewrite(working)) if working else None,
        ended=ended,
    )


def message_file(container: Object, root: Path) -> Path:
    """Return the file that stands for the container's ``terminationMessagePath``."""
    return root / _message_path(container).lstrip("/")


def _message_path(container: Object) -> str:
    return str(container.get("terminationMessagePath", "/dev/termination-log"))
