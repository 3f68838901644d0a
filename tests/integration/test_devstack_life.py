"""The devstack leaves nothing running, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack import build, guard
from devstack.kubeapi import KubeApi, Object
from devstack.process import wait_for

pytestmark = pytest.mark.integration


class Up:
    """``python -m devstack`` with a cache directory of its own that shares the built servers."""

    def __init__(self, cache: Path) -> None:
        build.ensure()
        self.cache = cache
        (cache / "bin").symlink_to(build.cache_directory() / "bin")
        self.environment = {**os.environ, "EGRESS_DEVSTACK_CACHE": str(cache)}
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> subprocess.Popen[str]:
        with (self.cache / "up.log").open("w") as log:
            command = [sys.executable, "-m", "devstack", "up", "--no-operator"]
            self.process = subprocess.Popen(
                command, env=self.environment, stdout=log, stderr=subprocess.STDOUT, text=True
            )
        wait_for("the stack is up", lambda: self.run("env").returncode == 0, timeout=60)
        return self.process

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "devstack", *arguments]
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=60, check=False
        )

    def left(self) -> list[int]:
        """Return the PIDs of servers (by their arguments) and containers (by their environment)."""
        mark = f"{self.cache}/up/".encode()
        servers = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (entry / "cmdline").read_bytes():
                    servers.append(int(entry.name))
            except OSError:
                continue
        return servers + guard.processes_with(mark.decode())

    def run_pod(self) -> None:
        """Run a pod whose child would outlive it."""
        api = KubeApi.from_kubeconfig(self.cache / "up" / "control-plane" / "admin.kubeconfig")
        container = {"name": "main", "image": "any", "command": ["sh", "-c", "sleep 300 & sleep 300"]}
        spec = {"restartPolicy": "Never", "automountServiceAccountToken": False, "containers": [container]}
        body: Object = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "sleeper"}, "spec": spec}
        api.create("pods", "default", body)
        wait_for(
            "the pod runs", lambda: api.get("pods", "default", "sleeper")["status"].get("phase") == "Running"
        )


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    """A stack that is killed after the test if it still lives."""
    user = Up(tmp_path)
    yield user
    if user.process is not None:
        user.process.kill()
        user.process.wait()


def test_a_killed_devstack_leaves_no_server_and_no_container(up: Up) -> None:
    process = up.start()
    up.run_pod()
    wait_for("five servers, the guard, the shell and its two sleeps run", lambda: len(up.left()) >= 9)
    process.kill()
    process.wait()
    wait_for("nothing is left", lambda: not up.left(), timeout=10)


def test_down_ends_the_one_stack_that_may_be_up(up: Up) -> None:
    assert up.run("down").stdout == "no stack is up\n"
    process = up.start()
    second = up.run("up")
    assert (second.returncode, "a stack is up already" in second.stderr) == (1, True)
    up.run_pod()

    assert up.run("down").stdout == "the stack is down\n"
    assert process.wait(10) == 0
    assert up.left() == []
    assert up.run("env").returncode == 1


def test_ctrl_c_while_the_servers_start_leaves_nothing(up: Up) -> None:
    command = [sys.executable, "-m", "devstack", "up", "--no-operator"]
    up.process = subprocess.Popen(command, env=up.environment, stdout=subprocess.DEVNULL, text=True)
    wait_for("the first server runs", lambda: len(up.left()) >= 2)
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(30) == 0
    assert up.left() == []
