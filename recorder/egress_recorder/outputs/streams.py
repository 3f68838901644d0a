"""Owns what a container's header says of each stream: parameter sets, Opus' and FLAC's heads, sizes and rates.

The packets come from encoders of no container. Where one's own encoder would say something that is not true of
them (a delay that was taken out already), the stream is copied from a template that does not say it.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from fractions import Fraction

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.stream import Stream

from egress_recorder.filetypes import SoundCodec
from egress_recorder.media.values import MediaSpec


def add_video(container: OutputContainer, spec: MediaSpec, access_unit: bytes) -> Stream:
    """Add the H.264 stream that begins with this access unit, which holds SPS and PPS."""
    # A parsed access unit as template: the header then has SPS and PPS, size and profile.
    with av.open(io.BytesIO(access_unit), format="h264") as template:
        assert isinstance(template, InputContainer)
        video = container.add_stream_from_template(template.streams.video[0], opaque=True)
    video.time_base = Fraction(1, spec.framerate)
    return video


def add_sound(container: OutputContainer, spec: MediaSpec) -> Stream:
    """Add the stream of the spec's audio codec."""
    audio = _ADDED[spec.audio_codec](container, spec)
    audio.time_base = Fraction(1, spec.audio_frequency)
    return audio


def _from_template(container: OutputContainer, spec: MediaSpec) -> Stream:
    with av.open(io.BytesIO(_template(spec)), format="mp4") as template:
        assert isinstance(template, InputContainer)
        return container.add_stream_from_template(template.streams.audio[0], opaque=True)


def _template(spec: MediaSpec) -> bytes:
    """Return an empty MP4 file of AAC or Opus whose header says that nothing is to be skipped.

    What the encoder delays was left out already. Matroska would make a codec delay of AAC's; PyAV writes Opus' own
    header, so its two bytes are changed (Opus in ISO base media, section 4.3.2: `dOps`).
    """
    encoder = "libopus" if spec.audio_codec == "opus" else "aac"
    file = io.BytesIO()
    with av.open(file, "w", format="mp4", options={"movflags": "empty_moov+frag_keyframe"}) as container:
        audio = container.add_stream(encoder, rate=spec.audio_frequency, layout="stereo")
        assert isinstance(audio, AudioStream)
        audio.bit_rate = spec.audio_bitrate * 1000
        container.start_encoding()
    data = bytearray(file.getvalue())
    if spec.audio_codec == "opus":
        at = data.index(b"dOps") + len(b"dOps") + 2
        data[at : at + 2] = b"\0\0"
    return bytes(data)


def _with_encoder(name: str, form: str, **options: str) -> Callable[[OutputContainer, MediaSpec], Stream]:
    def add(container: OutputContainer, spec: MediaSpec) -> Stream:
        # Its own encoder is never used; opening it gives the header what it needs.
        audio = container.add_stream(name, rate=spec.audio_frequency, layout="stereo", options=options)
        assert isinstance(audio, AudioStream)
        audio.format = form
        if spec.audio_codec == "mp3":
            audio.bit_rate = spec.audio_bitrate * 1000
        return audio

    return add


_ADDED: Mapping[SoundCodec, Callable[[OutputContainer, MediaSpec], Stream]] = {
    "aac": _from_template,
    "opus": _from_template,
    "mp3": _with_encoder("libmp3lame", "fltp"),
    "flac": _with_encoder("flac", "s16", frame_size="1920"),
    "pcm": _with_encoder("pcm_s16le", "s16"),
}
