"""Owns what a file that was recorded on the cluster must be: it plays to its end and shows what was published."""

from __future__ import annotations

from devstack.mediacheck import MediaReport
from support.kind_scene import STREAMS


def assert_good(report: MediaReport, *, seconds: float, streams: str = STREAMS) -> None:
    """The file decodes without an error, lasts at least `seconds`, and shows and sounds like the publisher."""
    print(report.summary())
    assert report.errors == []
    assert report.streams == streams
    assert report.duration >= seconds
    numbers = report.counted()
    assert numbers == sorted(numbers)
    # Two cores play cluster, publishers and recorders: every second picture is enough here, in their order.
    assert len(set(numbers)) > report.duration * 15, report.summary()
    assert report.flashes
    assert report.beeps
