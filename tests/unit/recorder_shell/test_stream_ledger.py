"""What is known of streams over several parts, in the termination message, and in the directory of a pod."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from egress_recorder import ipc
from egress_recorder.configdir import ConfigDirectory
from egress_recorder.contract import Phase, RecorderResult, StreamResult, WantedStreams
from egress_recorder.ipc_streams import StreamReport, StreamTarget
from egress_recorder.redact import redact
from egress_recorder.supervisor.events import parse_event
from egress_recorder.supervisor.streams import StreamLedger

pytestmark = pytest.mark.unit

T0 = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def target(key: str) -> StreamTarget:
    return StreamTarget(key=key, url=f"rtmp://h/app/{key}-secret-key", protocol="RTMP")


def report(key: str, status: str = "ACTIVE", **more: object) -> StreamReport:
    return StreamReport(key=key, url="rtmp://h/app/{...}", status=status, **more)  # type: ignore[arg-type]


def test_a_stream_goes_on_over_parts_and_finishes_with_the_recording() -> None:
    ledger = StreamLedger()
    ledger.want([target("a")])
    assert [(one.key, one.resumed) for one in ledger.begin_part()] == [("a", False)]
    ledger.reported([report("a", started_at=at(1), retries=1)])
    ledger.reported([report("a", "FINISHED", started_at=at(1), ended_at=at(9), retries=1)])
    [between] = ledger.results
    assert (between.status, between.ended_at) == ("ACTIVE", None)
    # The server may still hold the connection of the part before: the first failure is not the last word.
    assert [(one.key, one.resumed) for one in ledger.begin_part()] == [("a", True)]
    ledger.reported([report("a", started_at=at(11), retries=2)])
    ledger.conclude(at(21))

    [result] = ledger.results
    assert (result.status, result.started_at, result.ended_at) == ("FINISHED", at(1), at(21))
    assert (result.retries, result.duration) == (3, 20.0)


def test_a_failed_stream_is_not_begun_again_by_a_later_part_or_pod() -> None:
    ledger = StreamLedger()
    ledger.want([target("a"), target("b")])
    ledger.begin_part()
    ledger.reported([report("a", "FAILED", ended_at=at(2), error="refused"), report("b")])
    assert [one.key for one in ledger.begin_part()] == ["b"]

    later = StreamLedger(ledger.results)
    later.want([target("a"), target("b")])
    assert [one.key for one in later.begin_part()] == ["b"]
    later.conclude(at(9))
    assert [(one.key, one.status, one.error) for one in later.results] == [
        ("a", "FAILED", "refused"),
        ("b", "FINISHED", ""),
    ]


def test_a_stream_that_was_removed_has_finished_at_once() -> None:
    ledger = StreamLedger()
    ledger.want([target("a")])
    ledger.begin_part()
    ledger.want([])
    ledger.reported([report("a", "FINISHED", started_at=at(1), ended_at=at(4))])

    [result] = ledger.results
    assert (result.status, result.duration) == ("FINISHED", 3.0)


def test_streams_pass_both_pipes() -> None:
    command = ipc.StreamsCommand(streams=(target("a"),))
    assert ipc.parse_command(command.line()) == command
    event = ipc.StreamsChanged(streams=(report("a", started_at=at(1)),))
    assert parse_event(event.line()) == event
    assert "secret-key" not in repr(command)


def test_a_termination_message_keeps_streams_as_long_as_there_is_room() -> None:
    results = tuple(
        StreamResult(key=f"0/{index}", url="rtmp://h/app/{...}", status="FAILED", error="x" * 300)
        for index in range(20)
    )
    message = RecorderResult(egress_id="EG_1", phase=Phase.COMPLETE, stream_results=results)
    cut = RecorderResult.parse(message.to_termination_message())

    assert cut.truncated
    assert cut.phase is Phase.COMPLETE
    assert cut.stream_results


def test_the_directory_tells_the_streams_and_their_keys_are_masked_from_then_on(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("eyJ.a.b")
    directory = ConfigDirectory(tmp_path)
    assert directory.inputs().streams == ()
    (tmp_path / "streams.json").write_text(WantedStreams(streams=(target("a"),)).to_json())

    assert directory.inputs().streams == (target("a"),)
    assert redact("see a-secret-key") == "see ***"
