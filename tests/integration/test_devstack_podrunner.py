"""The pod runner is as honest as a kubelet where recorders depend on it."""

from __future__ import annotations

import secrets
import sys
import time
from typing import Any

import pytest

from devstack.kubeapi import Object
from devstack.process import wait_for
from devstack.stack import Stack

pytestmark = pytest.mark.integration

READY_SERVER = """
import http.server, os, pathlib
flag = pathlib.Path(os.environ["SCRATCH"]) / "ready"
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if flag.exists() or self.path == "/livez" else 503)
        self.end_headers()
http.server.ThreadingHTTPServer((os.environ["POD_IP"], 8080), Handler).serve_forever()
"""


def shell(script: str) -> list[str]:
    return ["sh", "-c", script]


class Pods:
    """Creates pods and Jobs in one namespace and looks at them."""

    def __init__(self, stack: Stack, namespace: str) -> None:
        self.stack, self.namespace = stack, namespace

    def run(self, command: list[str], *, grace: int = 30, **spec: Any) -> str:
        """Create a pod; ``container__x`` fields go into its container."""
        name = f"pod-{secrets.token_hex(3)}"
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name},
            "spec": _pod_spec(command, grace=grace, **spec),
        }
        self.stack.api.create("pods", self.namespace, body)
        return name

    def get(self, name: str) -> Object:
        return self.stack.api.get("pods", self.namespace, name)

    def wait_phase(self, name: str, *phases: str) -> Object:
        def reached() -> Object | None:
            pod = self.get(name)
            return pod if pod["status"].get("phase") in phases else None

        return wait_for(f"pod {name} is {phases}", reached)

    def wait_waiting(self, name: str, reason: str) -> Object:
        def reached() -> Object | None:
            for status in self.get(name)["status"].get("containerStatuses", []):
                waiting: Object | None = status["state"].get("waiting")
                if waiting is not None and waiting["reason"] == reason:
                    return waiting
            return None

        return wait_for(f"pod {name} waits for {reason}", reached)

    def wait_event(self, name: str, reason: str, text: str = "") -> str:
        def reached() -> str | None:
            fields = f"involvedObject.name={name},reason={reason}"
            events = self.stack.api.list("events", self.namespace, fields=fields)
            return next((event["message"] for event in events if text in event["message"]), None)

        return wait_for(f"pod {name} has an Event {reason} with {text!r}", reached)

    def wait_log(self, name: str, text: str) -> str:
        def reached() -> str | None:
            log = self.stack.runner.log(self.namespace, name)
            return log if text in log else None

        return wait_for(f"pod {name} writes {text!r}", reached)

    def wait_gone(self, name: str) -> None:
        wait_for(
            f"pod {name} is gone",
            lambda: True if self.stack.api.find("pods", self.namespace, name) is None else None,
        )


def _pod_spec(command: list[str], *, grace: int = 30, **fields: Any) -> Object:
    container = {"name": "main", "image": "any:1", "command": command}
    container |= {
        key.removeprefix("container__"): v for key, v in fields.items() if key.startswith("container__")
    }
    rest = {key: value for key, value in fields.items() if not key.startswith("container__")}
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": grace,
        "containers": [container],
        **rest,
    }


def terminated(pod: Object) -> Object:
    state: Object = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    return state


def condition(pod: Object, kind: str) -> Object:
    return next(item for item in pod["status"]["conditions"] if item["type"] == kind)


@pytest.fixture
def pods(cluster: Stack, cluster_namespace: str) -> Pods:
    return Pods(cluster, cluster_namespace)


def test_env_holds_values_references_and_nothing_of_the_host(
    pods: Pods, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOST_ONLY", "leaked")
    pods.stack.api.create_secret(pods.namespace, "keys", {"a": "from-secret"})
    env = [
        {"name": "PLAIN", "value": "plain"},
        {"name": "TWICE", "value": "$(PLAIN)-$(UNKNOWN)-$$(PLAIN)"},
        {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "a"}}},
        {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
    ]
    script = 'echo "$PLAIN $TWICE $SECRET $NAME $IP [$HOST_ONLY] $1"'
    name = pods.run([*shell(script), "x", "$(PLAIN)"], container__env=env)
    pod = pods.wait_phase(name, "Succeeded")

    expected = f"plain plain-$(UNKNOWN)-$(PLAIN) from-secret {name} {pod['status']['podIP']} [] plain"
    assert pods.stack.runner.log(pods.namespace, name).strip() == expected
    assert pod["status"]["podIP"].startswith("127.77.")


def test_a_secret_volume_follows_its_secret_in_one_step(pods: Pods) -> None:
    pods.stack.api.create_secret(pods.namespace, "config", {"a": "1", "b": "1"})
    script = "cat $DIR/a $DIR/b; echo; while grep -q 1 $DIR/a; do sleep 0.05; done; cat $DIR/b; echo; ls $DIR"
    name = pods.run(
        shell(script),
        volumes=[{"name": "config", "secret": {"secretName": "config", "defaultMode": 0o400}}],
        container__volumeMounts=[{"name": "config", "mountPath": "/etc/config"}],
        container__env=[{"name": "DIR", "value": "/etc/config"}],
    )
    pods.wait_log(name, "11")
    changed = time.monotonic()
    pods.stack.api.create_secret(pods.namespace, "config", {"a": "2", "b": "2", "c": "2"})
    pods.wait_phase(name, "Succeeded")

    assert time.monotonic() - changed >= pods.stack.runner.secret_delay * 0.9
    assert pods.stack.runner.log(pods.namespace, name).split() == ["11", "2", "a", "b", "c"]


def test_a_missing_secret_volume_is_reported_and_waited_for(pods: Pods) -> None:
    name = pods.run(
        shell("cat $FILE"),
        volumes=[{"name": "late", "secret": {"secretName": "late"}}],
        container__volumeMounts=[{"name": "late", "mountPath": "/late"}],
        container__env=[{"name": "FILE", "value": "/late/key"}],
    )
    message = pods.wait_event(name, "FailedMount")
    assert message == 'MountVolume.SetUp failed for volume "late" : secret "late" not found'
    assert pods.wait_waiting(name, "ContainerCreating")

    pods.stack.api.create_secret(pods.namespace, "late", {"key": "arrived"})
    pods.wait_phase(name, "Succeeded")
    assert pods.stack.runner.log(pods.namespace, name) == "arrived"


def test_a_missing_env_secret_is_a_config_error_and_waited_for(pods: Pods) -> None:
    env = [{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "later", "key": "key"}}}]
    name = pods.run(shell("echo $KEY"), container__env=env)
    assert pods.wait_waiting(name, "CreateContainerConfigError")["message"] == 'secret "later" not found'

    pods.stack.api.create_secret(pods.namespace, "later", {"key": "arrived"})
    pods.wait_phase(name, "Succeeded")
    assert pods.stack.runner.log(pods.namespace, name) == "arrived\n"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"nodeSelector": {"disk": "ssd"}}, "1 node(s) didn't match Pod's node affinity/selector"),
        ({"container__resources": {"requests": {"cpu": "1000"}}}, "1 Insufficient cpu"),
        (
            {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "none"}}]},
            'persistentvolumeclaim "none" not found',
        ),
    ],
)
def test_a_pod_that_no_node_takes_stays_pending_with_the_reason(
    pods: Pods, spec: dict[str, Any], expected: str
) -> None:
    name = pods.run(shell("true"), **spec)
    message = pods.wait_event(name, "FailedScheduling")
    scheduled = condition(pods.get(name), "PodScheduled")

    assert message.startswith(f"0/1 nodes are available: {expected}. preemption:")
    assert (scheduled["status"], scheduled["reason"]) == ("False", "Unschedulable")
    assert pods.get(name)["status"]["phase"] == "Pending"


def test_a_taint_keeps_pods_away_that_do_not_tolerate_it(pods: Pods) -> None:
    taint = {"key": "dedicated", "value": "recorders", "effect": "NoSchedule"}
    pods.stack.api.patch("nodes", "", "devstack", {"spec": {"taints": [taint]}})
    try:
        kept_away = pods.run(shell("true"))
        assert "untolerated taint {dedicated: recorders}" in pods.wait_event(kept_away, "FailedScheduling")
        tolerating = pods.run(shell("true"), tolerations=[{"key": "dedicated", "operator": "Exists"}])
        pods.wait_phase(tolerating, "Succeeded")
    finally:
        pods.stack.api.patch("nodes", "", "devstack", {"spec": {"taints": None}})
    pods.wait_phase(kept_away, "Succeeded")


def test_a_claim_is_bound_and_keeps_its_files(pods: Pods) -> None:
    mount: dict[str, Any] = {
        "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "recordings"}}],
        "container__volumeMounts": [{"name": "v", "mountPath": "/var/egress/volumes/v"}],
    }
    # The directory above the mounts is rewritten as well: recorders get it as their volumes root.
    writer = pods.run([*shell('echo kept >"$1/v/file"'), "x", "/var/egress/volumes"], **mount)
    pods.wait_phase(writer, "Succeeded")
    reader = pods.run([*shell('cat "${1#--root=}/file"'), "x", "--root=/var/egress/volumes/v"], **mount)
    pods.wait_phase(reader, "Succeeded")

    assert pods.stack.runner.log(pods.namespace, reader) == "kept\n"
    assert (pods.stack.runner.claim_directory(pods.namespace, "recordings") / "file").read_text() == "kept\n"
    claim = pods.stack.api.get("persistentvolumeclaims", pods.namespace, "recordings")
    assert claim["status"]["phase"] == "Bound"


def test_readiness_reaches_the_status_of_the_job(pods: Pods) -> None:
    probe = {"httpGet": {"path": "/readyz", "port": "http"}, "periodSeconds": 1, "failureThreshold": 1}
    template = _pod_spec(
        [sys.executable, "-c", READY_SERVER],
        grace=1,
        volumes=[{"name": "scratch", "emptyDir": {}}],
        container__volumeMounts=[{"name": "scratch", "mountPath": "/scratch"}],
        container__ports=[{"name": "http", "containerPort": 8080}],
        container__readinessProbe=probe,
        container__env=[
            {"name": "SCRATCH", "value": "/scratch"},
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        ],
    )
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "ready"},
        "spec": {"backoffLimit": 0, "template": {"spec": template}},
    }
    pods.stack.api.create("jobs", pods.namespace, job)

    def pod_of_job() -> Object | None:
        found = pods.stack.api.list("pods", pods.namespace, labels="job-name=ready")
        return found[0] if found else None

    def ready() -> int:
        status = pods.stack.api.get("jobs", pods.namespace, "ready").get("status", {})
        return int(status.get("ready") or 0)

    pod = wait_for("the Job has a pod", pod_of_job)
    name = pod["metadata"]["name"]
    pods.wait_event(name, "Unhealthy", "statuscode: 503")
    assert ready() == 0
    directory = pods.stack.directory / "pods" / pod["metadata"]["uid"]
    (directory / "volumes" / "scratch" / "ready").touch()
    wait_for("the Job is ready", lambda: ready() == 1)
    (directory / "volumes" / "scratch" / "ready").unlink()
    wait_for("the Job is not ready", lambda: ready() == 0)
    pods.stack.api.delete("jobs", pods.namespace, "ready", {"propagationPolicy": "Background"})
    pods.wait_gone(name)


def test_termination_message_and_exit_code_reach_the_status(pods: Pods) -> None:
    name = pods.run([*shell('echo \'{"verdict": 1}\' >"$1"; exit 75'), "x", "/dev/termination-log"])
    ended = terminated(pods.wait_phase(name, "Failed"))
    assert (ended["exitCode"], ended["reason"], ended["message"]) == (75, "Error", '{"verdict": 1}\n')
    assert condition(pods.get(name), "Ready")["reason"] == "PodFailed"


def test_only_the_first_4096_bytes_of_a_termination_message_are_kept(pods: Pods) -> None:
    script = 'python -c "print(\'x\' * 5000)" >"$1"'
    name = pods.run([*shell(script), "x", "/dev/termination-log"])
    assert terminated(pods.wait_phase(name, "Succeeded"))["message"] == "x" * 4096


def test_a_deleted_pod_gets_sigterm_and_may_end_by_itself(pods: Pods) -> None:
    script = "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(75)); print('up', flush=True); time.sleep(60)"
    name = pods.run(["python", "-c", script])
    # A finalizer keeps the object, as the Job controller's does, so that its last status can be read.
    pods.stack.api.patch("pods", pods.namespace, name, {"metadata": {"finalizers": ["example.com/keep"]}})
    pods.wait_log(name, "up")
    pods.stack.api.delete("pods", pods.namespace, name)
    pod = pods.wait_phase(name, "Failed")
    assert terminated(pod)["exitCode"] == 75
    pods.stack.api.patch("pods", pods.namespace, name, {"metadata": {"finalizers": None}})
    pods.wait_gone(name)


def test_a_pod_that_ignores_sigterm_is_killed_after_its_grace_with_all_it_started(pods: Pods) -> None:
    script = "trap '' TERM; (trap '' TERM; sleep 60) & echo up; while true; do sleep 0.1; done"
    name = pods.run(shell(script), grace=2)
    pods.stack.api.patch("pods", pods.namespace, name, {"metadata": {"finalizers": ["example.com/keep"]}})
    pods.wait_log(name, "up")
    pids = pods.stack.runner.pids(pods.namespace, name)
    asked = time.monotonic()
    pods.stack.api.delete("pods", pods.namespace, name)
    pod = pods.wait_phase(name, "Failed")

    assert terminated(pod)["exitCode"] == 137
    assert 1.9 <= time.monotonic() - asked < 6
    assert len(pids) >= 2
    assert pods.stack.runner.pids(pods.namespace, name) == []
    pods.stack.api.patch("pods", pods.namespace, name, {"metadata": {"finalizers": None}})
    pods.wait_gone(name)


def test_a_missing_image_backs_off_until_the_pod_is_deleted(pods: Pods) -> None:
    name = pods.run(shell("true"), container__image="missing/recorder:1")
    assert pods.wait_waiting(name, "ImagePullBackOff")
    assert "missing/recorder:1" in pods.wait_event(name, "BackOff")
    pods.stack.api.delete("pods", pods.namespace, name)
    pods.wait_gone(name)


def test_a_failing_liveness_probe_ends_the_container(pods: Pods) -> None:
    probe = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1, "failureThreshold": 2}
    name = pods.run(shell("exec sleep 60"), grace=1, container__livenessProbe=probe)
    pod = pods.wait_phase(name, "Failed")
    assert terminated(pod)["exitCode"] == 143
    assert "Liveness probe failed" in pods.wait_event(name, "Unhealthy")


def test_a_container_over_its_memory_limit_is_oom_killed(pods: Pods) -> None:
    script = "import time; x = b'1' * (64 << 20); time.sleep(60)"
    name = pods.run(["python", "-c", script], container__resources={"limits": {"memory": "48Mi"}})
    ended = terminated(pods.wait_phase(name, "Failed"))
    assert (ended["exitCode"], ended["reason"]) == (137, "OOMKilled")


def test_a_killed_container_fails_and_a_lost_pod_says_nothing(pods: Pods) -> None:
    killed, lost = pods.run(shell("exec sleep 60")), pods.run(shell("exec sleep 60"), grace=1)
    for name in (killed, lost):
        pods.wait_phase(name, "Running")
    pods.stack.runner.kill(pods.namespace, killed)
    pods.stack.runner.lose_pod(pods.namespace, lost)

    assert terminated(pods.wait_phase(killed, "Failed"))["exitCode"] == 137
    assert pods.stack.runner.pids(pods.namespace, lost) == []
    silent = pods.get(lost)
    assert silent["status"]["phase"] == "Running"
    assert condition(silent, "Ready")["status"] == "False"
    pods.stack.api.delete("pods", pods.namespace, lost)
    time.sleep(1.5)
    assert pods.get(lost)["metadata"]["deletionTimestamp"]
    pods.stack.api.delete("pods", pods.namespace, lost, {"gracePeriodSeconds": 0})
    pods.wait_gone(lost)


def test_a_lost_node_takes_its_pods_along_and_gets_no_new_ones(pods: Pods) -> None:
    runner = pods.stack.runner
    runner.add_node("other", labels={"zone": "b"})
    try:
        there = pods.run(shell("exec sleep 60"), nodeSelector={"zone": "b"}, grace=1)
        here = pods.run(shell("exec sleep 60"), grace=1)
        for name in (there, here):
            pods.wait_phase(name, "Running")
        runner.lose_node("other")

        assert runner.pids(pods.namespace, there) == []
        assert runner.pids(pods.namespace, here) != []
        assert condition(pods.get(there), "Ready")["status"] == "False"
        node = pods.stack.api.get("nodes", "", "other")
        assert {item["type"]: item["status"] for item in node["status"]["conditions"]} == {"Ready": "Unknown"}
        refused = pods.run(shell("true"), nodeSelector={"zone": "b"})
        assert "untolerated taint" in pods.wait_event(refused, "FailedScheduling")
        runner.restore_node("other")
        pods.wait_phase(refused, "Succeeded")
    finally:
        pods.stack.api.delete("nodes", "", "other")
    for name in (there, here):
        pods.stack.api.delete("pods", pods.namespace, name, {"gracePeriodSeconds": 0})
    pods.wait_gone(here)


def test_what_the_runner_cannot_play_is_refused_in_words(pods: Pods) -> None:
    name = pods.run(shell("true"), restartPolicy="OnFailure")
    assert "restartPolicy Never only" in pods.wait_waiting(name, "CreateContainerConfigError")["message"]
    unknown = pods.run(["no-such-program"])
    ended = terminated(pods.wait_phase(unknown, "Failed"))
    assert (ended["reason"], "executable file not found" in ended["message"]) == ("StartError", True)


def test_a_container_that_fills_its_scratch_is_evicted(pods: Pods) -> None:
    name = pods.run(
        shell("head -c 3000000 /dev/zero >$SCRATCH/big; exec sleep 60"),
        volumes=[{"name": "scratch", "emptyDir": {"sizeLimit": "1Mi"}}],
        container__volumeMounts=[{"name": "scratch", "mountPath": "/scratch"}],
        container__env=[{"name": "SCRATCH", "value": "/scratch"}],
    )
    pod = pods.wait_phase(name, "Failed")
    assert pod["status"]["reason"] == "Evicted"
    assert pod["status"]["message"] == 'Usage of EmptyDir volume "scratch" exceeds the limit "1Mi".'


def test_both_evictions_mark_the_pod_as_disrupted(pods: Pods) -> None:
    drained, pressed = pods.run(shell("exec sleep 60"), grace=1), pods.run(shell("exec sleep 60"))
    for name in (drained, pressed):
        pods.wait_phase(name, "Running")
    pods.stack.api.patch("pods", pods.namespace, drained, {"metadata": {"finalizers": ["example.com/keep"]}})
    pods.stack.runner.evict(pods.namespace, drained)
    pods.stack.runner.evict_by_kubelet(pods.namespace, pressed)

    first, second = pods.wait_phase(drained, "Failed"), pods.wait_phase(pressed, "Failed")
    pods.stack.api.patch("pods", pods.namespace, drained, {"metadata": {"finalizers": None}})
    assert condition(first, "DisruptionTarget")["reason"] == "EvictionByEvictionAPI"
    assert condition(second, "DisruptionTarget")["reason"] == "TerminationByKubelet"
    assert second["status"]["reason"] == "Evicted"


def test_a_paused_runner_starts_nothing_until_it_goes_on(pods: Pods) -> None:
    pods.stack.runner.pause()
    try:
        name = pods.run(shell("true"))
        time.sleep(0.5)
        assert not pods.get(name)["spec"].get("nodeName")
    finally:
        pods.stack.runner.resume()
    pods.wait_phase(name, "Succeeded")


def test_pods_end_with_their_status_when_the_api_server_was_away_meanwhile(pods: Pods) -> None:
    name = pods.run(shell("sleep 1; exit 3"))
    pods.wait_phase(name, "Running")
    pods.stack.plane.stop_api_server()
    time.sleep(1)
    pods.stack.plane.start_api_server()
    assert terminated(pods.wait_phase(name, "Failed"))["exitCode"] == 3
