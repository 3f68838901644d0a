"""Owns whether an uploaded object is the local file, and whether all of what was recorded is in it."""

from __future__ import annotations

import hashlib
from itertools import pairwise
from pathlib import Path

import av
from upload_loop import LOOP_SECONDS

from devstack.s3 import S3Server
from egress_recorder.contract import Manifest
from egress_recorder.partplan import MAX_PARTS

SOUND_PACKET = 1024 / 48_000
"""Seconds."""


def check(
    server: S3Server, key: str, local: Path, *, manifest: str, frames: int, framerate: int
) -> tuple[list[str], int]:
    """Compare the object with the local file and its manifest, read it to its end; return problems and number of parts.

    `frames`: how many the recorder says it has.
    """
    problems: list[str] = []
    head = server.client().head_object(Bucket=server.bucket, Key=key)
    parts = int(head["ETag"].strip('"').partition("-")[2])
    copy = server.download(key, local.with_name("object.mp4"))
    told = Manifest.parse(server.read(manifest))
    hashes = {_sha256(copy), _sha256(local), told.media[0].sha256}
    sizes = {head["ContentLength"], local.stat().st_size, told.parts[0].size}
    print(
        f"object: {head['ContentLength']} bytes in {parts} parts, SHA-256 {' / '.join(sorted(hashes))}",
        flush=True,
    )
    if len(hashes) != 1 or len(sizes) != 1:
        problems.append(f"object, local file and manifest differ: sizes {sizes}, hashes {hashes}")
    problems += media_problems(copy, frames, framerate)
    left = server.client().list_multipart_uploads(Bucket=server.bucket).get("Uploads", ())
    if left:
        problems.append(f"{len(left)} uploads were left")
    if parts >= MAX_PARTS:
        problems.append(f"the object has {parts} parts, fewer than {MAX_PARTS} are allowed")
    return problems, parts


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def media_problems(path: Path, frames: int, framerate: int) -> list[str]:
    """Read all packets of the file and decode its last loop."""
    times: dict[str, list[float]] = {"video": [], "audio": []}
    with av.open(str(path)) as file:
        for packet in file.demux():
            if packet.dts is not None:
                times[packet.stream.type].append(float(packet.dts * packet.time_base))
    pictures, sound = times["video"], times["audio"]
    end = pictures[-1]
    with av.open(str(path)) as file:
        file.seek(int((end - LOOP_SECONDS) * av.time_base))
        last = [frame.time for frame in file.decode(video=0)]
    print(
        f"media: {len(pictures)} frames, {len(sound)} sound packets, {len(last)} last frames decode, end {end:.2f} s"
    )
    problems = []
    if len(pictures) != frames:
        problems.append(f"the object has {len(pictures)} frames, written were {frames}")
    for kind, step in (("video", 1 / framerate), ("audio", SOUND_PACKET)):
        wrong = sum(abs(after - before - step) > 1e-3 for before, after in pairwise(times[kind]))
        if wrong:
            problems.append(f"{wrong} steps between {kind} packets are not {step:.4f} s")
    if abs(sound[-1] - end) > 0.1 or len(last) < LOOP_SECONDS * framerate or abs(last[-1] - end) > 1e-3:
        problems.append(
            f"the end at {end:.2f} s does not decode: {len(last)} frames, sound until {sound[-1]:.2f} s"
        )
    return problems
