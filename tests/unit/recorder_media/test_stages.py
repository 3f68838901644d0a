"""The small stages: mixer, gate, mailbox, lip sync, canvas, connect errors."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from egress_recorder.contract import ExitCode
from egress_recorder.media.canvas import Canvas, even_planes
from egress_recorder.media.gate import LIMIT, Gate
from egress_recorder.media.lipsync import SOUND_LAG, LipSync
from egress_recorder.media.mailbox import Mailbox, Sort
from egress_recorder.media.mixer import AudioMixer, stretch
from egress_recorder.media.values import Picture
from egress_recorder.sources.connect import explain

pytestmark = pytest.mark.unit
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJlIn0.4uWf5JI"


def tone(value: int, samples: int) -> np.ndarray:
    return np.full((samples, 2), value, np.int16)


# ---- mixer


def test_tracks_are_added_and_clipped() -> None:
    mixer = AudioMixer()
    mixer.write(0, tone(20_000, 100))
    mixer.write(50, tone(20_000, 100))
    out = mixer.read(150)
    assert out[:50].max() == 20_000
    assert set(out[50:100].ravel()) == {32_767}
    assert set(out[100:].ravel()) == {20_000}
    assert mixer.silence == 0


def test_silence_is_what_nobody_wrote() -> None:
    mixer = AudioMixer()
    mixer.write(100, tone(5, 100))
    out = mixer.read(300)
    assert (out[:100] == 0).all()
    assert (out[100:200] == 5).all()
    assert mixer.silence == 200


def test_silence_that_is_held_counts_only_once_it_belongs_to_the_file() -> None:
    mixer = AudioMixer()
    mixer.hold(150)
    mixer.hold(10)  # the first departure counts
    mixer.read(100)
    mixer.write(200, tone(5, 50))
    mixer.read(300)
    assert mixer.silence == 150
    mixer.release()
    assert mixer.silence == 250
    mixer.read(400)
    assert mixer.silence == 350


def test_samples_that_come_too_late_are_cut_and_reported() -> None:
    mixer = AudioMixer()
    mixer.read(1000)
    assert mixer.write(900, tone(7, 300)) == 100
    assert (mixer.read(1200) == 7).all()
    assert mixer.write(0, tone(7, 300)) == 300


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 3000)), max_size=20), st.integers(100, 3000))
def test_what_is_read_is_the_sum_whatever_the_order(writes: list[tuple[int, int]], step: int) -> None:
    mixer, expected = AudioMixer(), np.zeros((9000, 2), np.int64)
    for position, length in writes:
        mixer.write(position, tone(3, length))
        expected[position : position + length] += 3
    pieces = [mixer.read(min(until, 9000)) for until in range(step, 9000 + step, step)]
    assert (np.concatenate(pieces) == expected).all()


def test_stretching_keeps_the_shape_and_gives_the_length() -> None:
    ramp = np.repeat(np.arange(2400, dtype=np.int16)[:, None], 2, axis=1)
    for length in (2376, 2400, 2424):
        out = stretch(ramp, length)
        assert len(out) == length
        assert (out[0, 0], out[-1, 0]) == (0, 2399)
        assert (np.diff(out[:, 0]) >= 0).all()


# ---- gate


@dataclass(frozen=True)
class Packet:
    file_time: float


def test_packets_after_the_departure_wait_and_come_back_in_order() -> None:
    gate: Gate[Packet] = Gate()
    packets = [Packet(n / 10) for n in range(100)]
    gate.close(5.0)
    gate.close(7.0)  # the first departure counts
    assert gate.pass_through(packets) == packets[:50]
    assert gate.open() == packets[50:]
    assert gate.pass_through([Packet(11)]) == [Packet(11)]


def test_discarded_packets_do_not_come_back() -> None:
    gate: Gate[Packet] = Gate()
    gate.close(0.0)
    gate.pass_through([Packet(1)])
    gate.discard()
    assert gate.open() == []


def test_the_wait_is_bounded() -> None:
    gate: Gate[Packet] = Gate()
    gate.close(0.0)
    out = [packet for n in range(1000) for packet in gate.pass_through([Packet(float(n))])]
    assert out[0] == Packet(0)
    assert len(out) == pytest.approx(1000 - LIMIT, abs=2)


# ---- mailbox


def test_a_full_mailbox_drops_the_oldest_picture_and_no_control() -> None:
    seen: list[str] = []
    mailbox = Mailbox(pictures=2, sound=1)
    for number in range(4):
        mailbox.put("picture", lambda n=number: seen.append(f"p{n}"))
        mailbox.put("control", lambda n=number: seen.append(f"c{n}"))
        mailbox.put("sound", lambda n=number: seen.append(f"s{n}"))
    for action in mailbox.take(0):
        action()
    assert seen == ["c0", "s0", "c1", "p2", "c2", "p3", "c3"]
    assert (mailbox.dropped_pictures, mailbox.dropped_sound) == (2, 3)
    assert mailbox.take(0) == []


@pytest.mark.parametrize("sort", ["sound", "statistic"])
def test_what_has_time_wakes_nobody_and_is_taken_along_in_order(sort: Sort) -> None:
    seen: list[str] = []
    mailbox = Mailbox()
    mailbox.put(sort, lambda: seen.append("first"))
    begun = time.monotonic()
    for action in mailbox.take(0.1):
        action()
    assert time.monotonic() - begun >= 0.09, "a reader was woken for it"
    assert seen == ["first"]
    mailbox.put(sort, lambda: seen.append("second"))
    mailbox.put("control", lambda: seen.append("third"))
    for action in mailbox.take(60):
        action()
    assert seen == ["first", "second", "third"]


@pytest.mark.parametrize("sort", ["picture", "control"])
def test_a_reader_that_waits_is_woken_by_what_cannot_wait(sort: Sort) -> None:
    mailbox, waits = Mailbox(), threading.Event()
    taken: list[int] = []

    def read() -> None:
        waits.set()
        taken.append(len(mailbox.take(60)))

    reader = threading.Thread(target=read)
    reader.start()
    waits.wait()
    mailbox.put(sort, lambda: None)
    reader.join(timeout=10)
    assert taken == [1]


# ---- lip sync


def test_the_correction_is_audio_minus_video_delay_at_the_pictures_time() -> None:
    sync = LipSync()
    for second in range(4):
        sync.measured("v", 0.02, float(second))
        sync.measured("a", 0.1 + 0.02 * second, float(second))
    assert sync.correction("v", "a", 1.5) == pytest.approx(0.11 + SOUND_LAG, abs=1e-6)


def test_without_sound_nothing_is_corrected_and_a_lost_sound_keeps_the_last_correction() -> None:
    sync = LipSync()
    sync.measured("v", 0.02, 0.0)
    assert sync.correction("v", None, 1.0) == 0.0
    sync.measured("a", 0.12, 0.0)
    assert sync.correction("v", "a", 1.0) == pytest.approx(0.1 + SOUND_LAG)
    sync.forget("a")
    assert sync.correction("v", "a", 2.0) == pytest.approx(0.1 + SOUND_LAG)


@pytest.mark.parametrize("forgotten", [True, False])
def test_a_sound_that_follows_another_one_is_obeyed_when_its_buffer_has_found_its_size(
    forgotten: bool,
) -> None:
    sync = LipSync()
    sync.measured("v", 0.02, 0.0)
    sync.measured("a", 0.12, 0.0)
    was = sync.correction("v", "a", 1.0)
    if forgotten:
        sync.forget("a")
    for number in range(8):
        sync.measured("b", 0.02 + 0.01 * number, 10 + number / 10)
    assert sync.correction("v", "b", 10.3) == pytest.approx(was)
    assert sync.correction("v", "b", 10.45) == pytest.approx(was)
    assert sync.correction("v", "b", 10.7) == pytest.approx(0.07 + SOUND_LAG)
    sync.measured("b", 0.09, 10.8)
    assert sync.correction("v", "b", 10.8) == pytest.approx(0.07 + SOUND_LAG)


def test_pictures_that_begin_anew_follow_at_once_what_is_measured_of_them() -> None:
    sync = LipSync()
    sync.measured("a", 0.10, 0.0)
    sync.measured("v", 0.02, 0.0)
    sync.correction("v", "a", 1.0)
    sync.measured("v", 0.06, 1.0)
    assert sync.correction("v", "a", 1.04) == pytest.approx(0.07 + SOUND_LAG), "0.25 s/s"
    sync.measured("v", 0.02, 4.0)
    assert sync.correction("v", "a", 4.0) == pytest.approx(0.08 + SOUND_LAG)
    sync.measured("v", 0.06, 4.1)
    assert sync.correction("v", "a", 4.1) == pytest.approx(0.04 + SOUND_LAG), "after a pause 3 s/s"
    for at in (4.5, 4.9, 5.0):
        sync.correction("v", "a", at)
    sync.measured("v", 0.02, 5.0)
    assert sync.correction("v", "a", 5.04) == pytest.approx(0.05 + SOUND_LAG), "and later 0.25 s/s again"


def test_the_first_sound_is_obeyed_at_once() -> None:
    sync = LipSync()
    sync.measured("v", 0.02, 0.0)
    sync.correction("v", "a", 0.1)
    sync.measured("a", 0.12, 5.0)
    assert sync.correction("v", "a", 5.0) == pytest.approx(0.1 + SOUND_LAG)


def test_impossible_delays_are_ignored() -> None:
    sync = LipSync()
    sync.measured("v", 0.0, 0.0)
    for value in (-1.1, 900.0):
        sync.measured("a", value, 0.0)
    assert sync.correction("v", "a", 1.0) == 0.0


def test_a_picture_whose_time_lies_before_its_receipt_is_moved_later_by_that_too() -> None:
    sync = LipSync()
    sync.measured("v", -0.08, 0.0)
    sync.measured("a", 0.04, 0.0)
    assert sync.correction("v", "a", 1.0) == pytest.approx(0.12 + SOUND_LAG)


# ---- canvas


def picture(width: int, height: int, value: int = 235, rotation: int = 0) -> Picture:
    chroma = 2 * ((width + 1) // 2) * ((height + 1) // 2)
    return Picture(bytes([value]) * (width * height) + bytes([128]) * chroma, width, height, rotation)


@pytest.mark.parametrize(
    ("width", "height", "rotation", "bars"),
    [
        (1280, 720, 0, "none"),
        (640, 360, 0, "none"),
        (720, 1280, 0, "sides"),
        (1280, 720, 90, "sides"),
        (1280, 720, 180, "none"),
        (1280, 400, 0, "top"),
        (400, 225, 0, "none"),
        (401, 227, 270, "sides"),
    ],
)
def test_any_picture_fits_the_canvas_with_black_bars(
    width: int, height: int, rotation: int, bars: str
) -> None:
    frame = Canvas(1280, 720).fit(picture(width, height, rotation=rotation))
    luma = frame.to_ndarray()[:720]
    assert luma.shape == (720, 1280)
    assert luma[360, 640] > 200
    assert (luma[360, 2] < 30) == (bars == "sides")
    assert (luma[2, 640] < 30) == (bars == "top")


def test_a_change_of_size_is_no_problem() -> None:
    canvas = Canvas(1280, 720)
    for width, height in ((320, 180), (640, 360), (1280, 720), (320, 180), (225, 401)):
        frame = canvas.fit(picture(width, height))
        assert (frame.width, frame.height) == (1280, 720)


def test_odd_sizes_lose_their_last_row_and_column_only() -> None:
    luma = np.arange(5 * 7, dtype=np.uint8).reshape(5, 7)
    chroma = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
    planes = even_planes(Picture(luma.tobytes() + chroma.tobytes(), 7, 5))
    assert planes.shape == (6, 6)
    assert (planes[:4] == luma[:4, :6]).all()
    assert (
        planes[4:].ravel() == np.concatenate([chroma[0, :2, :3].ravel(), chroma[1, :2, :3].ravel()])
    ).all()


# ---- connect


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        (
            f"engine: signal failure: client error: 401 Unauthorized - invalid token: {TOKEN}, error: bad signature",
            ExitCode.AUTHORIZATION,
            "bad signature",
        ),
        ("engine: signal failure: client error: 401 Unauthorized - invalid API key: k", 77, "api-key"),
        ("engine: signal failure: client error: 404 Not Found - 404 page not found\n", 78, "without /rtc"),
        (
            "engine: signal failure: client error: 404 Not Found - requested room does not exist",
            65,
            "does not",
        ),
        ("engine: signal failure: transport connection error: IO error: Connection refused", 69, "refused"),
        ("IO error: failed to lookup address information: Name or service not known", 69, "is unknown"),
        ("IO error: received corrupt message of type InvalidContentType", 78, "use ws://"),
        ("failed to parse the url: unsupported scheme: ftp", 78, "ws:// or wss://"),
        ("engine: signal failure: transport timed out", 69, "timed out"),
    ],
)
def test_a_failed_connect_is_explained(text: str, code: int, words: str) -> None:
    error = explain(text, "ws://user:geheim@host:7880/?access_token=abcdefgh")
    assert error.exit_code == code
    assert words in str(error)
    for secret in ("eyJ", "geheim", "abcdefgh"):
        assert secret not in str(error)


def test_measurements_are_calm_when_both_are_there_and_the_sound_hardly_moves() -> None:
    sync = LipSync()
    assert sync.calm("v", None)
    assert not sync.calm("v", "a")
    sync.measured("v", 0.02, 0.0)
    sync.measured("a", 0.05, 0.0)
    assert sync.calm("v", "a")
    sync.measured("a", 0.20, 0.25)
    assert not sync.calm("v", "a")
    for number in range(16):
        sync.measured("a", 0.20, 0.5 + number / 4)
    assert sync.calm("v", "a")


def test_pictures_that_are_far_from_their_sound_follow_it_faster() -> None:
    near, far = LipSync(), LipSync()
    for sync, step in ((near, 0.045), (far, 0.5)):
        sync.measured("v", 0.0, 0.0)
        sync.measured("a", 0.1, 0.0)
        sync.correction("v", "a", 0.0)
        sync.measured("a", 0.1 + step, 0.001)
    assert near.correction("v", "a", 0.1) - near.correction("v", "a", 0.0) <= 0.0251
    before = 0.1 + SOUND_LAG
    assert far.correction("v", "a", 0.1) - before == pytest.approx(0.3, abs=0.01)


def test_the_delay_of_a_sound_counts_where_it_is_heard() -> None:
    sync = LipSync()
    for tenth in range(20):
        sync.measured("v", 0.0, tenth / 10)
        # What is heard from 1.2 s on is later by 0.3 s; the picture of that sound was captured 0.2 s before.
        sync.measured("a", 0.2 - SOUND_LAG if tenth < 12 else 0.5 - SOUND_LAG, tenth / 10)
    assert sync.correction("v", "a", 0.85) == pytest.approx(0.2)
    assert sync.correction("v", "a", 0.89) == pytest.approx(0.2)
    assert sync.correction("v", "a", 1.09) == pytest.approx(0.5, abs=0.04)
