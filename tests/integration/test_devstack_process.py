"""Child processes: ready, ended, stopped, and what is said when they fail."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest

from devstack.process import ProcessError, ServerProcess, free_port, spawn, wait_for

pytestmark = pytest.mark.integration


def server(tmp_path: Path, script: str) -> ServerProcess:
    return ServerProcess("thing", ["sh", "-c", script], log=tmp_path / "thing.log")


def is_alive(pid: int) -> bool:
    """A zombie is not: some machines have an init that reaps late."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_server_that_ends_at_start_shows_the_end_of_its_log(tmp_path: Path) -> None:
    failing = server(tmp_path, "echo cannot bind; exit 3")
    failing.start()
    with pytest.raises(ProcessError, match=r"thing ended with 3:\ncannot bind"):
        failing.wait_ready(lambda: False, timeout=10)


def test_a_server_that_is_never_ready_is_named_with_its_time(tmp_path: Path) -> None:
    slow = server(tmp_path, "echo waiting; exec sleep 60")
    slow.start()
    try:
        with pytest.raises(ProcessError, match="thing is not ready after 0 s"):
            slow.wait_ready(lambda: False, timeout=0.3)
    finally:
        slow.kill()


def test_stop_is_sigterm_and_then_sigkill_for_the_whole_group(tmp_path: Path) -> None:
    stubborn = server(tmp_path, "trap '' TERM; sleep 60 & echo $!; while true; do sleep 0.05; done")
    stubborn.start()
    stubborn.wait_ready(lambda: stubborn.log_tail().strip().isdigit(), timeout=10)
    child = int(stubborn.log_tail())
    assert is_alive(child)
    began = time.monotonic()
    stubborn.stop(grace=0.3)
    assert 0.3 <= time.monotonic() - began < 3
    assert stubborn.returncode == -signal.SIGKILL
    wait_for("the child is gone", lambda: not is_alive(child), timeout=5)


def test_a_child_outlives_the_thread_that_asked_for_it(tmp_path: Path) -> None:
    started = []

    def ask() -> None:
        started.append(spawn(["sleep", "60"], log=tmp_path / "log", env={"PATH": os.defpath}))

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    time.sleep(0.3)  # the kernel would have killed it by now
    try:
        assert started[0].poll() is None
    finally:
        started[0].kill()
        started[0].wait()


def test_ports_are_free_different_and_never_ephemeral() -> None:
    ports = [free_port() for _ in range(50)]
    first_ephemeral = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert len(set(ports)) == 50
    assert max(ports) < first_ephemeral
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", ports[0]))
