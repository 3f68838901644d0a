"""`egress-recorder run` from its configuration directory to termination message and exit code, with a fake capture.

A real supervisor process around a fake capture process; the storage is a directory.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.recorder_process import CONTROL_TOKEN, TOKEN, Recorder

pytestmark = pytest.mark.integration


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    made = Recorder(tmp_path)
    yield made
    made.close()


def test_a_natural_end_gives_complete_with_the_file_and_exit_code_0(recorder: Recorder) -> None:
    recorder.configure([{"media": 1000, "then": "end"}])
    code, result = recorder.run()
    assert (code, result.phase, result.details) == (0, "Complete", "End reason: Source closed")
    assert (recorder.volume / "rec" / "a.mp4").read_bytes() == b"M" * 1000
    assert result.file_results[0].location == "pvc://c/rec/a.mp4"
    assert (result.parts[0].size, result.parts[0].duration, result.room_id) == (1000, 1.0, "RM_fake")
    assert result.started_at is not None
    manifest = recorder.manifest()
    assert (manifest.phase, manifest.parts) == ("Complete", result.parts)
    assert not list(recorder.scratch.rglob("*.mp4"))
    assert not (recorder.volume / ".egress-uploads").exists()


def test_a_stop_over_http_finishes_the_recording(recorder: Recorder) -> None:
    recorder.configure([{"media": 10, "then": "wait"}])
    recorder.start()
    recorder.until_status(lambda status: status.recording)
    assert recorder.request("GET", "/readyz")[0] == 200
    code, _ = recorder.request("PUT", "/v1/desired-state", b'{"generation":3,"desiredState":"Stopped"}')
    assert code == 200
    exit_code, result = recorder.wait()
    assert (exit_code, result.phase, result.details) == (0, "Complete", "End reason: StopEgress API")
    assert result.desired_generation == 3


def test_a_stop_in_the_file_finishes_the_recording(recorder: Recorder) -> None:
    recorder.configure([{"media": 10, "then": "wait"}])
    recorder.start()
    recorder.until_status(lambda status: status.recording)
    (recorder.config_dir / "desired-state.json").write_text('{"generation":1,"desiredState":"Stopped"}')
    code, result = recorder.wait()
    assert (code, result.phase) == (0, "Complete")


def test_a_stop_before_any_media_aborts(recorder: Recorder) -> None:
    recorder.configure([{"then": "wait"}])
    (recorder.config_dir / "desired-state.json").write_text('{"generation":1,"desiredState":"Stopped"}')
    code, result = recorder.run()
    assert (code, result.phase, result.error_code) == (0, "Aborted", 412)
    assert result.parts == ()


def test_sigterm_uploads_the_part_under_its_final_name_and_exits_with_75(recorder: Recorder) -> None:
    recorder.configure([{"media": 10, "then": "wait"}])
    recorder.start()
    recorder.until_status(lambda status: status.recording)
    recorder.signal(signal.SIGTERM)
    code, result = recorder.wait()
    assert (code, result.phase, result.exit_code) == (75, "Interrupted", 75)
    assert result.parts[0].location == "pvc://c/rec/a.mp4"
    assert (recorder.volume / "rec" / "a.mp4").exists()


def test_a_sigterm_right_at_the_start_is_not_lost(recorder: Recorder) -> None:
    recorder.configure([{"then": "wait"}])
    recorder.start()
    recorder.until(lambda: (recorder.directory / "request-1.json").exists() or time.sleep(0.02))
    recorder.signal(signal.SIGTERM)
    assert recorder.wait()[0] == 75


def test_a_crash_is_followed_by_the_next_part_with_a_gap_between(recorder: Recorder) -> None:
    recorder.configure([{"media": 50, "then": "crash"}, {"media": 60, "then": "end"}])
    code, result = recorder.run()
    assert (code, result.phase) == (0, "Complete")
    assert [(part.part, part.location, part.end_reason) for part in result.parts] == [
        (1, "pvc://c/rec/a.mp4", "Process killed"),
        (2, "pvc://c/rec/a-p2.mp4", "Source closed"),
    ]
    assert (recorder.volume / "rec" / "a.mp4").read_bytes().endswith(b"-final")
    assert result.progress.duration == 2.5  # 1.5 s from the finalizer, 1 s of part 2
    request = json.loads((recorder.directory / "request-2.json").read_text())
    assert request["continuing"] is True
    assert recorder.manifest().parts == result.parts


def test_a_killed_capture_process_leaves_a_gap_from_its_end_to_the_next_start(recorder: Recorder) -> None:
    recorder.configure([{"media": 50, "then": "wait"}, {"media": 60, "then": "end"}])
    recorder.start()
    recorder.until_status(lambda status: status.recording)
    time.sleep(1.8)  # the fake finalizer says 1.5 s of media
    os.kill(recorder.capture_pid(), signal.SIGKILL)
    _, result = recorder.wait()
    first, second = result.parts
    assert [gap.reason for gap in result.gaps] == ["Process killed"]
    assert result.gaps[0].started_at == first.ended_at
    assert second.started_at is not None
    assert first.ended_at is not None
    assert result.gaps[0].duration == pytest.approx((second.started_at - first.ended_at).total_seconds())


def test_crashes_without_media_end_when_the_budget_is_spent(recorder: Recorder) -> None:
    recorder.configure([{"then": "crash"}], maxParts=3)
    code, result = recorder.run()
    assert (code, result.phase, result.error_code) == (70, "Failed", 500)
    assert "crashed 3 times" in result.error
    assert "signal 9" in result.error
    assert result.parts == ()


def test_a_crash_that_left_no_media_makes_no_part(recorder: Recorder) -> None:
    recorder.configure([{"media": 13, "then": "crash"}, {"media": 60, "then": "end"}])
    _, result = recorder.run()
    # Its number is free again when the finalizer was faster than the next start.
    assert [part.part for part in result.parts] in ([1], [2])
    assert result.parts[0].size == 60
    assert len(list((recorder.volume / "rec").glob("*.mp4"))) == 1


def test_a_file_that_the_finalizer_cannot_read_is_uploaded_as_it_is(recorder: Recorder) -> None:
    recorder.configure([{"media": 66, "then": "crash"}, {"media": 60, "then": "end"}])
    _, result = recorder.run()
    assert (recorder.volume / "rec" / "a.mp4").read_bytes() == b"M" * 66
    assert result.parts[0].duration == 1.0  # what the capture process had reported


def test_a_stop_while_a_part_has_just_crashed_completes(recorder: Recorder) -> None:
    recorder.configure([{"media": 50, "then": "crash"}, {"then": "crash"}], maxParts=20)
    recorder.start()
    recorder.until_status(lambda status: status.parts != () and status.message.startswith("resuming"))
    recorder.request("PUT", "/v1/desired-state", b'{"generation":1,"desiredState":"Stopped"}')
    code, result = recorder.wait()
    assert (code, result.phase) == (0, "Complete")


def test_a_failure_of_the_capture_is_final_and_keeps_its_words(recorder: Recorder) -> None:
    ended = {
        "phase": "Failed",
        "reason": "Failure",
        "exit_code": 65,
        "error": "track TR_x not found",
        "error_code": 404,
    }
    recorder.configure([{"then": "end", "ended": ended}])
    code, result = recorder.run()
    assert (code, result.phase, result.error, result.error_code) == (
        65,
        "Failed",
        "track TR_x not found",
        404,
    )
    assert recorder.manifest().error == "track TR_x not found"


def test_an_unreachable_server_ends_with_69_and_no_second_try(recorder: Recorder) -> None:
    ended = {"phase": "Failed", "reason": "Failure", "exit_code": 69, "error": "no answer", "error_code": 503}
    recorder.configure([{"join": False, "then": "end", "ended": ended}])
    code, result = recorder.run()
    assert (code, result.exit_code) == (69, 69)
    assert not (recorder.directory / "request-2.json").exists()


def test_a_missing_volume_fails_before_any_media(recorder: Recorder) -> None:
    recorder.configure([{"then": "wait"}])
    recorder.volume.rmdir()
    began = time.monotonic()
    code, result = recorder.run()
    assert time.monotonic() - began < 20
    assert (code, result.phase) == (78, "Failed")
    assert "fileOutputs[0].pvc" in result.error


def test_a_file_that_exists_is_never_overwritten(recorder: Recorder) -> None:
    recorder.configure([{"media": 10, "then": "end"}])
    (recorder.volume / "rec").mkdir()
    (recorder.volume / "rec" / "a.mp4").write_text("precious")
    _, result = recorder.run()
    assert (recorder.volume / "rec" / "a.mp4").read_text() == "precious"
    assert result.parts[0].filename == "rec/a-EG_test.mp4"
    assert (recorder.volume / "rec" / "a-EG_test.mp4").exists()


def test_two_outputs_get_the_same_file(recorder: Recorder) -> None:
    (recorder.volume.parent / "second").mkdir()
    outputs = [
        {"filepath": "a.mp4", "destination": {"kind": "pvc", "volume": "claim"}},
        {"filepath": "deep/{publisher_identity}.mp4", "destination": {"kind": "pvc", "volume": "second"}},
    ]
    recorder.configure([{"media": 10, "then": "end"}], outputs=outputs)
    code, result = recorder.run()
    assert code == 0
    assert [(part.part, part.output) for part in result.parts] == [(1, 0), (1, 1)]
    assert (recorder.volume.parent / "second" / "deep" / "alice.mp4").exists()
    assert (recorder.volume.parent / "second" / "deep" / "EG_test.json").exists()
    assert len(result.file_results) == 2


def test_the_names_of_a_track_composite_wait_for_the_publisher(recorder: Recorder) -> None:
    recorder.configure(
        [{"media": 10, "then": "end"}],
        source={"kind": "trackComposite", "videoTrackId": "TR_v"},
        outputs=[
            {
                "filepath": "{publisher_identity}-{room_id}.mp4",
                "destination": {"kind": "pvc", "volume": "claim"},
            }
        ],
    )
    _, result = recorder.run()
    assert result.parts[0].filename == "alice-RM_fake.mp4"


def test_a_capture_that_does_not_end_is_killed_and_its_file_kept(
    recorder: Recorder,
) -> None:
    recorder.configure([{"media": 10, "then": "end-no-exit"}])
    code, result = recorder.run()
    assert (code, result.phase) == (0, "Complete")
    assert any("it said that it ended and did not exit" in line for line in recorder.log)


def test_a_later_part_continues_the_numbers_of_the_manifest(recorder: Recorder) -> None:
    recorder.configure([{"media": 10, "then": "end"}])
    recorder.run()
    recorder.configure([{"media": 20, "then": "end"}], part=2)
    _, result = recorder.run()
    assert [(part.part, part.filename) for part in result.parts] == [(1, "rec/a.mp4"), (2, "rec/a-p2.mp4")]
    assert len(result.gaps) == 1
    request = json.loads((recorder.directory / "request-1.json").read_text())
    assert request["continuing"] is True
    assert request["recorded"] == 1.0


def test_a_part_2_without_media_is_a_natural_end(recorder: Recorder) -> None:
    part = {"part": 1, "filename": "rec/a.mp4", "location": "pvc://c/rec/a.mp4", "duration": 5.0, "size": 10}
    recorder.configure([{"then": "end"}], part=2, prior={"parts": [part]})
    code, result = recorder.run()
    assert (code, result.phase) == (0, "Complete")
    assert result.progress.duration == 5.0


def test_a_broken_configuration_is_told_in_the_termination_message(recorder: Recorder) -> None:
    recorder.configure([{"then": "wait"}])
    (recorder.config_dir / "config.json").write_text('{"egressId": "x", "roomName": 1')
    code, result = recorder.run()
    assert (code, result.egress_id, result.exit_code) == (78, "EG_unknown", 78)
    assert "recorder configuration is not JSON" in result.error


def test_a_missing_token_is_told_in_the_termination_message(recorder: Recorder) -> None:
    recorder.configure([{"then": "wait"}])
    (recorder.config_dir / "token").unlink()
    code, result = recorder.run()
    assert (code, result.egress_id) == (78, "EG_test")
    assert "token is missing" in result.error


def test_requests_without_the_control_token_are_refused(recorder: Recorder) -> None:
    recorder.configure([{"then": "wait"}])
    recorder.start()
    assert recorder.request("GET", "/v1/status", token="")[0] == 401
    assert recorder.request("GET", "/v1/status", token="wrong")[0] == 401
    stop = b'{"generation":9,"desiredState":"Stopped"}'
    assert recorder.request("PUT", "/v1/desired-state", stop, token="wrong")[0] == 401
    assert recorder.request("GET", "/v1/status")[0] == 200
    assert recorder.request("GET", "/livez", token="")[0] == 200
    assert recorder.request("GET", "/readyz", token="")[0] == 503
    assert "livekit_egress_recorder_recording 0.0" in recorder.request("GET", "/metrics", token="")[1]
    assert recorder.request("PUT", "/v1/desired-state", b"{")[0] == 400
    assert recorder.request("POST", "/v1/ack", b"")[0] == 409


def test_a_renewed_token_reaches_the_capture_process(recorder: Recorder) -> None:
    recorder.configure(
        [{"media": 10, "then": "wait"}], source={"kind": "trackComposite", "audioTrackId": "TR_a"}
    )
    recorder.start()
    recorder.until_status(lambda status: status.recording)
    before = recorder.status().sequence
    (recorder.config_dir / "token").write_text(TOKEN.replace("c2lnbm", "b3RoZX"))
    time.sleep(1.5)
    assert recorder.status().sequence >= before
    recorder.signal(signal.SIGTERM)
    assert recorder.wait()[0] == 75


def test_streams_of_the_directory_reach_the_capture_process_and_their_results_the_status(
    recorder: Recorder,
) -> None:
    def streams(*keys: str) -> str:
        entries = [{"key": key, "url": f"rtmp://h/app/hidden-key-{key}", "protocol": "RTMP"} for key in keys]
        return json.dumps({"streams": entries})

    recorder.configure([{"media": 10, "then": "wait"}], streaming=True)
    (recorder.config_dir / "streams.json").write_text(streams("a"))
    recorder.start()
    recorder.until_status(lambda status: status.recording)
    assert '"key": "a"' in next(recorder.config_dir.parent.rglob("request-1.json")).read_text()
    (recorder.config_dir / "streams.json").write_text(streams("a", "b"))
    status = recorder.until_status(lambda status: len(status.stream_results) == 2)
    assert {one.key: one.status for one in status.stream_results} == {"a": "ACTIVE", "b": "ACTIVE"}
    assert "hidden-key" not in status.to_json()
    recorder.request("PUT", "/v1/desired-state", b'{"generation":1,"desiredState":"Stopped"}')
    code, result = recorder.wait()
    assert code == 0
    assert {one.key: one.status for one in result.stream_results} == {"a": "FINISHED", "b": "FINISHED"}


def test_a_result_that_does_not_fit_waits_for_its_acknowledgement(recorder: Recorder) -> None:
    parts = [
        {
            "part": number,
            "filename": f"rec/a-p{number}-{'x' * 60}.mp4",
            "location": f"pvc://c/{'y' * 60}",
            "size": 1,
        }
        for number in range(1, 41)
    ]
    recorder.configure([{"media": 10, "then": "end"}], part=41, maxParts=50, prior={"parts": parts})
    recorder.start()
    status = recorder.until_status(lambda status: status.phase == "Complete")
    assert len(status.parts) == 41
    assert recorder.request("POST", "/v1/ack", b"")[0] == 204
    code, result = recorder.wait(3)
    assert code == 0
    assert result.truncated
    assert result.phase == "Complete"
    assert len(recorder.termination_log.read_bytes()) <= 4096
    assert len(recorder.manifest().parts) == 41


def test_no_token_and_no_credential_appears_in_logs_status_manifest_or_child(recorder: Recorder) -> None:
    recorder.environment = {
        "AWS_SECRET_ACCESS_KEY": "aws-secret-of-the-pod",
        "LIVEKIT_API_SECRET": "livekit-secret",
    }
    log = f"joining wss://x/rtc?access_token={TOKEN}&sdk=1 with {CONTROL_TOKEN} and {TOKEN[:40]}"
    ended = {
        "phase": "Failed",
        "reason": "Failure",
        "exit_code": 69,
        "error": f"refused {TOKEN}",
        "error_code": 503,
    }
    recorder.configure([{"media": 10, "then": "end", "log": log, "ended": ended}])
    _, result = recorder.run()
    assert result.error == "refused ***"
    recorder.until(lambda: any("joining wss://x/rtc?access_token=***" in line for line in recorder.log))
    everything = "".join(recorder.log) + recorder.termination_log.read_text()
    everything += (recorder.volume / "rec" / "EG_test.json").read_text()
    for secret in (TOKEN, TOKEN[:20], TOKEN[-12:], CONTROL_TOKEN, "aws-secret-of-the-pod"):
        assert secret not in everything
    environment = (recorder.directory / "environment-1.json").read_text()
    assert "aws-secret-of-the-pod" not in environment
    assert "livekit-secret" not in environment
