"""What a recording waits for because of the operator's own Helm values: it says so, and goes on when they are changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.e2e import cluster, images, objectstore, release
from support.kind_media import assert_good
from support.kind_pending import goes_on, held_back
from support.kind_scene import KindScene

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300), pytest.mark.usefixtures("shared_publisher")]


@pytest.fixture
def restored_release() -> Iterator[None]:
    """The operator's release gets its own values again."""
    yield
    release.upgrade()


@pytest.mark.usefixtures("restored_release")
def test_an_image_that_cannot_be_pulled_is_named_and_the_recording_goes_on_when_it_can(
    kind_scene: KindScene, shared_scene: KindScene
) -> None:
    image = images.names().recorder
    absent = f"{image.rpartition(':')[0]}:absent-{kind_scene.namespace}"
    release.upgrade({"recorder": {"image": release.image_values(absent)}})
    recording = kind_scene.apply("ParticipantEgress", "alice", identity="alice", roomName=shared_scene.room)
    held_back(recording, "ImagePullFailed", absent.rpartition(":")[2])
    for node in cluster.workers():
        cluster.add_image_name(node, image, absent)
    try:
        goes_on(recording, timeout=150)
    finally:
        for node in cluster.workers():
            cluster.remove_image_name(node, absent)


@pytest.mark.usefixtures("restored_release")
def test_without_connection_or_storage_each_recording_says_what_is_missing_and_goes_on_when_it_is_there(
    kind_scene: KindScene, shared_scene: KindScene, tmp_path: Path
) -> None:
    release.upgrade({"livekit": {"url": "", "existingSecret": ""}})
    recording = kind_scene.apply(
        "ParticipantEgress",
        "alice",
        identity="alice",
        roomName=shared_scene.room,
        fileOutputs=[{"filepath": f"{kind_scene.namespace}/default-storage"}],
    )
    held_back(recording, "NoConnection", "livekit")
    release.upgrade()
    held_back(recording, "NoStorage", "storage")
    default = {"s3": objectstore.output("")["s3"], "allowedNamespaces": [kind_scene.namespace]}
    release.upgrade({"defaultStorage": default})
    goes_on(recording)

    [filename] = recording.stored()
    assert filename == f"{kind_scene.namespace}/default-storage.mp4"
    [report] = recording.reports([filename], tmp_path)
    assert_good(report, seconds=1)
