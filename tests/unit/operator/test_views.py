"""Reading Kubernetes objects: what counts as started, ended, unreachable; what Events say; what the cache keeps."""

from __future__ import annotations

from typing import Any

import pytest

from egress_operator import names, views
from egress_operator.names import Key
from egress_operator.seen import Seen
from support.operator_builders import UID, body, ended_pod, job, pod

pytestmark = pytest.mark.unit

KEY = Key(names.PARTICIPANT_KIND, "calls", "alice")


def raw_pod(**status: Any) -> dict[str, Any]:
    labels = {names.LABEL_UID: UID, names.LABEL_PART: "2", names.LABEL_KIND: names.PARTICIPANT_KIND}
    metadata = {
        "uid": "p",
        "name": "alice-2-x",
        "namespace": "calls",
        "labels": labels,
        "annotations": {names.ANNOTATION_NAME: "alice"},
        "creationTimestamp": "2026-11-22T09:00:00Z",
    }
    return {"metadata": metadata, "status": status}


def container(**state: Any) -> dict[str, Any]:
    return {"containerStatuses": [{"name": "recorder", "state": state}]}


def test_a_pod_without_any_status_is_only_there() -> None:
    seen = views.pod(raw_pod())

    assert (seen.part, seen.started, seen.ready, seen.ended) == (2, False, False, False)


def test_a_terminated_container_gives_code_reason_and_message() -> None:
    terminated = {
        "exitCode": 137,
        "reason": "OOMKilled",
        "message": "{}",
        "finishedAt": "2026-11-22T09:01:00Z",
    }
    seen = views.pod(raw_pod(phase="Failed", **container(terminated=terminated)))

    assert (seen.exit_code, seen.end_reason, seen.message, seen.ended) == (137, "OOMKilled", "{}", True)


def test_an_evicted_pod_is_ended_although_no_container_says_so() -> None:
    seen = views.pod(raw_pod(phase="Failed", reason="Evicted", message="low on disk"))

    assert (seen.exit_code, seen.end_reason, seen.ended) == (None, "Evicted", True)


def test_only_the_node_controller_makes_a_pod_unready_with_ready_containers() -> None:
    def conditions(ready: str, containers: str) -> list[dict[str, str]]:
        return [
            {"type": "Ready", "status": ready, "lastTransitionTime": "2026-11-22T09:05:00Z"},
            {"type": "ContainersReady", "status": containers},
        ]

    assert views.pod(raw_pod(conditions=conditions("False", "True"))).unreachable_since is not None
    assert views.pod(raw_pod(conditions=conditions("Unknown", "True"))).unreachable_since is not None
    assert views.pod(raw_pod(conditions=conditions("False", "False"))).unreachable_since is None
    assert views.pod(raw_pod(conditions=conditions("True", "True"))).unreachable_since is None


def test_being_unschedulable_goes_before_the_containers_reason() -> None:
    scheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}
    seen = views.pod(raw_pod(conditions=[scheduled], **container(waiting={"reason": "ContainerCreating"})))

    assert (seen.waiting_reason, seen.waiting_message) == ("Unschedulable", "0/1 nodes")


def test_a_suspended_job_names_its_queue() -> None:
    labels = {names.LABEL_PART: "1", names.LABEL_QUEUE: "recordings"}
    metadata = {"uid": "j", "name": "alice-1", "labels": labels}

    seen = views.job({"metadata": metadata, "spec": {"suspend": True}})

    assert (seen.suspended, seen.queue) == (True, "recordings")
    assert not views.job({"metadata": metadata, "spec": {"suspend": False}}).suspended


def test_only_kueues_two_labels_are_passed_on() -> None:
    given = body()
    given["metadata"]["labels"] = {
        names.LABEL_QUEUE: "recordings",
        "kueue.x-k8s.io/priority-class": "high",
        "kueue.x-k8s.io/other": "x",
        "team": "media",
    }

    assert views.recording(names.PARTICIPANT_KIND, given).queue_labels == {
        names.LABEL_QUEUE: "recordings",
        "kueue.x-k8s.io/priority-class": "high",
    }


def test_the_owner_is_found_by_label_and_annotation() -> None:
    assert views.owner_key(raw_pod()) == KEY
    stranger = raw_pod()
    del stranger["metadata"]["annotations"]
    assert views.owner_key(stranger) is None


@pytest.mark.parametrize(
    ("reason", "message", "expected"),
    [
        ("FailedMount", 'MountVolume.SetUp failed for volume "x": secret "keys" not found', "MissingSecret"),
        ("FailedMount", "timed out", "MountFailed"),
        ("FailedAttachVolume", "Multi-Attach error", "MountFailed"),
        ("FailedCreatePodSandBox", "no runtime for gvisor", "SandboxFailed"),
        ("FailedCreate", 'pods "x" is forbidden: violates PodSecurity "restricted:latest"', "Refused"),
        ("FailedCreate", 'error looking up service account calls/x: serviceaccount "x" not found', "Refused"),
        ("FailedScheduling", "0/1 nodes are available", "Unschedulable"),
        ("FailedScheduling", 'persistentvolumeclaim "disk" not found', "MissingVolumeClaim"),
        ("FailedCreate", 'pods "x" is forbidden: exceeded quota: q', "QuotaExceeded"),
        ("Failed", "Failed to pull image", "ImagePullFailed"),
        ("Failed", 'Error: secret "keys" not found', "MissingSecret"),
        ("Failed", "Error: failed to start container: exec: no such file", "ContainerConfigError"),
        ("BackOff", 'Back-off pulling image "x"', "ImagePullFailed"),
    ],
)
def test_events_become_reasons(reason: str, message: str, expected: str) -> None:
    seen = views.diagnose([{"type": "Warning", "reason": reason, "message": message}])

    assert seen is not None
    assert (seen.reason, seen.message) == (expected, message)


@pytest.mark.parametrize(
    ("waiting", "message", "expected"),
    [
        ("ErrImagePull", "not found", "ImagePullFailed"),
        ("ImagePullBackOff", "Back-off pulling image", "ImagePullFailed"),
        ("InvalidImageName", "couldn't parse image name", "ImagePullFailed"),
        ("ErrImageNeverPull", "not present with pull policy of Never", "ImagePullFailed"),
        ("CreateContainerConfigError", 'secret "keys" not found', "MissingSecret"),
        ("CreateContainerConfigError", "couldn't find key a in Secret calls/keys", "ContainerConfigError"),
        ("RunContainerError", "exec: no such file", "ContainerConfigError"),
        ("ContainerCreating", "", "PodStarting"),
        ("PodInitializing", "", "PodStarting"),
    ],
)
def test_a_containers_own_trouble_is_read_from_the_pod_without_any_event(
    waiting: str, message: str, expected: str
) -> None:
    seen = views.pod(raw_pod(**container(waiting={"reason": waiting, "message": message})))

    assert (seen.waiting_reason, seen.waiting_message) == (expected, message)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("0/3 nodes are available: 3 Insufficient cpu.", "Unschedulable"),
        ('0/1 nodes are available: persistentvolumeclaim "disk" not found.', "MissingVolumeClaim"),
    ],
)
def test_the_schedulers_trouble_is_read_from_the_pod_without_any_event(message: str, expected: str) -> None:
    scheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    seen = views.pod(raw_pod(conditions=[scheduled]))

    assert (seen.waiting_reason, seen.waiting_message) == (expected, message)


@pytest.mark.parametrize(
    ("trouble", "progress"),
    [
        ("FailedScheduling", "Scheduled"),
        ("FailedMount", "Pulling"),
        ("FailedMount", "Pulled"),
        ("FailedCreatePodSandBox", "Created"),
        ("FailedCreate", "SuccessfulCreate"),
    ],
)
def test_a_trouble_that_was_overcome_is_no_reason_any_more(trouble: str, progress: str) -> None:
    def event(reason: str, kind: str, second: int) -> dict[str, Any]:
        return {
            "type": kind,
            "reason": reason,
            "message": "m",
            "lastTimestamp": f"2026-11-22T09:00:{second:02}Z",
        }

    warning = event(trouble, "Warning", 5)

    assert views.diagnose([warning, event(progress, "Normal", 4)]) is not None
    assert views.diagnose([warning, event(progress, "Normal", 6)]) is None


def test_an_event_of_the_new_kind_is_dated_by_its_series() -> None:
    old = {"type": "Warning", "reason": "FailedMount", "message": "old", "eventTime": "2026-11-22T09:00:09Z"}
    again = {
        "type": "Warning",
        "reason": "FailedMount",
        "message": "newest",
        "eventTime": "2026-11-22T09:00:00Z",
        "series": {"lastObservedTime": "2026-11-22T09:01:00Z"},
    }
    seen = views.diagnose([again, old])

    assert seen is not None
    assert seen.message == "newest"


def test_events_that_hinder_nothing_are_no_diagnosis() -> None:
    assert views.diagnose([{"type": "Normal", "reason": "Scheduled", "message": "ok"}]) is None
    assert (
        views.diagnose([{"type": "Warning", "reason": "Unhealthy", "message": "Readiness probe failed"}])
        is None
    )


def test_the_newest_event_of_the_most_telling_kind_is_taken() -> None:
    def event(reason: str, minute: int, message: str) -> dict[str, Any]:
        return {
            "type": "Warning",
            "reason": reason,
            "message": message,
            "lastTimestamp": f"2026-11-22T09:{minute:02}:00Z",
        }

    events = [event("BackOff", 9, "new"), event("FailedMount", 1, "old"), event("FailedMount", 2, "newer")]
    seen = views.diagnose(events)

    assert seen is not None
    assert seen.message == "newer"


# ---- the cache -------------------------------------------------------------------------------------------------


def versioned(version: str) -> dict[str, Any]:
    made = body()
    made["metadata"]["resourceVersion"] = version
    return made


def test_an_older_body_or_the_echo_of_an_own_write_is_no_news() -> None:
    seen = Seen()

    assert seen.put(KEY, versioned("9"))
    assert not seen.put(KEY, versioned("9"))
    assert not seen.put(KEY, versioned("8"))
    assert seen.put(KEY, versioned("10"))


def test_a_new_object_of_the_same_name_is_news_whatever_its_version() -> None:
    seen = Seen()
    seen.put(KEY, versioned("9"))
    other = versioned("3")
    other["metadata"]["uid"] = "another"

    assert seen.put(KEY, other)


def test_the_end_of_a_pod_is_kept_when_its_object_goes() -> None:
    seen = Seen()
    seen.put_pod(UID, pod())
    seen.put_pod(UID, ended_pod(code=75, message="last words"))
    seen.put_pod(UID, pod(gone=True))
    kept = seen.snapshot(UID).pods["pod-1"]

    assert (kept.exit_code, kept.message, kept.gone) == (75, "last words", True)


def test_a_listing_marks_what_it_lacks_as_gone_but_not_what_came_after_it_began() -> None:
    seen = Seen()
    seen.put_pod(UID, pod(1))
    seen.put_job(UID, job(1))
    known = seen.snapshot(UID)
    seen.put_pod(UID, pod(2))
    seen.put_job(UID, job(2))
    seen.replace_children(UID, jobs=[], pods=[], known=known)
    after = seen.snapshot(UID)

    assert {one.part: one.gone for one in after.pods.values()} == {1: True, 2: False}
    assert [one.part for one in after.jobs.values()] == [2]


def test_a_forgotten_recording_leaves_nothing() -> None:
    seen = Seen()
    seen.put(KEY, body())
    seen.put_pod(UID, pod())
    seen.mark_stale(KEY)
    seen.drop(KEY)

    assert seen.recordings() == ()
    assert seen.snapshot(UID).pods == {}
    assert not seen.take_stale(KEY)
