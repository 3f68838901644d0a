"""Owns by how much files of several recordings are shifted so that they run together: from their manifests. Pure.

A file's offset is the UTC of its media time 0 (`media[].zeroAt`) minus that of the earliest file. Seconds.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import PurePosixPath

from egress_recorder.contract import Manifest, Part


class AlignmentError(ValueError):
    """The recordings cannot be aligned; the message says which and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignedFile:
    """One file and its place on the common time axis."""

    egress_id: str
    identity: str
    part: int
    filename: str
    location: str
    zero_at: datetime
    offset: float
    """Seconds by which it is delayed."""
    duration: float
    exact: bool
    """False: the manifest has no UTC of media time 0 (an older recorder), the arrival of the first media stands for it."""
    video: bool
    audio: bool

    @property
    def name(self) -> str:
        """What a player on this machine opens: the path of a local file, else the name it has after a download."""
        return self.location if self.location.startswith("/") else PurePosixPath(self.filename).name


@dataclass(frozen=True, slots=True, kw_only=True)
class Alignment:
    """All files on one axis whose 0 is `zero_at`."""

    zero_at: datetime
    files: tuple[AlignedFile, ...]


def align(manifests: Sequence[Manifest]) -> Alignment:
    """Return the offsets of all finished files. Raises AlignmentError."""
    _refuse_doubles(manifests)
    recordings = [_files(manifest) for manifest in manifests]
    _refuse_strangers(recordings)
    zero_at = min(file.zero_at for files in recordings for file in files)
    return Alignment(
        zero_at=zero_at, files=tuple(_shifted(file, zero_at) for files in recordings for file in files)
    )


def ffmpeg_command(alignment: Alignment, output: str = "mix.mkv") -> tuple[str, ...]:
    """Return a command that puts the files together: their sounds mixed, each picture a track of its own."""
    files = alignment.files
    inputs = [
        word for file in files for word in ("-itsoffset", f"{file.offset:.6f}", "-i", _argument(file.name))
    ]
    command = ["ffmpeg", *inputs]
    sounding = [index for index, file in enumerate(files) if file.audio]
    if sounding:
        # Silence up to the first sample: amix begins every input at its first frame, whatever its time.
        padded = "".join(f"[{index}:a]aresample=async=1:first_pts=0[a{index}];" for index in sounding)
        labels = "".join(f"[a{index}]" for index in sounding)
        graph = f"{padded}{labels}amix=inputs={len(sounding)}:normalize=0:duration=longest[mix]"
        command += ["-filter_complex", graph, "-map", "[mix]", "-c:a", "aac"]
    for index, file in enumerate(files):
        if file.video:
            command += ["-map", f"{index}:v"]
    return (*command, "-c:v", "copy", output)


def _argument(name: str) -> str:
    # A name like "-y.mp4" or "a:b.mp4" would be read as an option or a protocol.
    return name if name.startswith("/") else f"file:{name}"


def _files(manifest: Manifest) -> list[AlignedFile]:
    media = {one.part: one for one in manifest.media}
    tracks = manifest.audio_track_id or manifest.video_track_id
    found: dict[int, Part] = {}
    for part in manifest.parts:
        if part.location and part.started_at is not None:
            found.setdefault(part.part, part)
    if not found:
        raise AlignmentError(
            f"recording {manifest.egress_id} has no finished file: its phase is {manifest.phase.value}, "
            "take its manifest after the end"
        )
    files = []
    for number, part in sorted(found.items()):
        assert part.started_at is not None
        known = media.get(number)
        zero_at = known.zero_at if known else part.started_at
        files.append(
            AlignedFile(
                egress_id=manifest.egress_id,
                identity=manifest.publisher_identity,
                part=number,
                filename=part.filename,
                location=part.location,
                zero_at=zero_at,
                offset=0.0,
                duration=part.duration,
                exact=known is not None,
                video=not tracks or bool(manifest.video_track_id),
                audio=not tracks or bool(manifest.audio_track_id),
            )
        )
    return files


def _shifted(file: AlignedFile, zero_at: datetime) -> AlignedFile:
    values = {name: getattr(file, name) for name in AlignedFile.__slots__}
    return AlignedFile(**{**values, "offset": (file.zero_at - zero_at).total_seconds()})


def _refuse_doubles(manifests: Sequence[Manifest]) -> None:
    seen: set[str] = set()
    for manifest in manifests:
        if manifest.egress_id in seen:
            raise AlignmentError(
                f"recording {manifest.egress_id} was given twice: give one manifest of each recording"
            )
        seen.add(manifest.egress_id)


def _refuse_strangers(recordings: Sequence[Sequence[AlignedFile]]) -> None:
    """A recording that shares no moment with any other one is a mistake of whoever chose the manifests."""
    for number, one in enumerate(recordings):
        others = [files for index, files in enumerate(recordings) if index != number]
        if not any(_overlap(a, b) for files in others for a, b in itertools.product(one, files)):
            raise AlignmentError(
                f"recording {one[0].egress_id} ({_times(one)}) has no moment in common with "
                + " or ".join(f"{files[0].egress_id} ({_times(files)})" for files in others)
            )


def _overlap(a: AlignedFile, b: AlignedFile) -> bool:
    return a.zero_at < _end(b) and b.zero_at < _end(a)


def _end(file: AlignedFile) -> datetime:
    return file.zero_at + timedelta(seconds=file.duration)


def _times(files: Sequence[AlignedFile]) -> str:
    first, last = min(file.zero_at for file in files), max(_end(file) for file in files)
    return f"{first:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S} UTC"
