"""Owns the small translations between the contract and the media stages; pure."""

from __future__ import annotations

from egress_recorder import ipc
from egress_recorder.media.journal import Journal
from egress_recorder.media.values import MediaSpec, Numbers, Profile
from egress_recorder.vocabulary import OPUS_FREQUENCY, Limits, Progress, TrackCompositeSource

SIZE_RESERVE_SECONDS = 1.5
"""Seconds of media at full bitrate that may still come between the decision to end and the closed file."""
_PROFILES: dict[str, Profile] = {"H264_BASELINE": "baseline", "H264_MAIN": "main", "H264_HIGH": "high"}
INDEX_BYTES_PER_SECOND = 1000
"""What the index adds at the end of an MP4, per second of media (measured: 500-700)."""


def media_spec(request: ipc.CaptureRequest) -> MediaSpec:
    """Return what the file holds: participants always picture and sound, tracks what was asked for."""
    encoding, source = request.encoding, request.source
    tracks = source if isinstance(source, TrackCompositeSource) else None
    opus = encoding.audio_codec == "OPUS"
    return MediaSpec(
        width=encoding.width,
        height=encoding.height,
        framerate=encoding.framerate,
        video_bitrate=encoding.video_bitrate,
        audio_bitrate=encoding.audio_bitrate,
        video=tracks is None or bool(tracks.video_track_id),
        audio=tracks is None or bool(tracks.audio_track_id),
        profile=_PROFILES[encoding.video_codec],
        key_frame_interval=encoding.key_frame_interval,
        audio_codec="opus" if opus else "aac",
        audio_frequency=OPUS_FREQUENCY if opus else encoding.audio_frequency,
    )


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


def size_reached(limits: Limits, recorded: int, numbers: Numbers, spec: MediaSpec) -> bool:
    """True when the file must be ended now so that all parts together stay below `limits.max_size`."""
    if limits.max_size is None:
        return False
    bits = (spec.video_bitrate * spec.video + spec.audio_bitrate * spec.audio) * 1000
    reserve = SIZE_RESERVE_SECONDS * bits / 8 + INDEX_BYTES_PER_SECOND * numbers.duration
    return recorded + numbers.bytes_written + reserve >= limits.max_size
