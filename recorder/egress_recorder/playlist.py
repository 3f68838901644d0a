"""Owns the text of HLS playlists (RFC 8216): LiveKit's main (EVENT) and live playlist, written and read again. Pure.

An entry is a segment that is in the storage; who adds it sees to that. One playlist goes on over all parts of a recording: where
a part begins, time and codecs' state do not continue (EXT-X-DISCONTINUITY). A comment names the recording, by which a later
part knows a playlist as its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

LIVE_SEGMENTS = 5
"""Entries of a live playlist; LiveKit's."""
CONTENT_TYPE = "application/vnd.apple.mpegurl"
_OWNER = "## livekit-egress-operator "


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One segment. `uri` is relative to the playlist."""

    uri: str
    duration: float
    """Seconds."""
    at: datetime
    """Wall clock of its beginning."""
    discontinuity: bool = False
    """It does not continue the one before."""
    init: str = ""
    """What initialises a decoder for it (EXT-X-MAP), relative to the playlist; "" where segments do so themselves."""


def main_playlist(entries: Sequence[Entry], *, target: int, egress_id: str, ended: bool = False) -> str:
    """Return the playlist of everything. `target`: seconds that were asked for."""
    return _text(entries, entries, target=target, egress_id=egress_id, ended=ended, first=0, event=True)


def live_playlist(entries: Sequence[Entry], *, target: int, egress_id: str, ended: bool = False) -> str:
    """Return the playlist of the newest segments; `entries` are all of them."""
    first = max(0, len(entries) - LIVE_SEGMENTS)
    return _text(
        entries[first:], entries, target=target, egress_id=egress_id, ended=ended, first=first, event=False
    )


def _text(
    shown: Sequence[Entry],
    entries: Sequence[Entry],
    *,
    target: int,
    egress_id: str,
    ended: bool,
    first: int,
    event: bool,
) -> str:
    # Integer rounding of every EXTINF must not exceed it (RFC 8216, 4.3.3.1), also of what left the live playlist.
    longest = max([target, *(_rounded(entry.duration) for entry in entries)])
    lines = [
        "#EXTM3U",
        # EXT-X-MAP beside ordinary segments needs 6 (section 7).
        f"#EXT-X-VERSION:{6 if any(entry.init for entry in entries) else 4}",
        *(["#EXT-X-PLAYLIST-TYPE:EVENT"] if event else []),
        "#EXT-X-ALLOW-CACHE:NO",
        f"#EXT-X-TARGETDURATION:{longest}",
        f"#EXT-X-MEDIA-SEQUENCE:{first}",
    ]
    # Of the discontinuities that left the playlist, so that a player keeps them apart (4.3.3.3).
    if gone := sum(entry.discontinuity for entry in entries[:first]):
        lines.append(f"#EXT-X-DISCONTINUITY-SEQUENCE:{gone}")
    lines.append(f"{_OWNER}{egress_id}")
    init = ""
    for entry in shown:
        if entry.discontinuity:
            lines.append("#EXT-X-DISCONTINUITY")
        if entry.init != init:
            init = entry.init
            lines.append(f'#EXT-X-MAP:URI="{init}"')
        lines += [f"#EXT-X-PROGRAM-DATE-TIME:{_date(entry.at)}", f"#EXTINF:{entry.duration:.3f},", entry.uri]
    return "\n".join([*lines, *(["#EXT-X-ENDLIST"] if ended else [])]) + "\n"


def _rounded(seconds: float) -> int:
    return int(seconds + 0.5)


def _date(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"


def owner(text: str) -> str:
    """Return the id of the recording whose playlist this is, "" when it is none of ours."""
    lines = (line for line in text.splitlines() if line.startswith(_OWNER))
    return next(lines, "").removeprefix(_OWNER).strip()


def entries_of(text: str) -> list[Entry]:
    """Return the entries of a main playlist that `main_playlist` wrote. Raises ValueError for what is none."""
    entries: list[Entry] = []
    broken = False
    init = ""
    duration: float | None = None
    at: datetime | None = None
    for line in text.splitlines():
        tag, _, value = line.partition(":")
        match tag:
            case "#EXT-X-DISCONTINUITY":
                broken = True
            case "#EXT-X-PROGRAM-DATE-TIME":
                at = datetime.fromisoformat(value)
            case "#EXT-X-MAP":
                init = value.removeprefix('URI="').removesuffix('"')
            case "#EXTINF":
                duration = float(value.removesuffix(","))
            case _ if line and not line.startswith("#"):
                if duration is None or at is None:
                    raise ValueError("a playlist has a segment without duration or time")
                entries.append(Entry(uri=line, duration=duration, at=at, discontinuity=broken, init=init))
                duration = at = None
                broken = False
    return entries
