"""Owns the account of a recording: its parts, gaps and numbers, over this pod and the earlier ones. Pure.

Gaps are never stored for our own parts, they follow from them: the wall-clock time between the end of one part's
media and the beginning of the next one's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from egress_recorder.contract import EndReason, FileResult, Gap, Manifest, Part, Progress, RecorderConfig
from egress_recorder.destinations import AFTER_THE_END
from egress_recorder.filetypes import distinct
from egress_recorder.spans import PartMedia
from egress_recorder.supervisor.media import MediaLedger
from egress_recorder.supervisor.priors import once, prior_end, size_of
from egress_recorder.supervisor.totals import total

SHORTEST_GAP = 0.05
"""Seconds; less is the granularity of clocks and frames."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnPart:
    """One part that this recorder has written or is writing."""

    number: int
    started_at: datetime
    progress: Progress = field(default_factory=Progress)
    duration: float = 0.0
    ended_at: datetime | None = None
    end_reason: str = ""
    sizes: tuple[int, ...] = ()
    """Bytes per file; outputs of the same type share one."""
    durations: tuple[float, ...] = ()
    """Seconds per file, where they differ: one of them failed or lost more than another in a crash."""
    without: frozenset[int] = frozenset()
    """Files of which nothing was left."""
    files: tuple[tuple[str, str], ...] = field(default=())
    """(name, location) per output; the location is empty until that upload succeeded."""
    capture: int = 0
    """The part that its capture process began with; 0: this one."""
    since: float = 0.0
    """Seconds of media of its capture process before it."""
    presigned: Mapping[int, str] = field(default_factory=dict, repr=False)
    """By output; only for the status."""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(self.sizes)

    def size_of(self, file: int) -> int:
        """Bytes of one file, 0 while unknown."""
        return self.sizes[file] if file < len(self.sizes) else 0

    def duration_of(self, file: int) -> float:
        """Seconds of one file."""
        return self.durations[file] if file < len(self.durations) else self.duration


class Ledger:
    """Collects what happens; `parts`, `gaps`, `progress` and `file_results` say what it means."""

    def __init__(self, config: RecorderConfig) -> None:
        self._first = config.part
        types = [output.file_type for output in config.outputs]
        self.file_types = distinct(types)
        """One file of each is written per part."""
        files = len(self.file_types)
        self.file_count = files + len(config.segments)
        """Files of a part; the segments of an HLS output count as one, after those of `file_types`."""
        self.file_of = (
            *(self.file_types.index(file_type) for file_type in types),
            *range(files, self.file_count),
        )
        """The file that each output gets."""
        self.has_files = config.has_files
        """False for streams or images alone: a part is then only the time in which it recorded."""
        self._prior_parts = config.prior.parts
        self._prior_gaps = config.prior.gaps
        self._prior_started_at = config.prior.started_at
        self._prior_progress = config.prior.progress
        self._after_end = any(output.destination.kind in AFTER_THE_END for output in config.outputs)
        self._own: dict[int, OwnPart] = {}
        self._uploaded = 0
        self._told_end: tuple[datetime | None, str] | None = None
        self.content = MediaLedger()

    # ---- what happened ----------------------------------------------------------------------------------------

    def adopt(self, manifest: Manifest) -> None:
        """Take over what an earlier part's manifest knows and the configuration does not."""
        known = {(part.part, part.output): part for part in manifest.parts if part.part not in self._own}
        # The configuration comes from the operator's status: an upload in either counts, and of a file that nobody
        # has uploaded the operator saw the end.
        for part in self._prior_parts:
            other = known.get((part.part, part.output))
            if other is None or (not other.location and (part.location or part.end_reason)):
                known[part.part, part.output] = part
            elif part.end_reason.startswith(other.end_reason):
                known[part.part, part.output] = other.model_copy(update={"end_reason": part.end_reason})
        self._prior_parts = tuple(known[key] for key in sorted(known))
        starts = {gap.started_at for gap in self._prior_gaps}
        own_starts = [part.started_at for part in self._own.values()]
        added = tuple(
            gap
            for gap in manifest.gaps
            if gap.started_at not in starts and not any(gap.started_at >= start for start in own_starts)
        )
        self._prior_gaps = tuple(sorted((*self._prior_gaps, *added), key=lambda gap: gap.started_at))
        if manifest.parts:
            self._prior_progress = manifest.progress
        self.content.adopt(manifest.media)
        self._prior_started_at = self._prior_started_at or manifest.started_at

    def started(
        self,
        number: int,
        started_at: datetime,
        files: tuple[str, ...],
        *,
        capture: int = 0,
        since: float = 0.0,
    ) -> None:
        """Note the first media of a part.

        `capture`: the part whose capture process goes on in it, after `since` seconds of media; 0: none does.
        """
        self._own[number] = OwnPart(
            number=number,
            started_at=started_at,
            files=tuple((name, "") for name in files),
            capture=capture,
            since=since,
        )

    def progressed(self, number: int, progress: Progress, sizes: tuple[int, ...] = ()) -> None:
        """Note the newest numbers of a part; `sizes` are bytes per file (absent: there is one)."""
        part = self._own[number]
        self._own[number] = replace(
            part, progress=progress, duration=progress.duration, sizes=sizes or (progress.bytes_written,)
        )

    def ended(
        self,
        number: int,
        *,
        duration: float,
        sizes: tuple[int, ...],
        reason: EndReason,
        at: datetime | None,
    ) -> None:
        """Note that a part's files are closed. `at` is the wall clock of its end, None: start plus duration."""
        part = self._own[number]
        self._own[number] = replace(
            part,
            duration=duration,
            sizes=sizes,
            end_reason=reason.value,
            ended_at=at or part.started_at + timedelta(seconds=duration),
            progress=replace(part.progress, duration=duration, bytes_written=sum(sizes)),
        )

    def measured(self, number: int, durations: tuple[float, ...], *, without: frozenset[int]) -> None:
        """Note what was left of each file of a part; `without` are those of which nothing was."""
        self._own[number] = replace(self._own[number], durations=durations, without=without)

    def named(
        self, number: int, output: int, *, filename: str, location: str = "", presigned: str = ""
    ) -> None:
        """Note the name of a part in one output, and its location once the upload succeeded."""
        part = self._own[number]
        files = list(part.files)
        files[output] = (filename, location)
        signed = {**part.presigned, output: presigned} if presigned else part.presigned
        self._own[number] = replace(part, files=tuple(files), presigned=signed)

    def dropped(self, number: int) -> None:
        """Forget a part of which no media was left."""
        self._own.pop(number, None)

    def recovered(self, part: Part) -> None:
        """Note that an earlier recorder's file has been found after all. A gap that was told already stays as it was."""
        if self._own and self._told_end is None:
            self._told_end = prior_end(self._prior_parts, files=self.has_files)
        self._prior_parts = tuple(
            part if (one.part, one.output) == (part.part, part.output) else one for one in self._prior_parts
        )

    def uploaded(self, size: int) -> None:
        """Count bytes that a storage has taken."""
        self._uploaded += size

    # ---- what it means ----------------------------------------------------------------------------------------

    @property
    def next_number(self) -> int:
        """Number of the next part that will be started."""
        numbers = [self._first - 1, *self._own, *(part.part for part in self._prior_parts)]
        return max(numbers) + 1

    @property
    def continued(self) -> int:
        """Number of this recorder's parts that only go on with the one before: they are no failures."""
        return sum(bool(part.capture) for part in self._own.values())

    @property
    def has_media(self) -> bool:
        """True when any part of the recording has media, earlier recorders' included."""
        return bool(self._own or self._prior_parts)

    @property
    def has_own_media(self) -> bool:
        """True when this recorder wrote media."""
        return bool(self._own)

    @property
    def started_at(self) -> datetime | None:
        """First media of the whole recording."""
        times = [self._prior_started_at, *(part.started_at for part in self._own.values())]
        times += [part.started_at for part in self._prior_parts]
        return min((time for time in times if time), default=None)

    @property
    def ended_at(self) -> datetime | None:
        """End of the newest media of this recorder."""
        return max((part.ended_at for part in self._own.values() if part.ended_at), default=None)

    def is_own(self, number: int) -> bool:
        """True when this recorder wrote media into the part."""
        return number in self._own

    def is_stored(self, number: int, file: int) -> bool:
        """True when at least one output has this file of the part."""
        files = self._own[number].files
        return any(location for output, (_, location) in enumerate(files) if self.file_of[output] == file)

    def unstored(self) -> tuple[int, ...]:
        """Numbers of this recorder's parts of which a file is nowhere."""
        return tuple(
            sorted(
                number
                for number, part in self._own.items()
                if any(
                    file not in part.without and not self.is_stored(number, file)
                    for file in range(self.file_count)
                )
            )
        )

    def orphans(self) -> tuple[Part, ...]:
        """Files of earlier recorders that are gone, and of which nobody knows a place."""
        gone = EndReason.KILLED.value
        return tuple(
            part
            for part in self._prior_parts
            if self.has_files and not part.location and part.end_reason.startswith(gone)
        )

    def own(self, number: int) -> OwnPart:
        """Return one of this recorder's parts."""
        return self._own[number]

    def parts(self) -> tuple[Part, ...]:
        """All parts, one entry per part and output, in order; where there are no files one per part, without a name."""
        own = (
            Part(
                part=part.number,
                output=output,
                filename=filename,
                location=location,
                started_at=part.started_at,
                ended_at=part.ended_at,
                duration=part.duration_of(self.file_of[output]),
                size=part.size_of(self.file_of[output]),
                end_reason=part.end_reason,
            )
            for part in self._own.values()
            for output, (filename, location) in enumerate(part.files)
            if self.file_of[output] not in part.without
        )
        bare = (
            Part(
                part=part.number,
                filename="",
                started_at=part.started_at,
                ended_at=part.ended_at,
                duration=part.duration,
                end_reason=part.end_reason,
            )
            for part in self._own.values()
            if not self.has_files
        )
        return tuple(sorted((*self._prior_parts, *own, *bare), key=lambda part: (part.part, part.output)))

    def gaps(self) -> tuple[Gap, ...]:
        """All gaps: the earlier ones, the one before our first part, those between ours."""
        gaps = list(self._prior_gaps)
        noted = {gap.started_at for gap in gaps}
        end, reason = self._told_end or prior_end(self._prior_parts, files=self.has_files)
        for part in sorted(self._own.values(), key=lambda part: part.number):
            if end is not None and end not in noted:
                missing = (part.started_at - end).total_seconds()
                if missing >= SHORTEST_GAP:
                    gaps.append(Gap(started_at=end, duration=missing, reason=reason))
            end, reason = part.ended_at, part.end_reason or EndReason.KILLED.value
        return tuple(gaps)

    def recorded(self) -> tuple[float, int]:
        """Return seconds and bytes of media so far: each part's time once, each of its files once."""
        own = self._own.values()
        return (
            sum(part.duration for part in once(self._prior_parts)) + sum(part.duration for part in own),
            size_of(self._prior_parts) + sum(part.size for part in own),
        )

    def progress(self) -> Progress:
        """Numbers of the whole recording."""
        duration, size = self.recorded()
        numbers = [self._prior_progress] if self._prior_progress is not None else []
        numbers += [part.progress for _, part in sorted(self._own.items())]
        prior_uploaded = sum(part.size for part in self._prior_parts if part.location)
        return total(
            numbers,
            duration=duration,
            written=size,
            uploaded=prior_uploaded + self._uploaded,
            after_end=self._after_end and self.has_own_media,
        )

    def media(self) -> tuple[PartMedia, ...]:
        """What the files of all parts hold."""
        return self.content.entries(
            [
                self.content.entry(
                    part.number,
                    started_at=part.started_at,
                    duration=part.duration,
                    over=part.ended_at is not None,
                    progress=part.progress,
                    several=self.file_count > 1,
                    capture=part.capture,
                    since=part.since,
                )
                for part in self._own.values()
            ]
        )

    def file_results(self, outputs: int) -> tuple[FileResult, ...]:
        """LiveKit's FileInfo per output: this recorder's newest part."""
        if not self._own:
            return ()
        part = self._own[max(self._own)]
        return tuple(
            FileResult(
                filename=filename,
                location=location,
                presigned=part.presigned.get(output, ""),
                started_at=part.started_at,
                ended_at=part.ended_at,
                duration=part.duration_of(self.file_of[output]),
                size=part.size_of(self.file_of[output]),
            )
            for output, (filename, location) in enumerate(part.files[:outputs])
            if self.file_of[output] not in part.without
        )
