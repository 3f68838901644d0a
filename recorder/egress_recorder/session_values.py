"""Owns the small translations between the contract and the media stages; pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from fractions import Fraction

from egress_recorder import ipc
from egress_recorder.filetypes import FILE_KINDS, FileType, sound_codec
from egress_recorder.media.audiocodecs import audio_rate
from egress_recorder.media.audioencoder import packet_seconds
from egress_recorder.media.filelength import file_seconds
from egress_recorder.media.journal import Journal
from egress_recorder.media.values import MediaSpec, Numbers, Profile
from egress_recorder.vocabulary import Limits, Progress, TrackCompositeSource

SIZE_RESERVE_SECONDS = 1.5
"""Seconds of media at full bitrate that may still come between the decision to end and the closed file."""
_PROFILES: dict[str, Profile] = {"H264_BASELINE": "baseline", "H264_MAIN": "main", "H264_HIGH": "high"}
PLAIN_BITS = 32
"""Of one stereo sample without loss."""
INDEX_BYTES_PER_SECOND = 1000
"""What the index adds at the end of an MP4, per second of media (measured: 500-700)."""


def media_spec(request: ipc.CaptureRequest) -> MediaSpec:
    """Return what is encoded: of participants picture and sound, of tracks what was asked for; as far as a file holds it."""
    encoding, source = request.encoding, request.source
    tracks = source if isinstance(source, TrackCompositeSource) else None
    in_files = any(FILE_KINDS[file_type].pictures for file_type in request.files)
    pictures = request.streaming or in_files or bool(request.segments) or bool(request.images)
    # Images alone are LiveKit's one recording without sound (E:pkg/config/output.go).
    sound = request.streaming or bool(request.files) or bool(request.segments)
    boundaries = min((one.duration for one in request.segments), default=None)
    # LiveKit's rule (reference livekit-egress.md §3.6): where there are segments, key frames come where they begin, whatever was
    # asked for. A file of pictures adds its own; a stream does where it asks for more of them than the segments have.
    asks = in_files or (request.streaming and encoding.key_frame_interval < (boundaries or math.inf))
    interval = encoding.key_frame_interval if asks or boundaries is None else float(boundaries)
    return MediaSpec(
        width=encoding.width,
        height=encoding.height,
        framerate=encoding.framerate,
        video_bitrate=encoding.video_bitrate,
        audio_bitrate=encoding.audio_bitrate,
        video=pictures and (tracks is None or bool(tracks.video_track_id)),
        audio=sound and (tracks is None or bool(tracks.audio_track_id)),
        profile=_PROFILES[encoding.video_codec],
        key_frame_interval=interval,
        segment_duration=boundaries,
        constant=request.streaming,
    )


def streams_alone(request: ipc.CaptureRequest) -> bool:
    """Return True where streams are all: the capture ends with the last of them."""
    return request.streaming and not (request.files or request.segments or request.images)


def stream_spec(request: ipc.CaptureRequest) -> MediaSpec:
    """Return what streams carry: H.264 and LiveKit's AAC, all that is captured."""
    rate = audio_rate("aac", request.encoding.audio_frequency)
    return replace(media_spec(request), audio_codec="aac", audio_frequency=rate)


def file_specs(request: ipc.CaptureRequest) -> list[tuple[FileType, MediaSpec]]:
    """Return what each file holds."""
    whole = media_spec(request)

    def of(file_type: FileType) -> MediaSpec:
        codec = sound_codec(file_type, request.encoding.audio_codec)
        return replace(
            whole,
            video=whole.video and FILE_KINDS[file_type].pictures,
            audio_codec=codec,
            audio_frequency=audio_rate(codec, request.encoding.audio_frequency),
        )

    return [(file_type, of(file_type)) for file_type in request.files]


def file_length(request: ipc.CaptureRequest, files: Sequence[MediaSpec]) -> Fraction | None:
    """Return the seconds after which a new file begins, whatever holds `files`; None: never."""
    if request.max_file_duration is None or not files:
        return None
    pictures = [Fraction(1, request.encoding.framerate)] * any(spec.video for spec in files)
    steps = [*pictures, *(packet_seconds(spec) for spec in encoded_sound(files))]
    return file_seconds(request.max_file_duration, steps)


def segment_specs(request: ipc.CaptureRequest) -> list[MediaSpec]:
    """Return what the segments of each HLS output hold: what a stream carries, whatever a file has."""
    return [stream_spec(request)] * len(request.segments)


def encoded_sound(specs: Iterable[MediaSpec]) -> list[MediaSpec]:
    """Return one spec per codec that the sound is encoded to."""
    return list({spec.audio_codec: spec for spec in specs if spec.audio}.values())


def progress(numbers: Numbers) -> Progress:
    """Return the numbers as the contract has them."""
    return Progress(
        duration=round(numbers.duration, 3),
        bytes_written=numbers.bytes_written,
        frames=numbers.frames,
        frames_dropped=numbers.dropped,
        frames_duplicated=numbers.duplicated,
        silence_inserted=round(numbers.silence, 3),
        degraded=round(numbers.degraded, 3),
        corrections=numbers.corrections,
    )


def spans_changed(journal: Journal, origin: float | None) -> ipc.SpansChanged | None:
    """Return what the journal has to tell of a file that begins at `origin`, None for nothing."""
    if origin is None:
        return None
    spans, gaps = journal.take(origin)
    return ipc.SpansChanged(spans=spans, gaps=gaps) if spans or gaps else None


def wait_limit(request: ipc.CaptureRequest) -> float | None:
    """Return the seconds that the subject may take to appear; None: for ever."""
    is_tracks = isinstance(request.source, TrackCompositeSource)
    return request.track_timeout if is_tracks else request.join_timeout


def duration_limit(request: ipc.CaptureRequest) -> float | None:
    """Return the seconds that this part may be long; None: no limit."""
    limit = request.limits.max_duration
    return None if limit is None else max(0.0, limit - request.recorded)


def size_reached(limits: Limits, recorded: int, numbers: Numbers, specs: Sequence[MediaSpec]) -> bool:
    """True when the files must be ended now so that all files of all parts together stay below `limits.max_size`."""
    if limits.max_size is None:
        return False
    bits = sum(spec.video_bitrate * 1000 * spec.video + _sound_bits(spec) for spec in specs)
    reserve = SIZE_RESERVE_SECONDS * bits / 8 + INDEX_BYTES_PER_SECOND * numbers.duration * len(specs)
    return recorded + numbers.bytes_written + reserve >= limits.max_size


def _sound_bits(spec: MediaSpec) -> int:
    """Bits per second of a file's sound, at most."""
    if not spec.audio:
        return 0
    return (
        PLAIN_BITS * spec.audio_frequency
        if spec.audio_codec in {"pcm", "flac"}
        else spec.audio_bitrate * 1000
    )
