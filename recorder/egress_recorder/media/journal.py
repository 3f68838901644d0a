"""Owns the note of which track is in the file from when to when: muted, stalled, of which size; gaps with nobody.

Written by the media thread (media) and the event loop (names, reasons), read by the session; a lock, no loop, no
clock of its own. All `at` are monotonic seconds, what `take` returns is media time. Pictures and sound cost one
comparison each. What a reader has taken is forgotten, and the lists of one span are bounded.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence

from egress_recorder.media.openspan import OpenSpan, media_time, told
from egress_recorder.media.values import Kind
from egress_recorder.spans import MediaGap, TrackSpan
from egress_recorder.vocabulary import Track

HOLE = 0.5
"""Seconds without media that are told; less is jitter."""
MAX_GAPS = 1000
"""Gaps that wait to be taken."""
NO_MEDIA = "no media"
REASON_REACH = 1.0
"""Seconds by which a reason may be told before its gap begins (media on its way still arrives)."""


class Journal:
    """Notes of one file. Calls of one track come in order."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = 0
        self._open: dict[str, OpenSpan] = {}
        self._changed: dict[int, OpenSpan] = {}
        self._known: dict[str, Track] = {}
        self._covered: float | None = None
        self._gaps: deque[tuple[float, float, str]] = deque(maxlen=MAX_GAPS)
        self._reasons: deque[tuple[float, str]] = deque(maxlen=8)

    # ---- from the source ---------------------------------------------------------------------------------

    def described(self, tracks: Sequence[Track]) -> None:
        """These are the recorded tracks; their names belong to spans that begin now or are open."""
        with self._lock:
            self._known = {track.sid: track for track in tracks}
            for span in self._open.values():
                info = self._known.get(span.track)
                if info is not None and info != span.info:
                    span.info = info
                    self._touch(span)

    def reason(self, at: float, text: str) -> None:
        """Say why media may be missing from now on."""
        with self._lock:
            self._reasons.append((at, text))

    # ---- from the media thread ---------------------------------------------------------------------------

    def opened(self, track: str, kind: Kind, *, still: bool) -> None:
        """A track begins; it is in the file from its first media on."""
        with self._lock:
            self._numbers += 1
            self._open[track] = OpenSpan(self._numbers, track, kind, still, self._known.get(track))

    def closed(self, track: str, at: float) -> None:
        """A track is over."""
        with self._lock:
            span = self._open.pop(track, None)
            if span is None:
                return
            if span.covers:
                self._covered = max(self._covered or at, at)
            self._end(span, max(at, span.last))

    def muted(self, track: str, muted: bool, at: float) -> None:
        """The publisher muted or unmuted the track."""
        with self._lock:
            span = self._open.get(track)
            if span is None or (span.muted_at is not None) == muted:
                return
            if muted:
                span.muted_at = at
            else:
                self._covered = max(self._covered or at, at)
                self._unmute(span, at)
                # Media needs a moment to come back; that is no stall.
                span.last = max(span.last, at)
            self._touch(span)

    def starved(self, track: str, since: float | None) -> None:
        """What comes of this sound from `since` on is the receiver's silence; None: it is sound again."""
        with self._lock:
            span = self._open.get(track)
            if span is None:
                return
            span.starved = since is not None
            if since is None or span.covers:
                return
            span.last = min(span.last, since)
            if self._covered is not None and not any(one.covers for one in self._open.values()):
                # What covered the file since then was this silence, unless another track did.
                latest = max(one.last for one in self._open.values())
                self._covered = min(self._covered, max(since, latest))

    def picture(self, track: str, size: tuple[int, int], at: float) -> None:
        """One picture of width and height `size`."""
        with self._lock:
            span = self._open.get(track)
            if span is None:
                return
            if size != span.size:
                span.resized(at, size)
                self._touch(span)
            self._media(span, at, at)

    def samples(self, track: str, seconds: float, at: float) -> None:
        """Sound of so many seconds that ends at `at`."""
        with self._lock:
            span = self._open.get(track)
            if span is not None and not span.starved:
                self._media(span, at - seconds, at)

    def finish(self, at: float) -> None:
        """The file ends at `at`."""
        with self._lock:
            if self._covered is not None and not any(span.covers for span in self._open.values()):
                self._fill(at)
            for track in [*self._open]:
                self._end(self._open.pop(track), at)

    # ---- for the session ---------------------------------------------------------------------------------

    def take(self, origin: float) -> tuple[tuple[TrackSpan, ...], tuple[MediaGap, ...]]:
        """Return what changed since the last call, in media time of a file that begins at `origin`."""
        with self._lock:
            spans = tuple(told(one, origin) for one in self._changed.values() if one.first is not None)
            self._changed.clear()
            gaps = tuple(
                MediaGap(start=media_time(start, origin), end=media_time(end, origin), reason=reason)
                for start, end, reason in self._gaps
                if end > origin
            )
            self._gaps.clear()
        return spans, gaps

    # ---- inside ------------------------------------------------------------------------------------------

    def _end(self, span: OpenSpan, at: float) -> None:
        """It ends at `at`; what of it was missing until then is a stall (a publisher that was killed leaves seconds later)."""
        if span.first is not None and not span.covers and at - span.last > HOLE:
            span.note(span.stalls, span.last, at)
        self._unmute(span, at)
        span.end = at
        self._touch(span)

    def _touch(self, span: OpenSpan) -> None:
        self._changed[span.number] = span

    def _media(self, span: OpenSpan, since: float, until: float) -> None:
        if span.first is None:
            span.first = since
            self._touch(span)
        elif since - span.last > HOLE and not span.still and span.muted_at is None:
            span.note(span.stalls, span.last, since)
            self._touch(span)
        if any(one.covers for one in self._open.values()):
            self._covered = max(self._covered or since, since)
        elif self._covered is not None:
            self._fill(since)
        span.last = max(span.last, until)
        self._covered = max(self._covered or until, until)

    def _fill(self, until: float) -> None:
        assert self._covered is not None
        if until - self._covered > HOLE:
            reach = self._covered - REASON_REACH
            reason = next((text for at, text in self._reasons if reach <= at <= until), NO_MEDIA)
            self._gaps.append((self._covered, until, reason))

    @staticmethod
    def _unmute(span: OpenSpan, at: float) -> None:
        if span.muted_at is not None:
            span.note(span.mutes, span.muted_at, at)
            span.muted_at = None
