"""Owns what of the SDK's publications matters: as selections see them, as statuses show them, and which are refused."""

from __future__ import annotations

from livekit import rtc

from egress_recorder.errors import RequestDataError, UnreachableError
from egress_recorder.sources.selection import Publication
from egress_recorder.vocabulary import Track


def view(publication: rtc.RemoteTrackPublication, participant: rtc.RemoteParticipant) -> Publication:
    """Return a publication as selections see it."""
    return Publication(
        sid=publication.sid,
        kind="video" if publication.kind == rtc.TrackKind.KIND_VIDEO else "audio",
        source=_source_name(publication.source),
        identity=participant.identity,
        participant=participant.sid,
        encrypted=publication.encryption_type != rtc.EncryptionType.NONE,
    )


def _source_name(source: int) -> str:
    name: str = rtc.TrackSource.Name(source).removeprefix("SOURCE_")
    return name.replace("SCREENSHARE", "SCREEN_SHARE")


def refuse_encrypted(item: Publication) -> None:
    """Raise RequestDataError for an encrypted track."""
    # Without the key the decoder delivers full-scale noise and no event: never subscribe.
    if item.encrypted:
        raise RequestDataError(
            f"track {item.sid} of {item.identity} is end-to-end encrypted and cannot be recorded: "
            "keys are not supported yet, publish it without encryption"
        )


def describe(publication: rtc.RemoteTrackPublication, item: Publication) -> Track:
    """Return a publication as statuses show it."""
    return Track(
        sid=item.sid,
        kind=item.kind,
        source=item.source,
        codec=publication.mime_type.partition("/")[2].lower(),
        width=publication.width,
        height=publication.height,
        muted=publication.muted,
        identity=item.identity,
    )


def without_media(track: Track, identity: str, seconds: float, failure: str) -> UnreachableError:
    """Return what is to be said of a track that is published and never delivered anything.

    `failure`: what the SDK said when it could not subscribe; empty when it could.
    """
    what = f"{track.kind} track {track.sid} of {identity} ({track.source}, {track.codec or 'codec unknown'})"
    reason = f": {failure}" if failure else ""
    return UnreachableError(
        f"{what} is published, but no media of it came within {seconds:g} s{reason}. See that UDP from here reaches "
        "LiveKit's media ports and that the participant sends it in a codec that is supported (VP8, VP9, H264, AV1; Opus)"
    )
