"""Encoders, MP4 and pipeline with generated media, checked by decoding what they wrote."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import av
import numpy as np
import pytest

from egress_recorder import finalize
from egress_recorder.contract import ExitCode
from egress_recorder.errors import MediaError, RecorderError, RequestDataError
from egress_recorder.media.audioencoder import AudioEncoder
from egress_recorder.media.encoder import VideoEncoder
from egress_recorder.media.packets import EncodedPacket
from egress_recorder.media.pipeline import Pipeline
from egress_recorder.media.values import MediaSpec, Picture
from egress_recorder.outputs import OUTPUTS
from egress_recorder.outputs.base import ContainerOutput

pytestmark = pytest.mark.unit
SPEC = MediaSpec(width=320, height=180, framerate=30, video_bitrate=400, audio_bitrate=96)
SIZE = 320 * 180


def noise(seed: int) -> Picture:
    rng = np.random.default_rng(seed)
    luma = rng.integers(16, 235, SIZE, dtype=np.uint8)
    return Picture(luma.tobytes() + bytes([128]) * (SIZE // 2), 320, 180)


def grey(value: int) -> Picture:
    return Picture(bytes([value]) * SIZE + bytes([128]) * (SIZE // 2), 320, 180)


def encoded(seconds: float, spec: MediaSpec = SPEC) -> list[EncodedPacket]:
    packets: list[EncodedPacket] = []
    if spec.video:
        video = VideoEncoder(spec)
        for index in range(int(seconds * spec.framerate)):
            packets += video.encode(grey(16 + index % 200), index)
        packets += video.flush()
    if spec.audio:
        audio = AudioEncoder(spec)
        time_axis = np.arange(int(seconds * 48_000)) / 48_000
        tone = (8000 * np.sin(2 * np.pi * 440 * time_axis)).astype(np.int16)
        packets += audio.encode(np.stack([tone, -tone], axis=1)) + audio.flush()
    return sorted(packets, key=lambda packet: packet.file_time)


def write(directory: Path, packets: list[EncodedPacket], spec: MediaSpec = SPEC) -> ContainerOutput:
    output = OUTPUTS["MP4"].open(directory, spec)
    for packet in packets:
        output.write(packet)
    return output


def decode(path: Path) -> tuple[list[av.VideoFrame], float]:
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0)) if container.streams.video else []
    with av.open(str(path)) as container:
        samples = sum(f.samples for f in container.decode(audio=0)) if container.streams.audio else 0
    return frames, samples / 48_000


def test_video_has_key_frames_every_two_seconds_no_reordering_and_main_profile(tmp_path: Path) -> None:
    packets = encoded(5, MediaSpec(320, 180, 30, 400, 96, audio=False))
    assert [packet.packet.pts for packet in packets] == list(range(150))
    assert all(packet.packet.dts == packet.packet.pts for packet in packets)
    assert [n for n, packet in enumerate(packets) if packet.packet.is_keyframe] == [0, 60, 120]
    spec = MediaSpec(320, 180, 30, 400, 96, audio=False)
    output = write(tmp_path, packets, spec)
    output.close()
    with av.open(str(tmp_path / output.filename)) as container:
        assert container.streams.video[0].profile == "Main"
        assert container.streams.video[0].average_rate == 30


@pytest.mark.parametrize("kbits", [200, 1000])
def test_the_bitrate_stays_within_five_percent_of_what_was_asked_even_for_noise(kbits: int) -> None:
    spec = MediaSpec(320, 180, 30, kbits, 96)
    video = VideoEncoder(spec)
    packets = [packet for index in range(300) for packet in video.encode(noise(index), index)]
    bits = sum(packet.packet.size for packet in packets) * 8
    assert bits / 10 / 1000 <= kbits * 1.05


def test_audio_begins_at_zero_and_has_no_hole() -> None:
    packets = AudioEncoder(SPEC).encode(np.zeros((48_000, 2), np.int16))
    assert [packet.packet.pts for packet in packets] == [n * 1024 for n in range(len(packets))]
    assert len(packets) == 44  # 46 whole frames, two are still in the encoder


def test_audio_is_not_delayed_by_the_encoder(tmp_path: Path) -> None:
    pcm = np.zeros((48_000, 2), np.int16)
    pcm[24_000:24_480] = 20_000
    audio = AudioEncoder(SPEC)
    spec = MediaSpec(320, 180, 30, 400, 96, video=False)
    output = write(tmp_path, audio.encode(pcm) + audio.flush(), spec)
    output.close()
    with av.open(str(tmp_path / output.filename)) as container:
        blocks = [frame.to_ndarray() for frame in container.decode(audio=0)]
    onset = int(np.argmax(np.abs(np.concatenate(blocks, axis=1)[0]) > 0.3))
    assert onset == pytest.approx(24_000, abs=100)


@pytest.mark.parametrize(
    ("video", "audio"), [(True, True), (True, False), (False, True)], ids=["both", "video", "audio"]
)
def test_a_closed_file_decodes_to_what_went_in(tmp_path: Path, video: bool, audio: bool) -> None:
    spec = MediaSpec(320, 180, 30, 400, 96, video=video, audio=audio)
    output = write(tmp_path, encoded(3, spec), spec)
    output.close()
    frames, sound = decode(tmp_path / output.filename)
    assert len(frames) == (90 if video else 0)
    assert sound == pytest.approx(3 if audio else 0, abs=0.05)
    assert output.bytes_written == (tmp_path / output.filename).stat().st_size


def test_a_file_that_was_never_closed_plays_up_to_its_last_fragment(tmp_path: Path) -> None:
    output = write(tmp_path, encoded(3))
    frames, _ = decode(tmp_path / output.filename)
    assert len(frames) >= 90 - 16
    result = finalize.finalize(tmp_path / output.filename, tmp_path / "out.mp4")
    assert result.frames == len(frames)
    assert result.duration == pytest.approx(len(frames) / 30, abs=0.05)
    again, sound = decode(tmp_path / "out.mp4")
    assert len(again) == len(frames)
    assert sound == pytest.approx(result.audio_duration, abs=0.03)
    output.close()


@pytest.mark.parametrize("cut", [1, 700, 5_000])
def test_a_cut_tail_is_dropped_and_the_rest_is_kept(tmp_path: Path, cut: int) -> None:
    output = write(tmp_path, encoded(3))
    data = (tmp_path / output.filename).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[:-cut])
    result = finalize.finalize(tmp_path / "cut.mp4", tmp_path / "out.mp4")
    assert 30 < result.frames < 90
    frames, _ = decode(tmp_path / "out.mp4")
    assert len(frames) == result.frames
    output.close()


@pytest.mark.parametrize("content", [b"", b"no mp4 at all" * 50, None])
def test_nothing_playable_is_said_with_exit_code_65(
    tmp_path: Path, content: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / "in.mp4", tmp_path / "out.mp4"
    if content is not None:
        source.write_bytes(content)
    assert finalize.main([str(source), str(target)]) == ExitCode.DATA
    assert not target.exists()
    assert "in.mp4" in capsys.readouterr().err


def test_finalising_an_empty_growing_file_is_refused(tmp_path: Path) -> None:
    output = write(tmp_path, encoded(0.1))
    with pytest.raises(RequestDataError):
        finalize.finalize(tmp_path / output.filename, tmp_path / "out.mp4")
    output.close()


def test_writing_after_close_is_an_error_and_no_crash(tmp_path: Path) -> None:
    packets = encoded(1)
    output = write(tmp_path, packets)
    output.close()
    output.close()
    with pytest.raises(MediaError):
        output.write(packets[0])


def test_packets_that_go_back_in_time_are_left_out(tmp_path: Path) -> None:
    packets = encoded(2)
    output = write(tmp_path, [*packets[:60], packets[5], *packets[60:]])
    output.close()
    frames, _ = decode(tmp_path / output.filename)
    assert len(frames) == 60


def test_a_full_disk_is_explained_and_told_once() -> None:
    failures: list[RecorderError] = []
    spec = MediaSpec(320, 180, 30, 400, 96, audio=False)
    output = OUTPUTS["MP4"].open(Path("/dev"), spec, filename="full")
    pipeline = Pipeline(spec, output, failed=failures.append)
    pipeline.start()
    pipeline.opened("v", "video", 0.0)
    for number in range(90):
        pipeline.picture("v", noise(number), time.monotonic() - 3 + number / 30)
    pipeline.finish(time.monotonic())
    assert len(failures) == 1
    assert "scratch volume" in str(failures[0])


def test_the_pipeline_writes_what_was_published_and_nothing_after_its_limit(tmp_path: Path) -> None:
    failures: list[RecorderError] = []
    pipeline = Pipeline(SPEC, OUTPUTS["MP4"].open(tmp_path, SPEC), failed=failures.append, max_duration=2.0)
    pipeline.start()
    start = time.monotonic() - 3.0
    pipeline.opened("v", "video", start)
    pipeline.opened("a", "audio", start)
    # Few enough pictures that the bounded mailbox keeps them all.
    for number in range(10):
        pipeline.picture("v", grey(20 * number), start + number * 0.3)
    for number in range(60):
        pipeline.samples("a", np.full((2400, 2), 1000, np.int16).tobytes(), start + (number + 1) * 0.05)
    finished = pipeline.finish(start + 3.0)
    assert failures == []
    assert finished.origin == pytest.approx(start, abs=1e-6)
    assert finished.numbers.frames == 60
    assert finished.numbers.duration == pytest.approx(2.0, abs=0.03)
    frames, sound = decode(tmp_path / "media.mp4")
    assert len(frames) == 60
    assert sound == pytest.approx(2.0, abs=0.05)
    assert frames[-1].to_ndarray()[90, 160] > 100


class Packets:
    """A `PacketSink` that says when it has come to a time of the file."""

    bytes_written = 0

    def __init__(self, until: float) -> None:
        self._until = until
        self.reached = threading.Event()

    def write(self, packet: EncodedPacket) -> None:
        if packet.file_time + packet.duration >= self._until:
            self.reached.set()

    def close(self) -> None:
        """Nothing is open."""


def test_sound_that_wakes_nobody_is_encoded_soon_and_up_to_its_last_whole_packet() -> None:
    spec = MediaSpec(320, 180, 30, 400, 96, video=False, audio_codec="opus")
    failures: list[RecorderError] = []
    output, seconds = Packets(1.04), 1.05
    # The clock stands still: nothing but the samples says that time has passed.
    pipeline = Pipeline(spec, output, failed=failures.append, clock=lambda: seconds)
    pipeline.start()
    pipeline.opened("a", "audio", 0.0)
    for number in range(round(seconds / 0.05)):
        pipeline.samples("a", np.full((2400, 2), 1000, np.int16).tobytes(), (number + 1) * 0.05)
    assert output.reached.wait(timeout=20)
    pipeline.finish(seconds)
    assert failures == []


def test_what_was_held_is_dropped_at_the_end_and_kept_after_a_return(tmp_path: Path) -> None:
    for returns, expected in ((False, 1.0), (True, 3.0)):
        directory = tmp_path / str(returns)
        directory.mkdir()
        pipeline = Pipeline(SPEC, OUTPUTS["MP4"].open(directory, SPEC), failed=lambda _: None)
        pipeline.start()
        start = time.monotonic() - 3.0
        pipeline.opened("v", "video", start)
        pipeline.picture("v", grey(100), start)
        pipeline.closed("v", start + 1.0)
        pipeline.hold(start + 1.0)
        if returns:
            pipeline.resume()
        finished = pipeline.finish(start + 3.0)
        assert finished.numbers.duration == pytest.approx(expected, abs=0.07)
        # The sound of a second in which nobody spoke, and after a return of two more.
        assert finished.numbers.silence == pytest.approx(expected, abs=0.07)


def test_a_capture_without_media_leaves_no_file(tmp_path: Path) -> None:
    pipeline = Pipeline(SPEC, OUTPUTS["MP4"].open(tmp_path, SPEC), failed=lambda _: None)
    pipeline.start()
    pipeline.opened("v", "video", 0.0)
    finished = pipeline.finish(time.monotonic())
    assert finished.origin is None
    assert list(tmp_path.iterdir()) == []
    assert "media" not in {thread.name for thread in threading.enumerate()}
