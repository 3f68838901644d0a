"""Owns what the status and the manifest say of HLS outputs, from the ledger's parts and what is stored. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from egress_recorder.contract import ManifestPlaylist, ManifestSegment, Part, SegmentResult
from egress_recorder.supervisor.playlists import Published


def segment_results(
    parts: Sequence[Part], stored: Mapping[int, Published], *, first: int
) -> tuple[SegmentResult, ...]:
    """Return LiveKit's SegmentsInfo of each HLS output of which something is stored. `first`: number of output 0."""
    return tuple(_result(parts, stored[index], first + index) for index in sorted(stored))


def _result(parts: Sequence[Part], published: Published, output: int) -> SegmentResult:
    own = [part for part in parts if part.output == output]
    return SegmentResult(
        playlist_name=published.playlist,
        playlist_location=published.location,
        live_playlist_name=published.live,
        live_playlist_location=published.live_location,
        segment_count=len(published.segments),
        duration=sum(part.duration for part in own),
        size=sum(part.size for part in own),
        started_at=min((part.started_at for part in own if part.started_at), default=None),
        ended_at=max((part.ended_at for part in own if part.ended_at), default=None),
    )


def manifest_playlists(stored: Mapping[int, Published]) -> tuple[ManifestPlaylist, ...]:
    """Return LiveKit's `playlists`."""
    return tuple(
        ManifestPlaylist(
            location=one.location,
            output=index,
            segments=tuple(
                ManifestSegment(filename=key, location=location) for key, location in one.segments
            ),
        )
        for index, one in sorted(stored.items())
        if one.location
    )
