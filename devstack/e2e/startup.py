"""Owns the figures of the images: size, and the time to start under a pod's conditions (read-only root, no rights).

`python -m devstack.e2e.startup` prints them; `make images` ends with it. The operator is started against an API server
that never answers, because its health endpoint must not wait for one; the recorder answers `--help`, and its capture
process, which nobody waits for at the command line, imports its libraries.
"""

from __future__ import annotations

import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from devstack.e2e import images, machine
from devstack.e2e.shell import E2EError
from devstack.process import LOOPBACK, free_port

RESTRICTED = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--tmpfs", "/tmp")
"""What Pod Security `restricted` and our pods' own settings come to for docker."""
RUNS = 5
_LIMIT = 30.0
_IMPORT_MEDIA = (
    "import time; start = time.perf_counter(); import egress_recorder.session, egress_recorder.sources.livekit;"
    " print(time.perf_counter() - start)"
)


def operator_seconds(image: str) -> float:
    """Return the seconds from `docker run` to the first good answer of `/healthz`. Raises E2EError."""
    with socket.create_server((LOOPBACK, 0)) as silent, tempfile.TemporaryDirectory() as directory:
        kubeconfig = Path(directory) / "kubeconfig"
        kubeconfig.write_text(_kubeconfig(f"http://{LOOPBACK}:{silent.getsockname()[1]}"))
        Path(directory).chmod(0o755)
        port = free_port()
        settings = {
            "KUBECONFIG": "/kubeconfig",
            "EGRESS_OPERATOR_BIND": LOOPBACK,
            "EGRESS_OPERATOR_PORT": str(port),
        }
        environment = [word for name, value in settings.items() for word in ("--env", f"{name}={value}")]
        started = time.monotonic()
        container = machine.docker(
            *("run", "--detach", "--network", "host", "--volume", f"{kubeconfig}:/kubeconfig:ro"),
            *RESTRICTED,
            *environment,
            image,
        ).strip()
        try:
            while not _answers(f"http://{LOOPBACK}:{port}/healthz"):
                if time.monotonic() - started > _LIMIT:
                    said = machine.docker("logs", container)
                    raise E2EError(f"{image} did not answer /healthz within {_LIMIT:.0f} s: {said}")
                time.sleep(0.01)
            return time.monotonic() - started
        finally:
            machine.docker("rm", "--force", container)


def _kubeconfig(server: str) -> str:
    name = "startup"
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": name,
            "clusters": [{"name": name, "cluster": {"server": server}}],
            "users": [{"name": name, "user": {}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        }
    )


def _answers(url: str) -> bool:
    # No proxy of the environment may stand between us and loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=1) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def recorder_seconds(image: str) -> float:
    """Return the seconds of `docker run … --help`. Raises E2EError."""
    started = time.monotonic()
    machine.docker("run", "--rm", "--network", "none", *RESTRICTED, image, "--help")
    return time.monotonic() - started


def capture_import_seconds(image: str) -> float:
    """Return the seconds in which the capture process imports its libraries. Raises E2EError."""
    python = ("--entrypoint", "python3", image, "-c", _IMPORT_MEDIA)
    return float(machine.docker("run", "--rm", "--network", "none", *RESTRICTED, *python))


def _median(measure: Callable[[str], float], image: str) -> float:
    return statistics.median(measure(image) for _ in range(RUNS))


def main() -> int:
    """Print the figures; the last line is for machines."""
    names = images.names()
    try:
        figures = {
            "operator_mb": images.size_mb(names.operator),
            "recorder_mb": images.size_mb(names.recorder),
            "operator_start_s": _median(operator_seconds, names.operator),
            "recorder_start_s": _median(recorder_seconds, names.recorder),
            "capture_import_s": _median(capture_import_seconds, names.recorder),
        }
    except (E2EError, subprocess.SubprocessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(
        f"operator: {figures['operator_mb']:.0f} MB, /healthz answers {figures['operator_start_s']:.2f} s after docker run"
    )
    print(
        f"recorder: {figures['recorder_mb']:.0f} MB, --help takes {figures['recorder_start_s']:.2f} s with docker run,"
        f" the capture process imports its libraries in {figures['capture_import_s']:.2f} s (medians of {RUNS})"
    )
    print("figure: " + " ".join(f"{name}={value:.3g}" for name, value in figures.items()), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
