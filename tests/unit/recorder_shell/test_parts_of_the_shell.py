"""The small pieces: configuration directory, names, board, health, S3 addresses, log lines, termination message."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import time
from contextlib import aclosing
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from egress_recorder.configdir import ConfigDirectory
from egress_recorder.contract import (
    Corrections,
    Phase,
    Progress,
    RecorderConfig,
    RecorderResult,
    RecorderStatus,
    S3Destination,
)
from egress_recorder.errors import ConfigurationError, UnreachableError
from egress_recorder.health import Health
from egress_recorder.metrics import render
from egress_recorder.storage.s3_names import checked_endpoint, object_url
from egress_recorder.supervisor.attempt import relay_log_line
from egress_recorder.supervisor.board import StatusBoard
from egress_recorder.supervisor.outputs import Names
from egress_recorder.supervisor.process import child_environment
from egress_recorder.supervisor.termination import failure_result, write_termination_message

pytestmark = pytest.mark.unit


def config(*filepaths: str, **changes: Any) -> RecorderConfig:
    values = {
        "egressId": "EG_x",
        "url": "ws://x",
        "roomName": "r",
        "source": {"kind": "trackComposite", "audioTrackId": "TR_a"},
        "outputs": [{"filepath": path, "destination": {"kind": "pvc", "volume": "v"}} for path in filepaths],
        "requestedAt": "2026-11-22T10:00:00Z",
        **changes,
    }
    return RecorderConfig.model_validate(values)


# ---- configuration directory ---------------------------------------------------------------------------------


def swap(directory: Path, files: dict[str, str]) -> None:
    """What the kubelet does: a new directory, then one rename of the ..data symlink."""
    fresh = directory / f"..{time.monotonic_ns()}"
    fresh.mkdir()
    for name, text in files.items():
        (fresh / name).write_text(text)
        if not (directory / name).is_symlink():
            (directory / name).symlink_to(Path("..data") / name)
    (directory / "..new").symlink_to(fresh.name)
    (directory / "..new").rename(directory / "..data")


async def test_a_swap_of_the_secret_is_seen(tmp_path: Path) -> None:
    swap(tmp_path, {"token": "first-token", "control-token": "value-of-the-control-token"})
    directory = ConfigDirectory(tmp_path)
    inputs = directory.inputs()
    assert (inputs.token, inputs.desired.desired_state) == ("first-token", "Recording")
    async with aclosing(directory.watch(inputs, interval=0.001)) as changes:
        swap(tmp_path, {"token": "second-token", "control-token": "value-of-the-control-token"})
        assert (await anext(changes)).token == "second-token"
        desired = '{"generation": 2, "desiredState": "Stopped"}'
        swap(
            tmp_path,
            {
                "token": "second-token",
                "control-token": "value-of-the-control-token",
                "desired-state.json": desired,
            },
        )
        assert (await anext(changes)).desired.generation == 2


def test_files_that_are_missing_or_wrong_are_named(tmp_path: Path) -> None:
    directory = ConfigDirectory(tmp_path)
    with pytest.raises(ConfigurationError, match=r"config\.json is missing"):
        directory.config()
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ConfigurationError, match="egressId"):
        directory.config()
    (tmp_path / "token").write_text(" \n")
    with pytest.raises(ConfigurationError, match=r"token .* is empty"):
        directory.inputs()
    (tmp_path / "token").write_text("t")
    (tmp_path / "desired-state.json").write_text('{"desiredState": "Sideways"}')
    with pytest.raises(ConfigurationError, match="desired-state"):
        directory.inputs()


# ---- names ---------------------------------------------------------------------------------------------------


def test_names_are_resolved_once_and_then_stay() -> None:
    names = Names(config("{publisher_identity}/{room_id}.mp4"))
    assert names.of_part(1) == ("{publisher_identity}/{room_id}.mp4",)
    names.learn(room_id="RM_1", publisher_identity="alice")
    names.learn(room_id="RM_2", publisher_identity="bob")
    assert names.of_part(2) == ("alice/RM_1-p2.mp4",)


def test_a_value_that_never_became_known_does_not_leave_a_brace() -> None:
    assert Names(config("{publisher_identity}.mp4")).final(1) == ("unknown.mp4",)


def test_a_wrong_name_says_which_output() -> None:
    with pytest.raises(ConfigurationError, match=r"fileOutputs\[1\]: .*unknown token"):
        Names(config("a.mp4", "{nobody}.mp4"))


# ---- status board and health ---------------------------------------------------------------------------------


async def test_a_long_poll_returns_at_the_next_change_or_after_its_time() -> None:
    board = StatusBoard("EG_x")
    first = board.status.sequence
    waiting = asyncio.create_task(board.after(first, 5))
    await asyncio.sleep(0)
    board.update(message="")
    assert not waiting.done()
    board.update(message="new")
    assert (await waiting).message == "new"
    assert board.status.sequence == first + 1
    assert (await board.after(board.status.sequence, 0)).message == "new"


def test_readiness_latches_at_the_first_media_and_falls_while_ending() -> None:
    board = StatusBoard("EG_x")
    health = Health(board, clock=lambda: 0.0)
    assert health.why_not_ready() == "no media yet"
    board.update(phase=Phase.ACTIVE, recording=True)
    assert health.why_not_ready() == ""
    board.update(recording=False)
    assert health.why_not_ready() == ""
    board.update(phase=Phase.ENDING)
    assert health.why_not_ready() == "ending"


def test_a_recording_without_progress_for_30_s_is_not_alive() -> None:
    board, now = StatusBoard("EG_x"), [0.0]
    health = Health(board, clock=lambda: now[0])
    board.update(phase=Phase.ACTIVE, recording=True, progress=Progress(duration=1.0))
    assert health.why_not_alive() == ""
    now[0] = 29.0
    assert health.why_not_alive() == ""
    now[0] = 31.0
    assert "no progress" in health.why_not_alive()
    assert "no progress" in health.why_not_ready()
    board.update(progress=Progress(duration=2.0))
    assert health.why_not_alive() == ""
    now[0] = 100.0
    board.update(recording=False)
    assert health.why_not_alive() == ""


# ---- S3 addresses --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("destination", "url"),
    [
        (S3Destination(bucket="b-1"), "https://b-1.s3.amazonaws.com/d/a%20b.mp4"),
        (
            S3Destination(bucket="b-1", region="eu-central-1"),
            "https://b-1.s3.eu-central-1.amazonaws.com/d/a%20b.mp4",
        ),
        (S3Destination(bucket="b.1"), "https://s3.amazonaws.com/b.1/d/a%20b.mp4"),
        (
            S3Destination(bucket="b-1", endpoint="https://s3.example.com"),
            "https://b-1.s3.example.com/d/a%20b.mp4",
        ),
        (S3Destination(bucket="b-1", endpoint="s3.example.com/"), "https://b-1.s3.example.com/d/a%20b.mp4"),
        (
            S3Destination(bucket="b-1", endpoint="http://minio:9000", force_path_style=True),
            "http://minio:9000/b-1/d/a%20b.mp4",
        ),
        (
            S3Destination(bucket="b-1", endpoint="http://10.0.0.1:9000"),
            "http://10.0.0.1:9000/b-1/d/a%20b.mp4",
        ),
    ],
)
def test_a_location_is_the_address_of_the_object(destination: S3Destination, url: str) -> None:
    endpoint = checked_endpoint(destination.endpoint, "fileOutputs[0].s3")
    assert object_url(destination, endpoint, "d/a b.mp4") == url


# ---- processes -----------------------------------------------------------------------------------------------


def test_the_child_gets_no_credentials() -> None:
    environment = {"PATH": "/bin", "AWS_SESSION_TOKEN": "x", "LIVEKIT_API_SECRET": "y", "LIVEKIT_URL": "z"}
    assert child_environment(environment) == {"PATH": "/bin"}


def test_orphans_are_reaped_and_our_own_children_are_left(tmp_path: Path) -> None:
    program = (
        "import ctypes, os, subprocess, sys, time\n"
        "from egress_recorder.supervisor.process import OWN_CHILDREN, reap_orphans\n"
        "ctypes.CDLL(None).prctl(36, 1)\n"  # PR_SET_CHILD_SUBREAPER: what PID 1 is by nature
        "subprocess.run(['sh', '-c', 'sleep 0.05 & echo $!'], check=True, stdout=subprocess.DEVNULL)\n"
        "own = subprocess.Popen([sys.executable, '-c', 'raise SystemExit(7)']); OWN_CHILDREN.add(own.pid)\n"
        "time.sleep(0.4); first = reap_orphans(); code = own.wait(); OWN_CHILDREN.clear()\n"
        "second = reap_orphans()\n"
        "left = open(f'/proc/{os.getpid()}/task/{os.getpid()}/children').read().split()\n"
        "print(code, second, left)\n"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(root / "recorder")},
    )
    assert done.stdout.strip() == "7 True []"


def test_a_line_of_the_child_keeps_its_level_and_plain_text_is_kept_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    relay_log_line(
        json.dumps({"time": "t", "level": "error", "logger": "livekit", "message": "lost", "room": "r"})
    )
    relay_log_line("[h264 @ 0x1] broken pipe")
    relay_log_line("{not json")
    relay_log_line("")
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("ERROR", "lost"),
        ("INFO", "[h264 @ 0x1] broken pipe"),
        ("INFO", "{not json"),
    ]
    assert caplog.records[0].capture_room == "r"  # type: ignore[attr-defined]


# ---- the last word -------------------------------------------------------------------------------------------


def test_an_unexpected_error_names_its_type_and_not_its_words(tmp_path: Path) -> None:
    result = failure_result(ExceptionGroup("g", [ValueError("secret words")]))
    assert (result.exit_code, result.egress_id) == (70, "EG_unknown")
    assert "ValueError" in result.error
    assert "secret words" not in result.error
    assert failure_result(ExceptionGroup("g", [UnreachableError("gone")])).exit_code == 69
    log = tmp_path / "log"
    assert write_termination_message(log, result)
    assert RecorderResult.parse(log.read_bytes()) == result


def test_a_termination_log_that_cannot_be_written_is_no_second_failure(tmp_path: Path) -> None:
    assert write_termination_message(tmp_path / "none" / "log", failure_result(ValueError()))


def test_every_correction_is_a_metric() -> None:
    values = {one.name: index + 1 for index, one in enumerate(fields(Corrections))}
    status = RecorderStatus(egress_id="EG_x", progress=Progress(corrections=Corrections(**values)))  # type: ignore[arg-type]
    lines = render(status)[0].decode().splitlines()
    told = sorted(
        float(line.rpartition(" ")[2])
        for line in lines
        if line.startswith("livekit_egress_recorder_") and not line.endswith(" 0.0")
    )
    assert told == [float(value) for value in sorted(values.values())]
    assert 'livekit_egress_recorder_frames_dropped_by_reason_total{reason="late"} 1.0' in lines


def test_troubles_and_backups_are_metrics() -> None:
    status = RecorderStatus(
        egress_id="EG_x", troubles={"FileHeld": "why", "OfALaterRelease": "x"}, backup_storage_writes=2
    )

    text = render(status)[0].decode()

    assert 'livekit_egress_recorder_trouble{trouble="FileHeld"} 1.0' in text
    assert 'livekit_egress_recorder_trouble{trouble="ScratchPressure"} 0.0' in text
    assert "livekit_egress_recorder_backup_storage_writes_total 2.0" in text
    assert "OfALaterRelease" not in text
