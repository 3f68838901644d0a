"""Owns the judgement of what is around the media: exit, result, manifest, and each file as a container; pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from devstack.conformance.case import Expect
from devstack.conformance.observe import Observation, Piece
from devstack.conformance.plan import Plan
from egress_recorder.contract import Encoding, Manifest, RecorderResult

PROFILES = {
    "H264_MAIN": {"Main"},
    "H264_HIGH": {"High"},
    "H264_BASELINE": {"Constrained Baseline", "Baseline"},
}
"""As asked → what a decoder reads."""
WAITING = 0.2
"""Seconds in the room after which a recorder that sees a track has waited for it; the first list of tracks comes at once."""
AUDIO_CODECS = {"AAC": "aac", "OPUS": "opus"}


@dataclass(frozen=True, slots=True)
class Remains:
    """What a recorder left beside its files."""

    exit_code: int | None
    result: RecorderResult | None
    manifest: Manifest | None
    encoding: Encoding
    sha256: dict[int, str] = field(default_factory=dict)
    """Part → of its file."""
    seen: dict[str, float] = field(default_factory=dict)
    """Kind → wall clock at which the recorder first saw a track of it, by its log."""


def judge_result(expect: Expect, left: Remains) -> list[str]:
    """Compare exit code, phase, reason, error, number of parts and gaps."""
    problems: list[str] = []
    if left.exit_code != expect.exit_code:
        problems.append(f"exit code {left.exit_code} instead of {expect.exit_code}")
    result, manifest = left.result, left.manifest
    if result is None:
        return [*problems, "the recorder left no result"]
    if result.phase != expect.phase:
        problems.append(f"phase {result.phase} instead of {expect.phase} ({result.error or result.details})")
    reason = f"End reason: {expect.reason}"
    if expect.reason and result.details != reason:
        problems.append(f"details {result.details!r} instead of {reason!r}")
    if bool(expect.error) != bool(result.error) or expect.error not in result.error:
        problems.append(f"error {result.error!r} instead of {expect.error!r}")
    if manifest is None:
        return [*problems, "there is no manifest"] if expect.parts else problems
    if len(manifest.parts) != expect.parts:
        problems.append(f"{len(manifest.parts)} files instead of {expect.parts}")
    if manifest.phase != result.phase:
        problems.append(f"the manifest says {manifest.phase}, the result {result.phase}")
    gaps = sum(gap.duration for gap in manifest.gaps)
    least, greatest = expect.gaps
    if not least <= gaps <= greatest:
        problems.append(f"gaps of {gaps:.2f} s in the manifest, expected {least:g} to {greatest:g} s")
    listed = tuple(gap.reason for media in manifest.media for gap in media.gaps)
    if expect.listed is not None and listed != expect.listed:
        problems.append(f"the manifest lists the gaps {listed} inside of files instead of {expect.listed}")
    return [*problems, *_hashes(left, manifest)]


def _hashes(left: Remains, manifest: Manifest) -> list[str]:
    stated = {media.part: media.sha256 for media in manifest.media}
    return [
        f"the SHA-256 of part {part} is not the manifest's"
        for part, found in left.sha256.items()
        if stated.get(part) != found
    ]


def waited(plan: Plan, seen: Observation, left: Remains) -> float:
    """Return the seconds from the moment at which recorder and track are there to the first recorded media.

    A recorder that waits has a track as soon as it sees it, long before the publisher's own call returns; what is awaited is the
    first recorded picture then, where there are any.
    """
    late = seen.pieces[0].arrived - max(plan.ready, min(left.seen.values(), default=plan.begin))
    pictured = next((sight.at for sight in seen.sights if sight.number is not None), None)
    came = left.seen.get("video", 0.0)
    if pictured is not None and came > plan.ready + WAITING:
        late = max(late, pictured - came)
    return late


def judge_times(expect: Expect, plan: Plan, seen: Observation, left: Remains) -> list[str]:
    """Compare beginning and end with the plan's."""
    if not seen.pieces:
        return []
    problems: list[str] = []
    late = waited(plan, seen, left)
    if late > expect.start:
        problems.append(f"the first media is {late:.2f} s late, allowed are {expect.start:g} s")
    over = seen.pieces[-1].end - plan.end
    if abs(over) > expect.end:
        problems.append(f"the file ends {over:+.2f} s from where it should, allowed are ±{expect.end:g} s")
    return problems


def judge_file(expect: Expect, piece: Piece, encoding: Encoding, stated: float) -> list[str]:
    """Compare one file with what was asked; `stated` is its length in seconds by the manifest."""
    report = piece.report
    problems = [f"decoding: {error}" for error in report.errors]
    if expect.has_video:
        wanted = (encoding.width, encoding.height, float(encoding.framerate), "h264")
        found = (report.width, report.height, report.framerate, report.video_codec)
        if found != wanted:
            problems.append(f"video is {found}, asked was {wanted}")
        if report.profile not in PROFILES[encoding.video_codec]:
            problems.append(f"profile {report.profile} instead of {encoding.video_codec}")
        bitrate = report.video_bitrate / 1000
        if report.duration > 5 and bitrate > expect.bitrate * encoding.video_bitrate:
            problems.append(f"{bitrate:.0f} kbit/s of video, asked were {encoding.video_bitrate}")
        frames = report.duration * encoding.framerate
        if abs(report.frames - frames) > 2:
            problems.append(f"{report.frames} pictures in {report.duration:.2f} s at {encoding.framerate}/s")
        problems += _even(report.frame_times, encoding.framerate)
    elif report.video_codec:
        problems.append("there is a video track although only sound was asked for")
    if expect.has_audio:
        sound = (report.audio_codec, report.channels, report.audio_rate)
        asked = (AUDIO_CODECS[encoding.audio_codec], 2, encoding.audio_frequency)
        if sound != asked:
            problems.append(f"audio (codec, channels, Hz) is {sound}, asked was {asked}")
    elif report.audio_codec:
        problems.append("there is a sound track although only video was asked for")
    if abs(report.duration - stated) > 0.1:
        problems.append(f"the file is {report.duration:.2f} s long, its manifest says {stated:.2f} s")
    return problems


def _even(times: list[float], framerate: int) -> list[str]:
    """Constant frame rate: each picture on its tick."""
    uneven = [time for index, time in enumerate(times) if abs(time - times[0] - index / framerate) > 0.002]
    return [f"{len(uneven)} pictures are off the frame grid, first at {uneven[0]:.3f} s"] if uneven else []
