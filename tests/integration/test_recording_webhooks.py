"""Webhooks on the whole path: a real recorder, real media, and the file that the last event names."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.livekit import LiveKitServer
from devstack.process import LOOPBACK
from devstack.s3 import S3Server
from devstack.stack import Stack
from devstack.webhookserver import WebhookServer
from support.realtime import REALTIME
from support.scene import Scene

pytestmark = [pytest.mark.integration, REALTIME]

KINDS = ("ParticipantEgress", "TrackCompositeEgress")


@pytest.fixture(scope="module")
def allowing_stack(
    tmp_path_factory: pytest.TempPathFactory, livekit_server: LiveKitServer, s3_server: S3Server
) -> Iterator[Stack]:
    """A stack whose operator may send to loopback."""
    directory = tmp_path_factory.mktemp("allowing")
    settings = {"EGRESS_WEBHOOK_ALLOWED_HOSTS": LOOPBACK}
    with Stack(directory, livekit=livekit_server, s3=s3_server, operator_settings=settings) as stack:
        yield stack


def test_both_kinds_tell_livekits_events_and_the_file_that_is_there(
    allowing_stack: Stack, tmp_path: Path
) -> None:
    stack = allowing_stack
    scene = Scene(
        stack, stack.prepare_namespace(f"hooks-{secrets.token_hex(4)}"), f"room-{secrets.token_hex(4)}"
    )
    keys = {stack.livekit.api_key: stack.livekit.api_secret}
    with WebhookServer(keys) as receiver, scene.publisher() as publisher:
        hooks = {
            "webhooks": [{"url": receiver.url}],
            "fileOutputs": [scene.s3_output("{room_name}-{egress_id}")],
        }
        recordings = [
            scene.participant(**hooks),
            scene.composite(
                audioTrackId=publisher.sid("audio"), videoTrackId=publisher.sid("video"), **hooks
            ),
        ]
        for recording in recordings:
            recording.until_phase("Active")
        time.sleep(3)
        for recording in recordings:
            recording.stop()
        for recording in recordings:
            status = recording.until_phase("Complete")
            recording.until(lambda s: not s["webhooks"]["events"], 10, "delivery")
            taken = receiver.taken(status["egressId"])
            assert [one.event.event for one in taken] == [
                "egress_started",
                "egress_updated",
                "egress_updated",
                "egress_ended",
            ]
            started, active, ending, last = (one.event.egress_info for one in taken)
            assert last.WhichOneof("request") == (
                "participant" if recording.kind == KINDS[0] else "track_composite"
            )
            assert (
                started.started_at < active.file_results[0].started_at < last.file.ended_at <= last.ended_at
            )
            assert ending.details == last.details == "End reason: StopEgress API"
            assert last.room_id.startswith("RM_")
            file = recording.fetch(last.file.location, last.file.filename, tmp_path)
            assert file.stat().st_size == last.file.size
            assert last.file.duration > 2 * 10**9
            assert last.manifest_location.endswith(f"{status['egressId']}.json")
            request = last.participant if recording.kind == KINDS[0] else last.track_composite
            assert (request.file_outputs[0].s3.access_key, request.file_outputs[0].s3.secret) == (
                "{access_key}",
                "{secret}",
            )
    stack.api.delete("namespaces", "", scene.namespace)
