"""Which file is recorded, and what is refused: LiveKit's table (reference livekit-egress.md §3.1) and what is beyond it."""

from __future__ import annotations

from typing import Any

import pytest

from egress_recorder import naming
from egress_recorder.contract import FileOutputConfig, VolumeDestination, versions
from egress_recorder.filetypes import (
    FILE_KINDS,
    FileType,
    content_type,
    default_type,
    distinct,
    of_extension,
    problem,
    sound_codec,
    types_holding,
)

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("pictures", "codec", "expected"),
    [
        (True, "", "MP4"),
        (True, "OPUS", "MP4"),
        (False, "", "OGG"),
        (False, "DEFAULT_AC", "OGG"),
        (False, "OPUS", "OGG"),
        (False, "AAC", "MP4"),
        (False, "AC_MP3", "MP3"),
    ],
)
def test_the_default_type_is_the_one_that_livekit_chooses(
    pictures: bool, codec: str, expected: FileType
) -> None:
    assert default_type(pictures=pictures, codec=codec) == expected


@pytest.mark.parametrize(
    ("file_type", "requested", "expected"),
    [
        ("MP4", "AAC", "aac"),
        ("MP4", "OPUS", "opus"),
        ("MP4", "AC_MP3", "aac"),
        ("OGG", "AAC", "opus"),
        ("MP3", "AAC", "mp3"),
        ("MKV", "OPUS", "opus"),
        ("M4A", "OPUS", "aac"),
        ("WAV", "AAC", "pcm"),
        ("FLAC", "AAC", "flac"),
    ],
)
def test_the_sound_has_the_codec_that_was_asked_for_where_the_file_holds_it(
    file_type: FileType, requested: str, expected: str
) -> None:
    assert sound_codec(file_type, requested) == expected


PARTICIPANT: dict[str, Any] = {"pictures": True, "sound": True, "named": False}
BOTH: dict[str, Any] = {"pictures": True, "sound": True}
VIDEO: dict[str, Any] = {"pictures": True, "sound": False}
AUDIO: dict[str, Any] = {"pictures": False, "sound": True}


@pytest.mark.parametrize(
    ("types", "asked"),
    [
        *(((file_type,), AUDIO) for file_type in FILE_KINDS),
        *((("MP4", file_type), PARTICIPANT) for file_type in FILE_KINDS),
        *((("MKV", file_type), BOTH) for file_type in FILE_KINDS),
        *(((file_type,), PARTICIPANT) for file_type in FILE_KINDS if file_type != "WEBM"),
        (("MP4", "MKV"), VIDEO),
        (("MP4", "MP3"), {**PARTICIPANT, "codec": "AAC"}),
        (("MP4", "MP3"), {**PARTICIPANT, "codec": "AC_MP3"}),
        (("OGG",), {**AUDIO, "codec": "OPUS"}),
        (("OGG",), {**AUDIO, "codec": "DEFAULT_AC"}),
    ],
)
def test_what_files_can_hold_is_recorded(types: tuple[FileType, ...], asked: dict[str, Any]) -> None:
    assert problem(types, **asked) == ""


@pytest.mark.parametrize(
    ("types", "asked", "sentence"),
    [
        (("OGG",), BOTH, "the video track would be in no file, OGG holds sound only: add an output with MP4 or MKV"),
        (("MP3", "OGG"), BOTH, "the video track would be in no file"),
        (("OGG",), VIDEO, "OGG holds sound only and there is no audioTrackId: add audioTrackId"),
        (("MP4", "OGG"), VIDEO, "OGG holds sound only and there is no audioTrackId"),
        (("WEBM",), PARTICIPANT, "WEBM would hold the sound only, because pictures are H.264"),
        (("OGG",), {**AUDIO, "codec": "AAC"}, "no output can hold AAC: use one of MP4, MKV, M4A"),
        (("MP4",), {**BOTH, "codec": "AC_MP3"}, "no output can hold AC_MP3: use one of MP3"),
        (("MP3", "WAV"), {**AUDIO, "codec": "OPUS"}, "no output can hold OPUS: use one of MP4, MKV, OGG, WEBM"),
    ],
)  # fmt: skip
def test_what_no_file_can_hold_is_refused_with_the_way_out(
    types: tuple[FileType, ...], asked: dict[str, Any], sentence: str
) -> None:
    assert sentence in problem(types, **asked)


def test_outputs_of_one_type_share_one_file() -> None:
    assert distinct(["MP4", "OGG", "MP4", "OGG"]) == ("MP4", "OGG")


def test_names_say_type_and_media_type() -> None:
    for file_type, kind in FILE_KINDS.items():
        assert of_extension(f"a/b{kind.extension.upper()}") == file_type
        assert content_type(f"a/b-p2{kind.extension}") == kind.content_type
    assert of_extension("a.b/c") is None
    assert content_type("c") == "application/octet-stream"


@pytest.mark.parametrize(
    ("filepath", "expected"),
    [("a", "a.ogg"), ("a.ogg", "a.ogg"), ("a.mp4", "a.ogg"), ("a.b", "a.b.ogg"), ("", "r.ogg"), ("d/", "d/r.ogg")],
)  # fmt: skip
def test_a_name_gets_the_extension_of_its_type(
    filepath: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = naming.NameValues(room_name="r", requested_at="2026-11-22T10:00:00Z")  # type: ignore[arg-type]
    monkeypatch.setattr(naming, "_DEFAULT_NAME", "{room_name}")
    assert naming.resolve_filepath(filepath, values, ".ogg") == expected


def test_every_known_extension_is_known_to_the_names() -> None:
    assert {kind.extension for kind in FILE_KINDS.values()} <= naming._KNOWN_EXTENSIONS


def test_a_file_that_an_older_recorder_cannot_write_needs_a_newer_one() -> None:
    destination = VolumeDestination(volume="0")
    needed = [
        versions.required(FileOutputConfig(filepath="a", destination=destination, file_type=name))
        for name in ("MP4", "OGG")
    ]
    assert needed == [1, 2]


def test_every_codec_that_can_be_asked_for_goes_somewhere() -> None:
    assert types_holding("AAC") == ("MP4", "MKV", "M4A")
    assert types_holding("OPUS") == ("MP4", "MKV", "OGG", "WEBM")
    assert types_holding("AC_MP3") == ("MP3",)
    assert types_holding("DEFAULT_AC") == ()
