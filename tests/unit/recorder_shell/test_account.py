"""The supervisor's account logs which tracks are recorded: one line per change, with what a reader of logs looks for."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import pytest

from egress_recorder import ipc
from egress_recorder.contract import ParticipantSource, RecorderConfig, Track
from egress_recorder.supervisor.account import Account
from egress_recorder.supervisor.board import StatusBoard

pytestmark = pytest.mark.unit
NOW = datetime(2026, 11, 27, tzinfo=UTC)
CONFIG = RecorderConfig(
    egress_id="EG_1",
    url="ws://livekit",
    room_name="standup",
    source=ParticipantSource(identity="alice"),
    outputs=({"filepath": "a.mp4", "destination": {"kind": "pvc", "volume": "claim"}},),
    requested_at=NOW,
)


def test_the_log_tells_of_every_change_of_the_recorded_tracks(caplog: pytest.LogCaptureFixture) -> None:
    account = Account(CONFIG, StatusBoard("EG_1"), now=lambda: NOW)
    tracks = (
        Track(sid="TR_1", kind="video", source="CAMERA", identity="alice"),
        Track(sid="TR_2", kind="audio", source="MICROPHONE", identity="alice"),
    )

    with caplog.at_level(logging.INFO, logger="egress_recorder.supervisor.account"):
        account.mirror(ipc.TracksChanged(tracks=tracks, publisher_identity="alice"), part=1, ending=False)

    [record] = caplog.records
    assert (record.message, record.part) == ("recorded tracks", 1)  # type: ignore[attr-defined]
    assert record.tracks == ["video CAMERA TR_1", "audio MICROPHONE TR_2"]  # type: ignore[attr-defined]
