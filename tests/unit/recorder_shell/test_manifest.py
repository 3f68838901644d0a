"""The manifest: merging, and what readers see last."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from egress_recorder.contract import Gap, Manifest, Part, Phase, RecorderConfig
from egress_recorder.errors import AuthorizationError, ConfigurationError, UnreachableError
from egress_recorder.manifest import ManifestPlace, ManifestWriter, merge
from egress_recorder.spans import PartMedia
from egress_recorder.supervisor.outputs import Output, manifest_places

pytestmark = pytest.mark.unit

T0 = datetime(2026, 11, 22, 10, tzinfo=UTC)


def manifest(**changes: Any) -> Manifest:
    return Manifest(**{"egress_id": "EG_x", "room_name": "r", "updated_at": T0, **changes})


def part(number: int, location: str = "", output: int = 0) -> Part:
    return Part(part=number, output=output, filename=f"{number}.mp4", location=location)


def test_parts_of_another_recorder_are_kept() -> None:
    merged = merge(manifest(parts=(part(2),)), manifest(parts=(part(1, "l1"),)))
    assert [(item.part, item.location) for item in merged.parts] == [(1, "l1"), (2, "")]


def test_an_upload_is_never_forgotten() -> None:
    assert merge(manifest(parts=(part(1),)), manifest(parts=(part(1, "done"),))).parts[0].location == "done"
    assert (
        merge(manifest(parts=(part(1, "new"),)), manifest(parts=(part(1, "old"),))).parts[0].location == "new"
    )


def test_a_superseded_recorder_does_not_end_the_recording_that_goes_on() -> None:
    newer = manifest(phase=Phase.ACTIVE, parts=(part(1), part(2)), details="")
    own = manifest(phase=Phase.INTERRUPTED, parts=(part(1, "l1"),), ended_at=T0, error="x")
    merged = merge(own, newer)
    assert (merged.phase, merged.ended_at, merged.error) == (Phase.ACTIVE, None, "")
    assert [item.location for item in merged.parts] == ["l1", ""]


def test_a_manifest_of_another_recording_is_not_mixed_in() -> None:
    own = manifest(parts=(part(1),))
    assert merge(own, manifest(egress_id="EG_other", parts=(part(7),))) == own


def test_gaps_of_both_are_in_order() -> None:
    late = Gap(started_at=T0 + timedelta(seconds=9), duration=1.0, reason="b")
    early = Gap(started_at=T0, duration=1.0, reason="a")
    assert merge(manifest(gaps=(late,)), manifest(gaps=(early,))).gaps == (early, late)


class Store:
    """A storage that holds one object; `fault` is raised by the next calls."""

    def __init__(self) -> None:
        self.data: bytes | None = None
        self.read_fault: Exception | None = None
        self.put_faults: list[Exception] = []
        self.gate = threading.Event()
        self.gate.set()
        self.puts = 0

    def read(self, key: str) -> bytes | None:
        if self.read_fault:
            raise self.read_fault
        return self.data

    def put(self, key: str, data: bytes, *, content_type: str, overwrite: bool = False) -> None:
        self.puts += 1
        self.gate.wait(5)
        if self.put_faults:
            raise self.put_faults.pop(0)
        self.data = data

    def location(self, key: str) -> str:
        return f"mem://{key}"


def writer(store: Store, snapshot: Any) -> ManifestWriter:
    return ManifestWriter([ManifestPlace(store, "EG_x.json", "fileOutputs[0]")], snapshot)  # type: ignore[arg-type]


async def test_the_probe_raises_what_the_destination_says() -> None:
    store = Store()
    store.put_faults = [ConfigurationError("no bucket")]
    with pytest.raises(ConfigurationError, match="no bucket"):
        await writer(store, manifest).probe()


async def test_a_key_that_may_only_write_has_no_earlier_manifest() -> None:
    store = Store()
    store.read_fault = AuthorizationError("403")
    assert await writer(store, manifest).read() is None


async def test_a_manifest_that_is_no_manifest_is_replaced() -> None:
    store = Store()
    store.data = b"not json"
    made = writer(store, manifest)
    assert await made.read() is None
    await made.probe()
    assert Manifest.parse(store.data).egress_id == "EG_x"


async def test_the_last_write_is_tried_again() -> None:
    store = Store()
    store.put_faults = [UnreachableError("x"), UnreachableError("x")]
    assert await writer(store, lambda: manifest(phase=Phase.COMPLETE)).close(pause=0.001)
    assert store.data is not None
    assert Manifest.parse(store.data).phase is Phase.COMPLETE


async def test_a_last_write_that_never_works_is_told() -> None:
    store = Store()
    store.put_faults = [UnreachableError("x")] * 10
    assert not await writer(store, manifest).close(attempts=2, pause=0.001)


async def test_a_slow_write_cannot_overtake_the_last_one() -> None:
    store, phase = Store(), [Phase.ACTIVE]
    made = writer(store, lambda: manifest(phase=phase[0]))
    store.gate.clear()
    made.start()
    made.request()
    while not store.puts:  # noqa: ASYNC110 - a thread counts, not the loop
        await asyncio.sleep(0.001)
    phase[0] = Phase.COMPLETE
    closing = asyncio.create_task(made.close())
    await asyncio.sleep(0.01)
    store.gate.set()
    assert await closing
    assert store.data is not None
    assert Manifest.parse(store.data).phase is Phase.COMPLETE


def test_what_a_file_holds_is_kept_with_its_hash() -> None:
    hashed, bare = (PartMedia(part=1, zero_at=T0, sha256=text) for text in ("ab", ""))
    second = PartMedia(part=2, zero_at=T0)
    assert merge(manifest(media=(bare,)), manifest(media=(hashed, second))).media == (hashed, second)
    assert merge(manifest(media=(hashed,)), manifest(media=(bare,))).media == (hashed,)


class Uploads:
    """A storage that notes what a probe does to it; `fault` is raised by the named call."""

    min_part_size = 1

    def __init__(self, fault: str = "") -> None:
        self.calls: list[str] = []
        self.fault = fault

    def __getattr__(self, name: str) -> Any:
        def call(*_: Any, **__: Any) -> None:
            self.calls.append(name)
            if name == self.fault:
                raise AuthorizationError(f"no {name}")

        return call


@pytest.mark.parametrize("fault", ["begin", "put_part"])
async def test_a_place_without_manifest_is_probed_by_an_upload_that_is_given_up(fault: str) -> None:
    for storage in (Uploads(), Uploads(fault)):
        made = ManifestWriter(
            [ManifestPlace(storage, "EG_x.json", "fileOutputs[0]", written=False)],  # type: ignore[arg-type]
            manifest,
        )
        assert (await made.read(), made.location) == (None, "")
        if storage.fault:
            with pytest.raises(AuthorizationError, match=f"no {fault}"):
                await made.probe()
        else:
            await made.probe()
            assert await made.close()
            assert storage.calls == ["begin", "put_part", "abort"]
        if storage.fault == "put_part":
            assert storage.calls[-1] == "abort"


async def test_a_probe_that_may_not_be_cleared_away_is_no_failure() -> None:
    storage = Uploads("abort")
    await ManifestWriter(
        [ManifestPlace(storage, "EG_x.json", "fileOutputs[0]", written=False)],  # type: ignore[arg-type]
        manifest,
    ).probe()
    assert storage.calls == ["begin", "put_part", "abort"]


def test_an_output_without_manifest_does_not_take_it_from_its_neighbour() -> None:
    outputs = [
        {"filepath": path, "destination": {"kind": "pvc", "volume": "v"}, "disableManifest": disabled}
        for path, disabled in (("x/a.mp4", True), ("x/b.mp4", False), ("y/c.mp4", True))
    ]
    config = RecorderConfig.model_validate(
        {
            "egressId": "EG_x",
            "url": "ws://x",
            "roomName": "r",
            "source": {"kind": "participant", "identity": "alice"},
            "outputs": outputs,
            "requestedAt": T0.isoformat(),
        }
    )
    opened = [
        Output(
            index=index,
            name=config.name_of(index),
            filepath=output.filepath,
            storage=Store(),  # type: ignore[arg-type]
            uploader=None,  # type: ignore[arg-type]
        )
        for index, output in enumerate(config.outputs)
    ]
    assert [(place.key, place.written) for place in manifest_places(config, opened)] == [
        ("x/EG_x.json", True),
        ("y/EG_x.json", False),
    ]


def two_places() -> tuple[Store, Store, ManifestWriter]:
    good, bad = Store(), Store()
    places = [
        ManifestPlace(store, f"{name}/EG_x.json", name)  # type: ignore[arg-type]
        for name, store in (("bad", bad), ("good", good))
    ]
    return good, bad, ManifestWriter(places, manifest)


async def test_after_a_refusal_the_last_words_go_where_a_manifest_is_already() -> None:
    good, bad, one = two_places()
    bad.put_faults = [AuthorizationError("wrong keys")]
    with pytest.raises(AuthorizationError):
        await one.probe()
    assert one.give_up_refused()
    assert one.location == "mem://good/EG_x.json"
    assert await one.close()
    assert (good.puts, bad.puts) == (2, 1)


async def test_after_a_refusal_before_the_first_write_nothing_is_left_anywhere() -> None:
    good, bad, one = two_places()
    bad.read_fault = ConfigurationError("no such bucket")
    with pytest.raises(ConfigurationError):
        await one.read()
    assert not one.give_up_refused()
    assert one.location == ""
    assert (good.puts, bad.puts) == (0, 0)
