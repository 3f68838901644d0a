"""Owns the truth of recordings: what their status says of parts and gaps, held against the files that are there.

Of recordings with one output whose publisher is the test pattern's: its picture n was taken n / 30 s after its start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from devstack.mediacheck import MediaReport
from egress_operator.units import parse_duration, parse_time
from egress_recorder.contract import EndReason
from support.kind_scene import SMALL, KindRecording

_FRAMERATE = 30
_TOLERANCE = 1.0
"""Seconds by which a status may differ from a decoded file: the pictures at both ends, the clock of a killed pod."""
_STARVED = 3.0
"""Seconds without a picture that a busy machine may cost an unbroken file; a second recorder would cost more."""

Document = Mapping[str, Any]
Reports = Mapping[str, MediaReport]


@dataclass(frozen=True, slots=True)
class Account:
    """The parts of one recording: those whose file is there, and those that were lost."""

    status: Document
    kept: tuple[tuple[Document, MediaReport], ...]
    lost: tuple[Document, ...]
    completed: tuple[Document, ...] = ()
    """Parts of killed recorders of which there is what had been uploaded while they grew (docs/storage/growing.md)."""

    @property
    def killed(self) -> list[int]:
        """Numbers of the parts whose recorder was killed, with or without a beginning that is there."""
        return sorted(part["part"] for part in (*self.lost, *self.completed))

    @property
    def holes(self) -> list[float]:
        """Seconds of the publisher's time between each file and the next one; negative: recorded twice."""
        return [
            (later.counted()[0] - earlier.counted()[-1] - 1) / _FRAMERATE
            for (_, earlier), (_, later) in pairwise(self.kept)
        ]

    @property
    def numbers(self) -> list[int]:
        """Numbers of the parts whose file is there."""
        return [part["part"] for part, _ in self.kept]

    @property
    def reasons(self) -> str:
        """Everything that the status says on why a part ended or where nothing was recorded."""
        told = [str(part.get("endReason", "")) for part in self.status.get("parts", ())]
        return "; ".join([*told, *(str(gap["reason"]) for gap in self.status.get("gaps", ()))])

    def assert_unbroken(self, *, seconds: float) -> None:
        """One part, one file of at least so many seconds, no gap in the status and none in the pictures."""
        assert self.status["phase"] == "Complete", self.status
        assert self.numbers == [1], self.status
        assert not self.lost, self.status
        assert not self.status.get("gaps"), self.status
        assert not self.status.get("retryCount"), self.status
        [(_, report)] = self.kept
        assert report.duration >= seconds, report.summary()
        assert longest_hole(report) < _STARVED, report.summary()


def accounts(recordings: Sequence[KindRecording], directory: Path) -> list[Account]:
    """Decode every file of a test and return the account of each of its recordings, which are all over.

    Raises AssertionError where a status says of a file what is not so or keeps silent about one, and where something
    was recorded twice.
    """
    statuses = [recording.status() for recording in recordings]
    assert all(status["phase"] == "Complete" for status in statuses), statuses
    stored = recordings[0].stored()
    reports = dict(zip(stored, recordings[0].reports(stored, directory), strict=True))
    told = [part["filename"] for status in statuses for part in status["parts"] if part.get("location")]
    assert sorted(told) == sorted(reports), (statuses, sorted(reports))
    return [_account(status, reports) for status in statuses]


def _account(status: Document, reports: Reports) -> Account:
    parts = sorted(status["parts"], key=lambda part: part["part"])
    lost = tuple(part for part in parts if not part.get("location"))
    for part in lost:
        assert part["endReason"].startswith(EndReason.KILLED.value), part
    stored = [(part, reports[part["filename"]]) for part in parts if part.get("location")]
    begun = [part for part, _ in stored if part["endReason"].startswith(EndReason.KILLED.value)]
    # Cut in a packet, and told with a length by its bytes: a beginning that shows something is all that is promised.
    assert all(report.counted() for part, report in stored if part in begun), status
    kept = tuple((part, report) for part, report in stored if part not in begun)
    for part, report in kept:
        print(report.summary())
        assert report.errors == []
        # Not the rate: a machine that is too busy drops pictures, and that is no lie of the status.
        assert (report.video_codec, report.width, report.height) == ("h264", SMALL["width"], SMALL["height"])
        assert (report.audio_codec, report.channels) == ("aac", 2)
        assert report.counted(), report.summary()
        assert abs(report.duration - parse_duration(part["duration"])) < _TOLERANCE, (part, report.summary())
    found = Account(status, kept, lost, tuple(begun))
    assert all(hole >= 0 for hole in found.holes), f"recorded twice: {found.holes} {status}"
    span = (parse_time(status["endedAt"]) - parse_time(status["startedAt"])).total_seconds()
    told = sum(report.duration for _, report in kept) + parse_duration(status.get("gapsDuration", "0s"))
    told += sum(parse_duration(part["duration"]) for part in begun)
    assert abs(span - told) < _TOLERANCE * len(parts), (
        f"from the first to the last media are {span:.2f} s, files and gaps come to {told:.2f} s: {status}"
    )
    return found


def longest_hole(report: MediaReport) -> float:
    """Return the longest time in seconds that a file does not show though the publisher sent pictures."""
    numbers = report.counted()
    assert numbers == sorted(numbers), "pictures are out of order"
    return max((later - earlier - 1 for earlier, later in pairwise(numbers)), default=0) / _FRAMERATE
