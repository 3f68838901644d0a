"""Owns the pumps that carry decoded media from the SDK's streams to the sink, one task per subscribed track.

SDK facts: a VideoStream's iterator does not end when the publisher leaves, so every pump is ended from outside; an
unpublished VP8 track ends with 8x8 blank frames; the receive delay is only known from statistics.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable

from livekit import rtc
from livekit.rtc._proto.stats_pb2 import InboundRtpStreamStats, RtcStats

from egress_recorder.media.values import CHANNELS, SAMPLE_RATE, Kind, MediaSink, Picture
from egress_recorder.sources.delays import FALL_PICTURES, FALL_SOUND, ReceiveDelay, encoding, look_ahead
from egress_recorder.sources.sdk import PictureStream, enable
from egress_recorder.sources.stall import Stall
from egress_recorder.sources.starvation import Starvation

SMALLEST_PICTURE = 16
"""Pixels; smaller ones are the blank frames of an ending track."""
CHUNK_MS = 50
"""Every SDK event passes every stream's filter in Python: 50 ms chunks cost half of what 10 ms chunks do."""
STATS_SECONDS, STATS_SECONDS_RESTLESS, STATS_YOUNG = 0.25, 0.1, 1.5
"""Seconds between two looks at the statistics, the middle one in the first `STATS_YOUNG` seconds of media (buffers find their size
then), while the delay changes and when pictures stall."""
CLOSE_SECONDS = 1.0
PAUSE_SECONDS = 0.2
"""Seconds for which a track that stalled is paused: livekit-server waits 0.1 s before it obeys (subscribedtrack.go)."""
PLAUSIBLE_LAG = 1.0
"""Seconds by which a frame's own time may differ from its arrival before it is not believed."""

_log = logging.getLogger(__name__)


class Pump:
    """One subscribed track. `close` ends it; the sink has heard of that when `close` returns."""

    def __init__(
        self,
        publication: rtc.RemoteTrackPublication,
        sink: MediaSink,
        *,
        still: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`publication` is subscribed: it has a track."""
        track = publication.track
        assert track is not None
        self.track = track
        self._publication = publication
        self._sink, self._clock = sink, clock
        self._sid = track.sid
        self._stall, self._starvation = Stall(), Starvation()
        self.heard = False
        """True when something of the track came: a packet of sound, a decoded picture."""
        kind: Kind = "video" if track.kind == rtc.TrackKind.KIND_VIDEO else "audio"
        self._delay = ReceiveDelay(FALL_PICTURES if kind == "video" else FALL_SOUND)
        self._codec_delay = look_ahead(publication.mime_type)
        """Seconds of the publisher's encoder, which no statistics hold."""
        sink.opened(self._sid, kind, clock(), still=still)
        run = self._video() if kind == "video" else self._audio()
        self._tasks = [asyncio.create_task(run), asyncio.create_task(self._stats())]

    async def close(self, at: float | None = None) -> None:
        """End the stream; at most `CLOSE_SECONDS`."""
        self._sink.closed(self._sid, self._clock() if at is None else at)
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks, timeout=CLOSE_SECONDS)

    async def _video(self) -> None:
        stream = PictureStream(self.track)
        try:
            async for event in stream:
                frame = event.frame
                if frame.width < SMALLEST_PICTURE or frame.height < SMALLEST_PICTURE:
                    continue
                self._codec_delay = encoding(frame.width, frame.height)
                picture = Picture(frame.data, frame.width, frame.height, 90 * int(event.rotation))
                self._sink.picture(self._sid, picture, self._captured(event.timestamp_us))
        finally:
            await _close(stream)

    async def _audio(self) -> None:
        """Carry samples. The receiver delivers zeros from the subscription on: before the first packet they are no media."""
        stream = rtc.AudioStream(
            self.track, sample_rate=SAMPLE_RATE, num_channels=CHANNELS, frame_size_ms=CHUNK_MS
        )
        try:
            async for event in stream:
                if self.heard or any(event.frame.data):
                    self._sink.samples(self._sid, event.frame.data, self._clock())
        finally:
            await _close(stream)

    def _captured(self, timestamp_us: int) -> float:
        """The render time (CLOCK_MONOTONIC) of libwebrtc: smoother than arrival, 0 or -1 where there is none."""
        now, stamped = self._clock(), timestamp_us / 1e6
        captured = stamped if timestamp_us > 0 and abs(now - stamped) < PLAUSIBLE_LAG else now
        self._delay.delivered(captured - now)
        return captured

    async def _stats(self) -> None:
        """Report the mean delay since the receipt of each interval."""
        young = round(STATS_YOUNG / STATS_SECONDS_RESTLESS)
        while True:
            soon = young or self._delay.restless or self._stall.suspected
            interval = STATS_SECONDS_RESTLESS if soon else STATS_SECONDS
            await asyncio.sleep(interval)
            try:
                reports = await asyncio.wait_for(self.track.get_stats(), 2)
            except Exception as error:  # noqa: BLE001 - the SDK raises bare Exception; sync only gets no better
                _log.debug("no statistics", extra={"track": self._sid, "error": type(error).__name__})
                continue
            now = self._clock()
            for report in reports:
                if report.WhichOneof("stats") != "inbound_rtp":
                    continue
                total, count = self._counters(report.inbound_rtp.inbound)
                if (seconds := self._delay.interval(total, count, now)) is not None:
                    self._sink.delay(self._sid, seconds + self._codec_delay, now - interval / 2)
                anew = self._is_stalled(report.inbound_rtp, now)
                if self._stall.suspected:
                    self._sink.held(self._sid, now)
                if anew:
                    await self._begin_anew()
                # Sound comes out of the receiver (as silence) whether or not there is any: packets count.
                received = report.inbound_rtp.received.packets_received
                self.heard = self.heard or (count > 0 and received > 0)
                if self.track.kind == rtc.TrackKind.KIND_AUDIO and self._starvation.looked(now, received):
                    self._sink.starved(self._sid, self._starvation.since)
            young -= self.heard and young > 0

    def _is_stalled(self, inbound: RtcStats.InboundRtp, now: float) -> bool:
        counters = inbound.inbound
        return self.track.kind == rtc.TrackKind.KIND_VIDEO and self._stall.looked(
            now,
            received=inbound.received.packets_received,
            decoded=counters.frames_decoded,
            nacks=counters.nack_count,
        )

    async def _begin_anew(self) -> None:
        """Make the server begin again with a key frame."""
        _log.info(
            "pictures cannot be decoded for a lost packet, a key frame is asked for",
            extra={"track": self._sid},
        )
        enable(self._publication, enabled=False)
        try:
            await asyncio.sleep(PAUSE_SECONDS)
        finally:
            enable(self._publication, enabled=True)

    def _counters(self, inbound: InboundRtpStreamStats) -> tuple[float, int]:
        if self.track.kind == rtc.TrackKind.KIND_VIDEO:
            return inbound.total_processing_delay, inbound.frames_decoded
        return inbound.jitter_buffer_delay, inbound.jitter_buffer_emitted_count


async def _close(stream: rtc.VideoStream | rtc.AudioStream) -> None:
    # aclose() waits for an end that may never be signalled.
    with contextlib.suppress(Exception, asyncio.CancelledError):
        await asyncio.wait_for(stream.aclose(), CLOSE_SECONDS)
