"""Owns the wait for what arrives at a receiver of streams."""

from __future__ import annotations

from devstack.streamservers import RtmpReceiver
from support.scene import Recording

SOME, SECONDS_OF_SYNC = 300_000, 650_000
"""Bytes of a stream of 640x360: that it runs; that it has the seconds in which its sync can be judged (100 kB are one)."""


def until_arrived(recording: Recording, rtmp: RtmpReceiver, count: int, size: int = SOME) -> None:
    """Wait until the receiver has so many streams, the newest of which has more than `size` bytes."""
    recording.until(
        lambda _: len(rtmp.recordings()) >= count and rtmp.recordings()[-1].stat().st_size > size,
        60,
        f"{count} streams at the receiver",
    )
