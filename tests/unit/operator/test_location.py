"""`status.location`, the printer column: what a person looks for, of files, of HLS and of images alone."""

from __future__ import annotations

from typing import Any

import pytest

from egress_operator import crds, facts
from egress_operator.location import location_of
from egress_operator.names import PLURALS
from egress_recorder.contract import FileResult, ImageResult, Part
from support.operator_builders import at, observed, recording, said, status

pytestmark = pytest.mark.unit

FILE, PLAYLIST = "https://s3.example/recordings/alice.mp4", "https://s3.example/recordings/hls/all.m3u8"
BOTH = {"filepaths": ["alice.mp4"], "segments": [{"playlistName": "hls/all.m3u8"}]}


def part(number: int = 1, output: int = 0, location: str = "") -> dict[str, Any]:
    return {"part": number, "output": output, **({"location": location} if location else {})}


def test_a_recording_with_files_shows_the_first_output_of_its_newest_stored_part() -> None:
    resolved = {"filepaths": ["alice.mp4", "alice.mp3"]}
    parts = [
        part(1, 0, "a.mp4"),
        part(1, 1, "a.mp3"),
        part(2, 0, "a-p2.mp4"),
        part(2, 1, "a-p2.mp3"),
        part(3, 0),
    ]
    assert location_of({"resolved": resolved, "parts": parts}) == "a-p2.mp4"
    assert location_of({"resolved": resolved, "parts": [part(1, 0), part(1, 1, "a.mp3")]}) == "a.mp3"
    assert location_of({"resolved": resolved, "parts": [part()]}) == ""


def test_a_recording_with_segments_alone_shows_its_playlist() -> None:
    resolved = {"segments": BOTH["segments"]}
    assert location_of({"resolved": resolved, "parts": [part(1, 0, PLAYLIST)]}) == PLAYLIST
    assert location_of({"resolved": resolved, "parts": [part(1, 0)]}) == ""
    images = [{"filenamePrefix": "stills/a"}]
    assert location_of({"resolved": {**resolved, "images": images}, "imageResults": images}) == ""


def test_the_playlist_stands_for_the_file_until_that_is_stored() -> None:
    growing = {"resolved": BOTH, "parts": [part(1, 0), part(1, 1, PLAYLIST)]}
    assert location_of(growing) == PLAYLIST
    stored = {"resolved": BOTH, "parts": [part(1, 0, FILE), part(1, 1, PLAYLIST)]}
    assert location_of(stored) == FILE
    next_part = [*stored["parts"], part(2, 0), part(2, 1, PLAYLIST)]
    assert location_of({"resolved": BOTH, "parts": next_part}) == FILE


def test_what_was_found_stays_when_the_list_of_parts_forgets_it() -> None:
    document = {"resolved": {"filepaths": ["alice.mp4"]}, "location": FILE, "parts": [part(60, 0)]}
    assert location_of(document) == FILE


def test_a_recording_of_images_alone_shows_how_they_are_called() -> None:
    resolved = {"images": [{"filenamePrefix": "stills/a"}, {"filenamePrefix": "stills/b"}]}
    assert location_of({"resolved": resolved}) == "stills/a"
    told = [{"filenamePrefix": "stills/a-EG_1", "imageCount": 1}]
    assert location_of({"resolved": resolved, "imageResults": told}) == "stills/a-EG_1"
    assert location_of({}) == ""


def test_the_status_has_it_without_a_signature() -> None:
    signed = f"{FILE}?X-Amz-Credential=K&X-Amz-Signature=abc"
    polled = said(
        parts=(Part(part=1, filename="alice.mp4", location=FILE, started_at=at(0)),),
        file_results=(FileResult(filename="alice.mp4", location=FILE, presigned=signed),),
        image_results=(ImageResult(filename_prefix="stills/a", image_count=2),),
    )
    document = facts.gather(observed(of=recording(status=status()), polled=polled))
    assert document["fileResults"][0]["location"] == signed
    assert document["location"] == FILE
    assert "location" not in facts.gather(observed(of=recording(status=status())))


@pytest.mark.parametrize("kind", sorted(PLURALS))
def test_the_column_shows_it(kind: str) -> None:
    [version] = crds.manifest(kind)["spec"]["versions"]
    column = next(one for one in version["additionalPrinterColumns"] if one["name"] == "Location")
    assert column == {"name": "Location", "type": "string", "priority": 1, "jsonPath": ".status.location"}
    properties = version["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]
    assert properties["location"]["type"] == "string"
