"""What happens to the operator in mid-recording: killed, upgraded, doubled, of another contract version.

Nothing is recorded twice and nothing is lost: Jobs, parts and files are counted, every file is decoded.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devstack.e2e import cluster, images, release
from support import kind_watch
from support.kind_faults import (
    delete_pod,
    jobs_of,
    kill_operator,
    next_pod,
    operator_images,
    recorder_image,
    scaled_operator,
    wait_operator,
)
from support.kind_scene import KindRecording, KindScene
from support.kind_truth import accounts

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(420)]

SECONDS = 4


@pytest.fixture
def restored_release(kind_cluster: None) -> Iterator[None]:
    """The operator's release gets its own values again."""
    yield
    release.upgrade()
    wait_operator()


def test_an_operator_killed_in_mid_recording_loses_nothing_and_records_nothing_twice(
    kind_scene: KindScene, tmp_path: Path
) -> None:
    """Issue 4 §4: operator Deployment killed; also a stop and a new recording that come while nobody is there."""
    with kind_scene.publishers("alice", "bob"):
        alice, bob = (kind_scene.apply("ParticipantEgress", name, identity=name) for name in ("alice", "bob"))
        for recording in (alice, bob):
            recording.wait("condition=Recording")
        time.sleep(SECONDS)
        killed = kill_operator()
        bob.stop()
        late = kind_scene.apply("TrackCompositeEgress", "late", **tracks_of(alice))
        wait_operator(without=killed)
        bob.wait("condition=Finished")
        late.wait("condition=Recording")
        time.sleep(SECONDS)
        for recording in (alice, late):
            recording.finish()

    for recording, found in zip((alice, bob, late), accounts([alice, bob, late], tmp_path), strict=True):
        found.assert_unbroken(seconds=SECONDS - 1)
        assert len(jobs_of(recording)) == 1


def tracks_of(recording: KindRecording) -> dict[str, Any]:
    """The tracks that a recording says it records, as the source of another one."""
    return {f"{track['kind']}TrackId": track["sid"] for track in recording.status()["tracks"]}


@pytest.mark.usefixtures("restored_release")
def test_a_helm_upgrade_to_a_changed_image_in_mid_recording_loses_nothing(
    kind_scene: KindScene, tmp_path: Path
) -> None:
    """Issue 4 §4: operator upgraded by `helm upgrade` with a changed image."""
    changed = f"{images.version()}-changed"
    for node in cluster.workers():
        cluster.add_image_name(node, images.names().operator, with_tag(images.names().operator, changed))
    with kind_scene.publisher():
        recording = kind_scene.apply("ParticipantEgress", "alice", identity="alice")
        pod = recording.wait("condition=Recording")["podName"]
        time.sleep(SECONDS)
        release.upgrade({"image": {"tag": changed}})
        wait_operator()
        assert operator_images() == {with_tag(images.names().operator, changed)}
        time.sleep(SECONDS)
        status = recording.finish()

    assert status["podName"] == pod
    [found] = accounts([recording], tmp_path)
    found.assert_unbroken(seconds=2 * SECONDS - 1)
    assert len(jobs_of(recording)) == 1


def with_tag(image: str, tag: str) -> str:
    """The same repository under another tag."""
    return f"{image.rpartition(':')[0]}:{tag}"


def test_two_operators_by_mistake_record_nothing_twice(kind_scene: KindScene, tmp_path: Path) -> None:
    """Issue 4 §4: scaled to 2 by mistake, with recordings that run, begin, lose their pod and end meanwhile."""
    mark = kind_watch.Mark()
    with kind_scene.publishers("alice", "bob"):
        before = kind_scene.apply("ParticipantEgress", "before", identity="alice")
        first_pod = before.wait("condition=Recording")["podName"]
        with scaled_operator(2):
            meanwhile = kind_scene.apply("ParticipantEgress", "meanwhile", identity="bob")
            deleted = kind_scene.apply("ParticipantEgress", "deleted", identity="bob", **apart(kind_scene))
            for recording in (meanwhile, deleted):
                recording.wait("condition=Recording")
            time.sleep(SECONDS)
            delete_pod(before, first_pod)
            next_pod(before, first_pod)
            deleted.kubectl("delete", "--timeout=60s")
            meanwhile.finish()
            assert kind_watch.operator_errors(mark.since) == []
        time.sleep(SECONDS)
        before.finish()

    two_parts, unbroken = accounts([before, meanwhile], tmp_path)
    assert two_parts.numbers == [1, 2]
    assert two_parts.lost == ()
    assert len(jobs_of(before)) == 2
    unbroken.assert_unbroken(seconds=SECONDS - 1)
    assert len(jobs_of(meanwhile)) == 1
    assert kind_scene.stored("pvc") == ["deleted.mp4"]


def apart(scene: KindScene) -> dict[str, Any]:
    """An output of its own in the claim: its object is gone when the files of the others are counted."""
    return {"fileOutputs": [{**scene.output("ParticipantEgress", "pvc"), "filepath": "deleted"}]}


def pinned() -> dict[str, str]:
    """A node selector: the images of the next version, 600 MB, are brought to one node only."""
    return {"kubernetes.io/hostname": cluster.workers()[-1]}


@pytest.fixture
def next_images(restored_release: None) -> tuple[str, str]:
    """Operator and recorder of the next contract version, on the pinned node."""
    built = images.build_next("operator"), images.build_next("recorder")
    cluster.load(built, cluster.workers()[-1:])
    return built


def test_operator_and_recorder_one_contract_version_apart_go_on_across_helm_upgrades(
    kind_scene: KindScene, tmp_path: Path, next_images: tuple[str, str]
) -> None:
    """Issue 4 §4: the recorder one version older or newer than the operator, across `helm upgrade`s in mid-recording.

    One recording lives through all combinations: each upgrade finds a recorder of the version before, which goes on;
    then its pod is deleted, so that the new combination starts the next part.
    """
    operator, recorder = images.names().operator, images.names().recorder
    next_operator, next_recorder = next_images
    combinations = [(next_operator, recorder), (next_operator, next_recorder), (operator, next_recorder)]
    with kind_scene.publisher():
        template = {"nodeSelector": pinned()}
        recording = kind_scene.apply("ParticipantEgress", "alice", identity="alice", template=template)
        pod = recording.wait("condition=Recording")["podName"]
        for new_operator, new_recorder in combinations:
            image = recorder_image(recording)
            upgrade_to(new_operator, new_recorder)
            # The operator of now reads the answers of the recorder of before: its numbers go on.
            wait_progress(recording)
            assert recorder_image(recording) == image
            delete_pod(recording, pod)
            pod = next_pod(recording, pod)
            assert recorder_image(recording) == new_recorder
            time.sleep(SECONDS)
        status = recording.finish()

    [found] = accounts([recording], tmp_path)
    assert found.numbers == [1, 2, 3, 4]
    assert found.lost == ()
    assert len(jobs_of(recording)) == 4
    manifest = json.loads(kind_scene.store.read(f"{kind_scene.room}/{status['egressId']}.json"))
    assert [part["part"] for part in manifest["parts"]] == [1, 2, 3, 4]
    assert manifest["phase"] == "Complete"


def upgrade_to(operator: str, recorder: str) -> None:
    """Upgrade the release to these two images."""
    release.upgrade(
        {
            "image": release.image_values(operator),
            "nodeSelector": pinned(),
            "recorder": {"image": release.image_values(recorder)},
        }
    )
    wait_operator()
    assert operator_images() == {operator}


def wait_progress(recording: KindRecording) -> None:
    """Wait until the status counts more frames than now."""
    before = frames(recording.status())
    recording.until(lambda status: frames(status) > before, "progress", 60)


def frames(status: dict[str, Any]) -> int:
    """Frames that a status counts."""
    return int(status.get("progress", {}).get("frames", 0))
