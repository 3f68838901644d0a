"""Every audio codec at any of its rates: every sample at its place, none lost, none added, checked by decoding the file."""

from __future__ import annotations

import io
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import get_args

import av
import numpy as np
import numpy.typing as npt
import pytest
from av.audio.codeccontext import AudioCodecContext

from egress_recorder.filetypes import FILE_KINDS, SoundCodec
from egress_recorder.media.audiocodecs import MP3_RATES, open_audio
from egress_recorder.media.audioencoder import AudioEncoder, Resampler
from egress_recorder.media.mixer import Pcm
from egress_recorder.media.packets import EncodedPacket
from egress_recorder.media.values import SAMPLE_RATE, MediaSpec
from egress_recorder.outputs import OUTPUTS
from egress_recorder.vocabulary import AudioFrequency

pytestmark = pytest.mark.unit
CODECS: list[tuple[SoundCodec, int]] = [
    *(("aac", rate) for rate in get_args(AudioFrequency)),
    *(("mp3", rate) for rate in sorted(MP3_RATES)),
    *((codec, rate) for codec in ("pcm", "flac") for rate in (8_000, 44_100, SAMPLE_RATE, 96_000)),
    ("opus", SAMPLE_RATE),
]
NAMES = {"pcm": "pcm_s16le", "mp3": "mp3float"}


def spec_of(codec: SoundCodec, rate: int, kbits: int = 96) -> MediaSpec:
    return MediaSpec(
        320, 180, 30, 400, kbits, video=False, audio_codec=codec, audio_frequency=rate
    )  # fmt: skip


def bursts(seconds: float, *at: float) -> Pcm:
    """Silence with 30 ms of 1 kHz at each of these times, the right channel inverted."""
    pcm = np.zeros((round(seconds * SAMPLE_RATE), 2), np.int16)
    tone = (16_000 * np.sin(2 * np.pi * 1000 * np.arange(1440) / SAMPLE_RATE)).astype(np.int16)
    for time in at:
        start = round(time * SAMPLE_RATE)
        pcm[start : start + 1440] = np.stack([tone, -tone], axis=1)
    return pcm


def encode(spec: MediaSpec, pcm: Pcm, chunk: int = 480) -> list[EncodedPacket]:
    encoder = AudioEncoder(spec)
    packets = [
        packet for start in range(0, len(pcm), chunk) for packet in encoder.encode(pcm[start : start + chunk])
    ]
    return packets + encoder.flush()


def decoded(
    directory: Path, spec: MediaSpec, packets: list[EncodedPacket]
) -> tuple[npt.NDArray[np.float32], int]:
    """Write the packets into a file; return the samples from time 0 (channels in rows) and the rate."""
    file_type = next(name for name, kind in FILE_KINDS.items() if spec.audio_codec in kind.sound)
    output = OUTPUTS[file_type].open(directory, spec)
    for packet in packets:
        output.write(packet)
    output.close()
    with av.open(str(directory / output.filename)) as container:
        stream = container.streams.audio[0]
        assert stream.codec_context.name == NAMES.get(spec.audio_codec, spec.audio_codec)
        assert stream.channels == 2
        frames = list(container.decode(audio=0))
        assert frames[0].pts == 0
        at = 0
        for frame in frames:
            # Without a hole: each frame begins where the one before ended.
            assert frame.pts is not None
            assert frame.pts * frame.time_base * frame.sample_rate == at
            at += frame.samples
        planes = av.AudioResampler(format="fltp") if frames[0].format.name != "fltp" else None
        arrays = [(planes.resample(frame)[0] if planes else frame).to_ndarray() for frame in frames]
        return np.concatenate(arrays, axis=1), stream.rate


def onsets(samples: npt.NDArray[np.float32], rate: int) -> list[float]:
    """The times at which sound begins after at least 0.1 s of silence."""
    loud = np.flatnonzero(np.abs(samples[0]) > 0.12)
    first = np.concatenate(([True], np.diff(loud) > 0.1 * rate))
    return [float(at / rate) for at in loud[first]]


@pytest.mark.parametrize(("codec", "rate"), CODECS)
def test_sound_is_where_it_was_to_the_millisecond(tmp_path: Path, codec: SoundCodec, rate: int) -> None:
    times = (0.5, 1.0, 3.2)
    spec = spec_of(codec, rate)
    samples, found = decoded(tmp_path, spec, encode(spec, bursts(4, *times)))
    assert found == rate
    assert onsets(samples, rate) == pytest.approx(times, abs=0.002)
    middle = slice(round(0.51 * rate), round(0.52 * rate))
    assert np.corrcoef(samples[0][middle], samples[1][middle])[0, 1] < -0.9, "the channels are kept apart"


@pytest.mark.parametrize(("codec", "rate"), CODECS)
def test_the_length_is_that_of_what_went_in_up_to_one_packet(
    tmp_path: Path, codec: SoundCodec, rate: int
) -> None:
    spec = spec_of(codec, rate)
    packets = encode(spec, bursts(2.345, 1.0), chunk=1234)
    samples, _ = decoded(tmp_path, spec, packets)
    packet = packets[0].duration
    assert 2.345 <= samples.shape[1] / rate <= 2.345 + 2 * packet
    assert [round(one.file_time / packet) for one in packets] == list(range(len(packets)))


@pytest.mark.parametrize(("codec", "rate"), CODECS)
def test_no_file_begins_with_a_bang(codec: SoundCodec, rate: int) -> None:
    """What is quiet is quiet from a file's first packet on, also where a new file begins in the middle (`maxFileDuration`)."""
    spec = replace(spec_of(codec, rate), file_seconds=Fraction(24, 5))
    time = np.arange(10 * SAMPLE_RATE) / SAMPLE_RATE
    tone = (0.005 * 32768 * np.sin(2 * np.pi * 440 * time)).astype(np.int16)
    packets = encode(spec, np.stack([tone, tone], axis=1), chunk=2400)
    for begin in (0.0, float(spec.file_seconds or 0)):
        decoder = av.CodecContext.create(NAMES.get(codec, codec), "r")
        assert isinstance(decoder, AudioCodecContext)
        decoder.sample_rate, decoder.layout = rate, "stereo"
        if codec != "pcm":
            decoder.extradata = open_audio(spec).extradata
        resampler = av.AudioResampler(format="fltp")
        of_file = [one.packet for one in packets if begin <= one.file_time < begin + 0.5]
        arrays = [
            out.to_ndarray()
            for packet in of_file
            for frame in decoder.decode(packet)
            for out in resampler.resample(frame)
        ]
        assert np.abs(np.concatenate(arrays, axis=1)).max() < 0.012, f"the file from {begin} s on"


@pytest.mark.parametrize("rate", [44_100, 16_000, 96_000])
def test_after_ten_minutes_the_resampled_sound_is_not_a_sample_off(rate: int) -> None:
    resampler, given = Resampler(rate), 0
    silence = np.zeros((2, 480), np.float32)
    click = silence.copy()
    click[:, 100] = 1.0
    peak = 0
    for number in range(60_000):
        planes = resampler.take(click if number == 59_900 else silence)
        if planes.size and np.abs(planes).max() > 0.1:
            peak = given + int(np.argmax(np.abs(planes[0])))
        given += planes.shape[1]
    given += resampler.rest().shape[1]
    assert given == 600 * rate
    assert peak == pytest.approx((59_900 * 480 + 100) * rate / SAMPLE_RATE, abs=1)


@pytest.mark.parametrize("file_seconds", [None, Fraction(1, 5)])
@pytest.mark.parametrize(("codec", "rate"), CODECS)
def test_the_size_of_the_pieces_does_not_matter(
    codec: SoundCodec, rate: int, file_seconds: Fraction | None
) -> None:
    spec = replace(spec_of(codec, rate), file_seconds=file_seconds)
    pcm = bursts(1, 0.2, 0.6)
    # All at once, several packets at a time, less than one.
    whole, *others = (encode(spec, pcm, chunk) for chunk in (len(pcm), 7200, 77))
    for other in others:
        assert [(one.file_time, one.packet.pts, bytes(one.packet)) for one in other] == [
            (one.file_time, one.packet.pts, bytes(one.packet)) for one in whole
        ]


@pytest.mark.parametrize(("codec", "rate"), CODECS)
def test_nothing_in_gives_a_stream_of_nothing(codec: SoundCodec, rate: int) -> None:
    encoder = AudioEncoder(spec_of(codec, rate))
    assert encoder.encode(np.zeros((0, 2), np.int16)) == []
    assert sum(packet.duration for packet in encoder.flush()) <= 0.3


@pytest.mark.parametrize(("codec", "rate"), [("aac", 48_000), ("aac", 44_100), ("opus", 48_000)])
@pytest.mark.parametrize("kbits", [8, 64, 128, 510])
def test_the_bitrate_is_what_was_asked_for_where_the_codec_can(
    codec: SoundCodec, rate: int, kbits: int
) -> None:
    rng = np.random.default_rng(3)
    pcm = rng.integers(-9000, 9000, (SAMPLE_RATE * 6, 2)).astype(np.int16)
    packets = encode(spec_of(codec, rate, kbits), pcm, chunk=2400)
    seconds = sum(packet.duration for packet in packets)
    found = sum(packet.packet.size for packet in packets) * 8 / 1000 / seconds
    assert found <= max(kbits, 14 if codec == "aac" else 10) * 1.08


def test_the_header_of_opus_says_that_nothing_is_to_be_skipped(tmp_path: Path) -> None:
    spec = spec_of("opus", SAMPLE_RATE)
    decoded(tmp_path, spec, encode(spec, bursts(1, 0.5)))
    data = (tmp_path / "media.mp4").read_bytes()
    at = data.index(b"dOps")
    assert io.BytesIO(data[at + 6 : at + 8]).read() == b"\0\0"
