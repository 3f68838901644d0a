"""`egress-recorder align`: offsets from manifests, and what it says when there are none."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from egress_recorder.alignment import AlignmentError, align, ffmpeg_command
from egress_recorder.cli import main
from egress_recorder.contract import Manifest, Part, Phase
from egress_recorder.spans import PartMedia

pytestmark = pytest.mark.unit
T0 = datetime(2026, 11, 22, 10, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def manifest(
    name: str, *starts: float, delay: float | None = 0.05, length: float = 10.0, **more: Any
) -> Manifest:
    """A recording whose parts' first media arrived so many seconds after T0; `delay` None: of an older recorder."""
    numbered = list(enumerate(starts, start=1))
    parts = tuple(
        Part(
            part=number,
            filename=f"calls/{name}-{number}.mp4",
            location=f"s3://bucket/calls/{name}-{number}.mp4",
            started_at=at(start),
            duration=length,
        )
        for number, start in numbered
    )
    media = tuple(
        PartMedia(part=number, zero_at=at(start - delay), receive_delay=delay, duration=length)
        for number, start in numbered
        if delay is not None
    )
    values = {"parts": parts, "media": media, "publisher_identity": name, "phase": Phase.COMPLETE, **more}
    return Manifest(egress_id=f"EG_{name}", room_name="r", updated_at=T0, **values)


def offsets(*manifests: Manifest) -> list[float]:
    return [file.offset for file in align(manifests).files]


def test_the_earliest_file_is_not_delayed_and_the_others_by_their_distance() -> None:
    alignment = align([manifest("alice", 3.25), manifest("bob", 0.0)])
    assert alignment.zero_at == at(-0.05)
    assert [(file.identity, file.offset) for file in alignment.files] == [("alice", 3.25), ("bob", 0.0)]


def test_offsets_count_from_the_capture_not_from_the_arrival() -> None:
    assert offsets(manifest("alice", 0.0, delay=0.05), manifest("bob", 1.0, delay=0.25)) == [0.0, 0.8]


def test_every_part_has_its_own_offset() -> None:
    assert offsets(manifest("alice", 0.0, 12.5), manifest("bob", 1.0)) == [0.0, 12.5, 1.0]


def test_a_part_that_overlaps_with_nothing_is_placed_all_the_same() -> None:
    assert offsets(manifest("alice", 0.0, 3600.0), manifest("bob", 1.0)) == [0.0, 3600.0, 1.0]


def test_the_same_file_in_two_outputs_is_one_file() -> None:
    twice = tuple(
        Part(
            part=1,
            output=output,
            filename="a.mp4",
            location=f"place-{output}/a.mp4",
            started_at=T0,
            duration=9.0,
        )
        for output in (0, 1)
    )
    alignment = align([manifest("alice", 0.0, parts=twice), manifest("bob", 0.0)])
    assert [file.location for file in alignment.files][:1] == ["place-0/a.mp4"]
    assert len(alignment.files) == 2


def test_a_manifest_of_an_older_recorder_is_placed_by_its_arrival_and_says_so() -> None:
    alignment = align([manifest("alice", 1.0, delay=None), manifest("bob", 0.0, delay=0.5)])
    assert [(file.offset, file.exact) for file in alignment.files] == [(1.5, False), (0.0, True)]


def test_three_recordings_need_a_common_moment_only_with_one_of_the_others() -> None:
    assert offsets(manifest("a", 0.0), manifest("b", 9.0), manifest("c", 18.0)) == [0.0, 9.0, 18.0]


def test_recordings_without_a_common_moment_are_refused_with_their_times() -> None:
    with pytest.raises(
        AlignmentError, match=r"EG_alice \(2026-11-22 09:59:59 to .* no moment in common .* EG_bob"
    ):
        align([manifest("alice", 0.0), manifest("bob", 10.5)])


def test_a_recording_without_a_finished_file_is_refused() -> None:
    growing = manifest("bob", parts=(Part(part=1, filename="b.mp4", started_at=T0),), phase=Phase.ACTIVE)
    with pytest.raises(AlignmentError, match="EG_bob has no finished file: its phase is Active"):
        align([manifest("alice", 0.0), growing])


def test_one_recording_twice_is_refused() -> None:
    with pytest.raises(AlignmentError, match="EG_alice was given twice"):
        align([manifest("alice", 0.0), manifest("alice", 1.0)])


# ---- the command ---------------------------------------------------------------------------------------------


def written(directory: Path, *manifests: Manifest) -> list[str]:
    paths = []
    for one in manifests:
        path = directory / f"{one.egress_id}.json"
        path.write_text(one.to_json())
        paths.append(str(path))
    return paths


def test_the_command_prints_offsets_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["align", *written(tmp_path, manifest("alice", 0.0), manifest("bob", 3.3))]) == 0
    out = capsys.readouterr().out
    assert "time 0 is 2026-11-22T09:59:59.950000+00:00" in out
    assert "+3.300000 s  10.000 s  bob-1.mp4" in out
    assert shlex.split(out.splitlines()[-1])[:5] == [
        "ffmpeg",
        "-itsoffset",
        "0.000000",
        "-i",
        "file:alice-1.mp4",
    ]


def test_the_command_prints_offsets_for_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["align", "--json", *written(tmp_path, manifest("alice", 0.0), manifest("bob", 3.3))]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["zeroAt"] == "2026-11-22T09:59:59.950000+00:00"
    assert [(file["egressId"], file["part"], file["offset"]) for file in document["files"]] == [
        ("EG_alice", 1, 0.0),
        ("EG_bob", 1, 3.3),
    ]
    assert document["ffmpeg"][0] == "ffmpeg"


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (None, 64, "EG_b.json cannot be read: No such file or directory"),
        (b"no json", 65, "EG_b.json is no manifest of a recording (manifest is not JSON"),
        (b"\xff\xfe\x00", 65, "EG_b.json is no manifest of a recording"),
        (b"[1]", 65, "EG_b.json is no manifest of a recording"),
        (b'{"egress_id":"EG_b","room_name":"r","started_at":1795364604722482784}', 65, "updatedAt"),
        (b'{"contractVersion":9}', 65, "contractVersion 9"),
    ],
)
def test_what_is_no_manifest_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, code: int, words: str
) -> None:
    (alice,) = written(tmp_path, manifest("alice", 0.0))
    other = tmp_path / "EG_b.json"
    if content is not None:
        other.write_bytes(content)
    assert main(["align", alice, str(other)]) == code
    error = capsys.readouterr().err
    assert words in error
    assert len(error.splitlines()) == 1


def test_one_manifest_alone_is_a_usage_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["align", *written(tmp_path, manifest("alice", 0.0))]) == 64
    assert "--help" in capsys.readouterr().err


# ---- the hint ------------------------------------------------------------------------------------------------


def test_a_file_without_sound_or_picture_is_not_asked_for_it() -> None:
    silent = manifest("bob", 0.0, video_track_id="TR_v")
    blind = manifest("carol", 0.0, audio_track_id="TR_a")
    command = ffmpeg_command(align([manifest("alice", 0.0), silent, blind]))
    assert "[a0][a2]amix=inputs=2" in command[command.index("-filter_complex") + 1]
    assert [command[index + 1] for index, word in enumerate(command) if word == "-map"] == [
        "[mix]",
        "0:v",
        "1:v",
    ]


def test_the_hints_filters_put_a_delayed_sound_at_its_place() -> None:
    """FFmpeg's own filters, with the frames that `-itsoffset 1.5` makes of the second file."""
    rate, base = 48000, Fraction(1, 48000)
    command = ffmpeg_command(align([manifest("alice", 0.0), manifest("bob", 1.5)]))
    padding, mixing = re.fullmatch(
        r"\[0:a](.+)\[a0];\[1:a]\1\[a1];\[a0]\[a1](.+)\[mix]", command[command.index("-filter_complex") + 1]
    ).groups()  # type: ignore[union-attr]
    graph = av.filter.Graph()
    sources = [
        graph.add_abuffer(sample_rate=rate, format="fltp", layout="mono", time_base=base) for _ in range(2)
    ]
    mix, sink = graph.add(*mixing.split("=", 1)), graph.add("abuffersink")
    for index, source in enumerate(sources):
        padded = graph.add(*padding.split("=", 1))
        source.link_to(padded)
        padded.link_to(mix, 0, index)
    mix.link_to(sink)
    graph.configure()
    for source, level, begin in zip(sources, (0.25, 0.5), (0, 72000), strict=True):
        for number in range(20):
            frame = av.AudioFrame.from_ndarray(
                np.full((1, 4800), level, np.float32), format="fltp", layout="mono"
            )
            frame.sample_rate, frame.time_base, frame.pts = rate, base, begin + 4800 * number
            source.push(frame)
        source.push(None)
    pieces = []
    with contextlib.suppress(av.BlockingIOError, av.EOFError):
        while True:
            pieces.append(sink.pull().to_ndarray()[0])
    mixed = np.concatenate(pieces)
    assert (len(mixed), int(np.flatnonzero(mixed > 0.3)[0])) == (168000, 72000)
    assert (mixed[1000], mixed[80000], mixed[100000]) == (0.25, 0.75, 0.5)
