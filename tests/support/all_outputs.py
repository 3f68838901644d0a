"""Owns one recording with every kind of output on S3, and what is there of it: fetched, decoded, named."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from livekit.protocol import egress as livekit_egress

from devstack.mediacheck import MediaReport
from egress_recorder.playlist import Entry, entries_of
from support.hls import Hls
from support.pictures import counter, decoded
from support.scene import Recording, Scene

RATE, SEGMENT = 30, 2
"""Pictures per second; seconds of a segment. An image is made every second."""
HLS = {"hls": "HLS_PROTOCOL", "fmp4": "HLS_FMP4_PROTOCOL"}
"""Folder and protocol of each playlist with its segments."""
OWN = {"streamResults": {"key", "id", "output"}}
"""Fields of results that LiveKit does not have."""
RESULTS = {
    "fileResults": livekit_egress.FileInfo,
    "segmentResults": livekit_egress.SegmentsInfo,
    "imageResults": livekit_egress.ImagesInfo,
    "streamResults": livekit_egress.StreamInfo,
}


def start(scene: Scene, stream: str) -> Recording:
    """Record alice as MP4 and OGG, HLS of both kinds, images and to the URL of a stream: all at once, all on S3."""
    bucket = {"s3": scene.s3_output()["s3"]}
    return scene.participant(
        # Beside a stream the interval shortens the segments: to whole seconds of it (docs/encoding.md, LiveKit's rule).
        advanced={"width": 640, "height": 360, "videoBitrate": 800, "keyFrameInterval": SEGMENT + 0.5},
        fileOutputs=[scene.s3_output("a"), {**scene.s3_output("a"), "fileType": "OGG"}],
        segmentOutputs=[
            {
                "playlistName": f"{scene.namespace}/{folder}/all",
                "livePlaylistName": "live",
                "filenamePrefix": "seg",
                "segmentDuration": 2 * SEGMENT,
                "protocol": protocol,
                **bucket,
            }
            for folder, protocol in HLS.items()
        ],
        imageOutputs=[{"captureInterval": 1, "filenamePrefix": f"{scene.namespace}/stills/a", **bucket}],
        streamOutputs=[{"urls": [stream]}],
    )


def stored_enough(status: dict[str, Any], *, segments: int, images: int) -> bool:
    """Whether so many segments of each HLS output and images are stored and the receiver has taken the stream."""
    counts = [one.get("segmentCount", 0) for one in status.get("segmentResults", ())]
    stills = [one.get("imageCount", 0) for one in status.get("imageResults", ())]
    streams = ["startedAt" in one for one in status.get("streamResults", ())]
    return len(counts) == len(HLS) and min(counts) >= segments and stills >= [images] and streams == [True]


@dataclass
class Kept:
    """What the bucket has of it."""

    recording: Recording
    directory: Path

    @property
    def _prefix(self) -> str:
        return f"{self.recording.namespace}/"

    def names(self) -> set[str]:
        """Of all objects, without the prefix that the test's outputs share."""
        return {key.removeprefix(self._prefix) for key in self.recording.stack.s3.keys(self._prefix)}

    def size(self, name: str) -> int:
        """Bytes of an object."""
        s3 = self.recording.stack.s3
        return s3.client().head_object(Bucket=s3.bucket, Key=self._prefix + name)["ContentLength"]

    def uploads(self) -> list[str]:
        """Keys of uploads that nobody has completed or given up."""
        s3 = self.recording.stack.s3
        listing = s3.client().list_multipart_uploads(Bucket=s3.bucket, Prefix=self._prefix)
        return [upload["Key"] for upload in listing.get("Uploads", ())]

    def text(self, name: str) -> str:
        """Content of an object."""
        return self.recording.stack.s3.read(self._prefix + name).decode()

    def fetch(self, name: str) -> Path:
        """Copy an object to the disk."""
        target = self.directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        return self.recording.stack.s3.download(self._prefix + name, target)

    def entries(self, folder: str) -> list[Entry]:
        """Of a main playlist."""
        return entries_of(self.text(f"{folder}/all.m3u8"))

    def hls(self, folder: str) -> Hls:
        """Copy an ended HLS output and decode it."""
        return Hls(self.fetch(f"{folder}/all.m3u8"), self.fetch)

    def manifest(self) -> dict[str, Any]:
        """The one beside the files."""
        document: dict[str, Any] = json.loads(self.text(f"{self.recording.status()['egressId']}.json"))
        return document

    def images(self) -> list[int | None]:
        """Decode the images in the order of the manifest; return the number that each shows."""
        return [
            counter(decoded(self.fetch(image["filename"].removeprefix(self._prefix))))
            for image in self.manifest()["images"]
        ]


def strangers(status: dict[str, Any]) -> dict[str, set[str]]:
    """Return the fields of the results that neither LiveKit's message of that name has nor we say to be ours."""
    found = {}
    for name, message in RESULTS.items():
        known = {field.json_name for field in message.DESCRIPTOR.fields} | OWN.get(name, set())
        if unknown := {key for result in status[name] for key in result} - known:
            found[name] = unknown
    return found


def runs_in(part: list[int | None], whole: list[int | None]) -> bool:
    """Return whether `part` is a run of `whole`."""
    return any(
        whole[first : first + len(part)] == part
        for first, number in enumerate(whole)
        if number == part[0] and first + len(part) <= len(whole)
    )


def off_second(counters: list[int | None], reports: list[MediaReport]) -> list[int]:
    """Return which of the pictures stand in a file and at no full second of it."""
    beside = []
    for number in counters:
        ticks = [tick for report in reports for tick, shown in enumerate(report.counters) if shown == number]
        if number is not None and ticks and not any(tick % RATE == 0 for tick in ticks):
            beside.append(number)
    return beside


def mean(values: list[float]) -> float:
    """Return the mean of offsets; none at all is no offset that could be judged."""
    assert values
    return sum(values) / len(values)
