"""Images through the whole path: from the resource to decoded objects, each the very frame that the file shows."""

from __future__ import annotations

import json
import signal
from datetime import UTC, datetime
from pathlib import Path

import pytest

from devstack.mediacheck import check
from devstack.stack import CLAIM
from support.pictures import capture_process, counter, decoded
from support.realtime import MEASURES, REALTIME
from support.scene import Recording, Scene

pytestmark = [pytest.mark.integration, REALTIME, MEASURES]


def until_images(recording: Recording, count: int) -> None:
    recording.until(
        lambda s: len(s.get("imageResults", ())) == 2 and s["imageResults"][0]["imageCount"] >= count,
        60,
        f"{count} images",
    )


def test_images_beside_a_file_and_hls_are_frames_of_the_file_and_go_on_after_a_kill(
    scene: Scene, tmp_path: Path
) -> None:
    claim = scene.stack.runner.claim_directory(scene.namespace, CLAIM)
    bucket = {"s3": scene.s3_output()["s3"]}
    with scene.publisher() as publisher:
        recording = scene.participant(
            advanced={"width": 640, "height": 360},
            segmentOutputs=[{"playlistName": "hls/all", "segmentDuration": 2, "pvc": {"claimName": CLAIM}}],
            imageOutputs=[
                {"captureInterval": 1, "filenamePrefix": "stills/a", "pvc": {"claimName": CLAIM}},
                {
                    "captureInterval": 2,
                    "width": 320,
                    "filenamePrefix": f"{scene.namespace}/still",
                    "filenameSuffix": "IMAGE_SUFFIX_TIMESTAMP",
                    "imageCodec": "IC_WEBP",
                    **bucket,
                },
            ],
        )
        until_images(recording, 4)
        capture_process(recording).send_signal(signal.SIGKILL)
        recording.until(
            lambda s: max((p["part"] for p in s.get("parts", [])), default=0) >= 2, 40, "a second part"
        )
        until_images(recording, recording.status()["imageResults"][0]["imageCount"] + 3)
        recording.stop()
        status = recording.until_phase("Complete")
        began = publisher.start

    manifest = json.loads((claim / "stills" / f"{status['egressId']}.json").read_text())
    listed = [image for image in manifest["images"] if image["output"] == 0]
    count = status["imageResults"][0]["imageCount"]
    names = sorted(path.name for path in (claim / "stills").iterdir() if path.suffix != ".json")
    assert names == [f"a_{number:05d}.jpeg" for number in range(count)], "none is missing, none is half"
    assert [image["filename"] for image in listed] == [f"stills/{name}" for name in names]

    pictures = [decoded(claim / "stills" / name) for name in names]
    assert {picture.format.name for picture in pictures} == {"yuvj420p"}
    counters = [counter(picture) for picture in pictures]
    seen = [number for number in counters if number is not None]
    assert len(seen) >= len(counters) - 1
    assert seen == sorted(set(seen)), "each second shows another picture, in order"

    parts = [part for part in status["parts"] if part["output"] == 0]
    reports = [check(recording.fetch(part["location"], part["filename"], tmp_path)) for part in parts]
    assert len(reports) == 2
    playlist = (claim / "hls" / "all.m3u8").read_text()
    assert playlist.endswith("#EXT-X-ENDLIST\n")
    assert {line for line in playlist.splitlines() if line.endswith(".ts")} == {
        path.name for path in (claim / "hls").glob("*.ts")
    }
    assert status["segmentResults"][0]["segmentCount"] == playlist.count("#EXTINF") >= 2
    ticks = [
        [tick for tick, shown in enumerate(report.counters) if shown == number]
        for number in seen
        for report in reports
        if number in report.counters
    ]
    # Of the last second before the kill the file has less than the images have; a busy encoder repeats a picture.
    assert len(ticks) >= len(seen) // 2 + 1
    beside = [found for found in ticks if not any(tick % 30 == 0 for tick in found)]
    assert len(beside) <= len(reports), f"only the first of each part may be off its second: {ticks}"

    lags = sorted(
        datetime.fromisoformat(image["timestamp"]).timestamp() - began - number / 30
        for image, number in zip(listed, counters, strict=True)
        if number is not None
    )
    assert abs(lags[len(lags) // 2]) < 0.5, lags

    others = [image for image in manifest["images"] if image["output"] == 1]
    assert len(others) == status["imageResults"][1]["imageCount"] >= 2
    for image in others:
        at = datetime.fromisoformat(image["timestamp"])
        stamp = at.astimezone(UTC).strftime("%Y%m%d%H%M%S%f")[:-3]
        assert image["filename"] == f"{scene.namespace}/still_{stamp}.webp"
        still = decoded(scene.stack.s3.download(image["filename"], tmp_path / f"{stamp}.webp"))
        assert (still.width, still.height) == (320, 180)
    assert [path for path in claim.rglob("*") if ".tmp" in path.name] == []
