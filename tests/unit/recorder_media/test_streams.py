"""A stream's queue, its life, the packets on their way to its process, and the process' end; no network."""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import av
import pytest

from egress_recorder.ipc_streams import StreamReport, StreamTarget
from egress_recorder.media.encoder import VideoEncoder
from egress_recorder.media.fanout import FanOut
from egress_recorder.media.h264 import FILLER, Repeater, without_filler
from egress_recorder.media.packets import EncodedPacket
from egress_recorder.media.values import MediaSpec
from egress_recorder.outputs import OUTPUTS, stream_wire
from egress_recorder.outputs.stream import RunningStream
from egress_recorder.outputs.stream_feed import Patience
from egress_recorder.outputs.stream_life import GIVE_UP, StreamLife
from egress_recorder.outputs.stream_queue import PacketQueue
from egress_recorder.outputs.stream_set import StreamSet

pytestmark = pytest.mark.unit

SPEC = MediaSpec(160, 120, 10, 500, 64, audio=False, constant=True, key_frame_interval=1.0)
TARGET = StreamTarget(key="0/a", url="rtmp://127.0.0.1/live/very-secret-key", protocol="RTMP")


def packet(index: int, *, key: bool = False, size: int = 100) -> EncodedPacket:
    inner = av.Packet(size)
    inner.pts = inner.dts = index
    inner.duration, inner.time_base, inner.is_keyframe = 1, Fraction(1, 10), key
    return EncodedPacket("video", inner, index / 10, 0.1, "h264")


def taken(queue: PacketQueue) -> list[int]:
    found = []
    while (one := queue.get(0.0)) is not None:
        assert one.packet.pts is not None
        found.append(one.packet.pts)
    return found


# ---- the queue ------------------------------------------------------------------------------------------------------


def test_a_stream_begins_with_a_key_frame() -> None:
    queue = PacketQueue(video=True)
    for index in range(4):
        queue.put(packet(index, key=index == 2))

    assert taken(queue) == [2, 3]


@pytest.mark.parametrize("bounds", [{"max_seconds": 1.0}, {"max_bytes": 1100}])
def test_a_full_queue_drops_everything_up_to_the_next_key_frame(bounds: dict[str, float]) -> None:
    queue = PacketQueue(video=True, **bounds)  # type: ignore[arg-type]
    for index in range(20):
        queue.put(packet(index, key=index in {0, 15}))

    assert taken(queue) == [15, 16, 17, 18, 19]
    assert queue.dropped == 12


def test_a_key_frame_that_overflows_the_queue_is_kept() -> None:
    queue = PacketQueue(video=True, max_bytes=500)
    for index in range(6):
        queue.put(packet(index, key=index in {0, 5}))

    assert taken(queue) == [5]


def test_a_new_connection_forgets_what_waited_for_the_old_one() -> None:
    queue = PacketQueue(video=True)
    queue.put(packet(0, key=True))
    queue.restart()
    queue.put(packet(1))
    queue.put(packet(2, key=True))

    assert taken(queue) == [2]


def test_a_closed_queue_gives_what_it_has_and_is_over() -> None:
    queue = PacketQueue(video=False)
    queue.put(packet(0))
    queue.close()
    queue.put(packet(1))

    assert not queue.over
    assert taken(queue) == [0]
    assert queue.over


# ---- its life -------------------------------------------------------------------------------------------------------


def test_a_stream_that_never_delivered_has_failed_at_its_first_error() -> None:
    life = StreamLife()

    assert life.broke("refused", 1.0) is None
    assert life.failed
    assert life.error == "refused"


def test_a_stream_that_delivered_is_tried_for_thirty_seconds_with_growing_pauses() -> None:
    life = StreamLife()
    life.progressed(5000)
    now, pauses = 100.0, []
    while (pause := life.broke("gone", now)) is not None:
        pauses.append(pause)
        now += pause
    assert pauses[:5] == [0.5, 1.0, 2.0, 4.0, 5.0]
    assert sum(pauses) == GIVE_UP
    assert life.failed
    assert life.retries == len(pauses)


def test_only_real_progress_gives_new_time() -> None:
    life = StreamLife()
    life.progressed(5000)
    life.broke("gone", 0.0)
    life.progressed(4096)
    life.broke("gone", 20.0)
    life.progressed(5000)
    assert life.broke("gone", 40.0) == 0.5
    life.progressed(100)
    assert life.broke("gone", 70.0) is None


# ---- the way to its process -----------------------------------------------------------------------------------------


def test_packets_arrive_as_they_were_sent_and_a_cut_one_is_the_end() -> None:
    one = packet(7, key=True, size=33)
    line = stream_wire.pack(one)
    pipe = io.BytesIO(line + line[:-1])

    item = stream_wire.read(pipe)

    assert item == stream_wire.Item(video=True, key=True, pts=7, duration=1, data=bytes(one.packet))
    assert stream_wire.read(pipe) is None


def run_stream(
    tmp_path: Path, script: str, accept: Callable[[StreamReport], bool], **patience: float
) -> StreamReport:
    """Run a stream with a process of our own until its report is as wanted."""
    program = tmp_path / "process.py"
    program.write_text("import os, sys, time, json\n" + script)
    stream = RunningStream(
        TARGET,
        SPEC,
        wall=lambda: datetime.now(UTC),
        command=(sys.executable, "-u", str(program)),
        patience=Patience(**{"finish": 5.0, **patience}),
    )
    deadline, index = time.monotonic() + 60, 0
    # More than a pipe holds goes to the process only after it has been heard.
    while not accept(stream.report):
        assert time.monotonic() < deadline, stream.report
        stream.write(packet(index, key=index % 5 == 0, size=3000))
        index += 1
        time.sleep(0.01)
    stream.finish()
    stream.join(30)
    return stream.report


CONNECT = 'print(json.dumps({"event": "connected"}))\n'


def test_a_process_that_reads_to_its_end_finishes_the_stream(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    script = CONNECT + f"open({str(kept)!r}, 'wb').write(sys.stdin.buffer.read())\n"

    report = run_stream(tmp_path, script, lambda report: report.started_at is not None)

    assert report.status == "FINISHED"
    assert report.url == "rtmp://127.0.0.1/live/{ver...key}"
    opening = json.loads(kept.read_bytes().split(b"\n", 1)[0])
    assert opening["url"] == TARGET.url
    assert report.ended_at is not None


def test_a_refused_stream_has_failed_with_the_words_of_its_process_but_not_its_key(tmp_path: Path) -> None:
    said = json.dumps({"event": "failed", "error": f"no: {TARGET.url} and very-secret-key"})

    report = run_stream(tmp_path, f"print({said!r})\n", lambda report: report.status == "FAILED")

    assert report.error == "no: *** and ***"


def test_a_receiver_that_does_not_answer_is_given_up(tmp_path: Path) -> None:
    report = run_stream(tmp_path, "time.sleep(600)\n", lambda report: report.status == "FAILED", connect=0.5)

    assert report.error == "the receiver did not answer within 0.5 s"


def test_a_receiver_that_stops_reading_loses_its_connection_and_gets_another(tmp_path: Path) -> None:
    script = CONNECT + "sys.stdin.buffer.read(200000)\ntime.sleep(600)\n"

    report = run_stream(tmp_path, script, lambda report: report.retries >= 1, stall=0.5)

    assert report.last_retry_at is not None


def test_a_process_that_crashes_is_followed_by_another(tmp_path: Path) -> None:
    script = CONNECT + "sys.stdin.buffer.read(200000)\nos.abort()\n"

    report = run_stream(tmp_path, script, lambda report: report.retries >= 1)

    assert report.started_at is not None


# ---- all of them ----------------------------------------------------------------------------------------------------


class Started:
    """A stream that only notes."""

    def __init__(self, target: StreamTarget, spec: MediaSpec, *, wall: object) -> None:
        self.target, self.finished, self.got = target, 0, 0
        self.over = False
        self.report = StreamReport(key=target.key, url="")

    def write(self, _: EncodedPacket) -> None:
        self.got += 1

    def finish(self) -> None:
        self.finished += 1

    def join(self, timeout: float) -> None:
        pass


def test_the_running_streams_follow_the_wanted_ones(tmp_path: Path) -> None:
    made: list[Started] = []

    def start(*arguments: object, **named: object) -> Started:
        made.append(Started(*arguments, **named))  # type: ignore[arg-type]
        return made[-1]

    streams = StreamSet(SPEC, wall=lambda: datetime.now(UTC), start=start)  # type: ignore[arg-type]
    other = StreamTarget(key="0/b", url="srt://h:1", protocol="SRT")
    lost = StreamTarget(key="0/c", url="", protocol="RTMP", id="c", error="Secret x does not exist")
    streams.want([TARGET])
    FanOut([], [streams]).write(packet(0, key=True))
    streams.want([other, TARGET, lost])
    streams.want([other, lost])
    streams.write(packet(1))

    assert [(one.target.key, one.got, one.finished) for one in made] == [("0/a", 1, 1), ("0/b", 1, 0)]
    assert [(one.key, one.status) for one in streams.reports] == [
        ("0/a", "ACTIVE"),
        ("0/b", "ACTIVE"),
        ("0/c", "FAILED"),
    ]
    streams.want([StreamTarget(key="0/b", url="srt://h:2", protocol="SRT")])
    assert made[1].finished == 1
    assert made[2].target.url == "srt://h:2"
    streams.close()
    streams.want([TARGET])
    assert made[2].finished == 1
    assert len(made) == 3


def fail(stream: Started, second: int) -> None:
    stream.over = True
    stream.report = StreamReport(
        key=stream.target.key,
        url=f"rtmp://h/{stream.target.key}",
        status="FAILED",
        ended_at=datetime(2026, 11, 22, 9, 0, second, tzinfo=UTC),
        error="refused",
    )


@pytest.mark.parametrize(
    ("steps", "wanted"),
    [
        ((), ""),
        (("want a",), None),
        (("want a", "want"), ""),
        (("want a", "fail a 5"), "rtmp://h/a: refused"),
        (("want a b", "fail a 5"), None),
        (("want a b", "fail a 5", "fail b 4"), "rtmp://h/a: refused"),
        (("want a b", "fail a 5", "want a"), ""),
        (("want a b", "want a", "fail a 31"), "rtmp://h/a: refused"),
        (("want a", "fail a 5", "want a b"), None),
    ],
)
def test_the_last_stream_to_go_says_how_all_of_them_have_ended(
    steps: tuple[str, ...], wanted: str | None
) -> None:
    made: dict[str, Started] = {}

    def start(target: StreamTarget, *arguments: object, **named: object) -> Started:
        made[target.key] = Started(target, *arguments, **named)  # type: ignore[arg-type]
        return made[target.key]

    # Streams are removed at second 30.
    removed_at = datetime(2026, 11, 22, 9, 0, 30, tzinfo=UTC)
    streams = StreamSet(SPEC, wall=lambda: removed_at, start=start)  # type: ignore[arg-type]
    for step in steps:
        match step.split():
            case ["fail", key, second]:
                fail(made[key], int(second))
            case ["want", *keys]:
                streams.want([StreamTarget(key=key, url=key, protocol="RTMP") for key in keys])

    assert streams.exhausted() == wanted


def test_a_stream_without_a_url_is_named_by_its_sentence() -> None:
    streams = StreamSet(SPEC, wall=lambda: datetime.now(UTC))
    streams.want([StreamTarget(key="0/c", url="", protocol="RTMP", error="Secret x does not exist")])

    assert streams.exhausted() == "Secret x does not exist"


# ---- the constant bitrate -------------------------------------------------------------------------------------------


def test_streams_get_filler_and_files_do_not(tmp_path: Path) -> None:
    encoder = VideoEncoder(SPEC)
    packets = [one for index in range(30) for one in encoder.encode(None, index)]
    sizes = sum(one.packet.size for one in packets)
    output = OUTPUTS["MP4"].open(tmp_path, SPEC)
    for one in packets:
        output.write(one)
    output.close()

    # 500 kbit/s for 3 s of black, less what the VBV does not hold at the beginning.
    assert 0.6 * 187_500 < sizes < 1.1 * 187_500
    assert output.bytes_written < 20_000
    with av.open(str(tmp_path / output.filename)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 30
    assert all(FILLER not in without_filler(bytes(one.packet)) for one in packets)
    # The ladder's repeated pictures know these parameter sets, too.
    assert Repeater.of(bytes(packets[0].packet)).frame_num_bits
