"""Owns the manifest `{egress_id}.json` beside the media: reading an earlier one, merging, writing it when told.

The first write is the probe of a destination: a wrong key or an unwritable volume fails in the first second. After
that a failed write never ends a recording: it is logged and made up for by the next one. Where no manifest is wanted
(`disableManifest`) the probe is an upload that is begun, gets one byte and is given up: nothing becomes visible.
"""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from egress_recorder.contract import ContractError, Manifest, ManifestImage, Part
from egress_recorder.errors import AuthorizationError, RecorderError
from egress_recorder.spans import bounded
from egress_recorder.storage import ObjectStore, Storage
from egress_recorder.threads import in_thread
from egress_recorder.waiting import happens

logger = logging.getLogger(__name__)

CONTENT_TYPE = "application/json"
INTERVAL = 30.0
"""Seconds between writes while nothing but the numbers changes."""


@dataclass(frozen=True, slots=True)
class ManifestPlace:
    """One destination of the manifest; outputs that share storage and directory share the place."""

    storage: ObjectStore
    key: str
    name: str
    """For logs: `fileOutputs[0]`."""
    written: bool = True
    """False: no manifest is wanted here, the place is only probed."""
    sharers: tuple[str, ...] = ()
    """The outputs whose files go to this destination and directory."""


LISTED_IMAGES = 5000
"""Images of one output that a manifest lists, the newest (1 MB of JSON); status and result count all of them."""


def newest_images(images: Iterable[ManifestImage]) -> tuple[ManifestImage, ...]:
    """Return each object once, the last word on it, in the order of outputs and numbers; bounded per output."""
    by_output: dict[int, dict[str, ManifestImage]] = {}
    for image in images:
        by_output.setdefault(image.output, {})[image.location] = image
    return tuple(
        image
        for output in sorted(by_output)
        for image in sorted(by_output[output].values(), key=lambda one: one.number)[-LISTED_IMAGES:]
    )


def merge(own: Manifest, existing: Manifest | None) -> Manifest:
    """Return our manifest without losing what a recorder before or after us has written.

    Parts of ours win, an upload that the other side knows is kept. When a newer part exists, the recording goes on
    without us: its phase, end and words stay.
    """
    if existing is None or existing.egress_id != own.egress_id:
        return own
    parts: dict[tuple[int, int], Part] = {(part.part, part.output): part for part in existing.parts}
    for part in own.parts:
        other = parts.get((part.part, part.output))
        if other is None or part.location or not other.location:
            parts[part.part, part.output] = part
    media = {one.part: one for one in existing.media}
    for one in own.media:
        if one.sha256 or one.part not in media or not media[one.part].sha256:
            media[one.part] = one
    gaps = {gap.started_at: gap for gap in (*existing.gaps, *own.gaps)}
    merged = own.model_copy(
        update={
            "parts": tuple(parts[key] for key in sorted(parts)),
            "gaps": tuple(gaps[key] for key in sorted(gaps)),
            "playlists": tuple({one.location: one for one in (*existing.playlists, *own.playlists)}.values()),
            "images": newest_images((*existing.images, *own.images)),
            "media": bounded(media[number] for number in sorted(media)),
            "started_at": min((time for time in (own.started_at, existing.started_at) if time), default=None),
        }
    )
    newest_own = max((part.part for part in own.parts), default=0)
    if own.parts and max((part.part for part in existing.parts), default=0) > newest_own:
        kept = ("phase", "ended_at", "error", "details", "progress", "streams")
        return merged.model_copy(update={name: getattr(existing, name) for name in kept})
    return merged


class ManifestWriter:
    """Writes the newest manifest to all places. Requests that come while one is written become one more write."""

    def __init__(self, places: Sequence[ManifestPlace], snapshot: Callable[[], Manifest]) -> None:
        self._places = tuple(place for place in places if place.written)
        self._silent = tuple(place for place in places if not place.written)
        self._snapshot = snapshot
        self._wanted = asyncio.Event()
        self._merge = False
        self._closing = False
        self._task: asyncio.Task[None] | None = None
        self._failing: set[ManifestPlace] = set()
        self._holding: set[ManifestPlace] = set()
        """Where a manifest of this recording is."""
        self.faults: Mapping[ManifestPlace, RecorderError] = {}
        """What went wrong in the last `read` or `probe`, by place."""

    @property
    def location(self) -> str:
        """Where the first manifest is, of those that could be written; empty when none is wanted."""
        for place in sorted(self._places, key=lambda place: place in self._failing):
            return place.storage.location(place.key)
        return ""

    def add(self, place: ManifestPlace) -> None:
        """Write to one more place from now on: a backup storage that came into use."""
        if place not in self._places:
            self._places = (*self._places, place)

    def give_up_refused(self) -> bool:
        """Write from now on only where a manifest is already; return whether there is such a place.

        A destination was refused and the recording ends: that must stand in what it has left elsewhere.
        """
        self._places = tuple(
            place for place in self._places if place in self._holding and place not in self.faults
        )
        return bool(self._places)

    async def read(self, *, without: Container[ManifestPlace] = ()) -> Manifest | None:
        """Return the manifest that an earlier part left, the newest of all places; None when there is none.

        Raises RecorderError when a destination does not answer or refuses its credentials for more than reading.
        """
        places = [place for place in self._places if place not in without]
        found = await asyncio.gather(*(self._read(place) for place in places), return_exceptions=True)
        self._raise_first(places, found)
        return max((one for one in found if isinstance(one, Manifest)), key=_age, default=None)

    async def probe(self, *, without: Container[ManifestPlace] = ()) -> None:
        """Write to every place. Raises the first place's RecorderError: those with a manifest, then the others."""
        places = [place for place in self._places if place not in without]
        silent = [place for place in self._silent if place not in without]
        results = await asyncio.gather(
            *(self._write(place, merging=False) for place in places),
            *(in_thread("probe", partial(try_upload, place)) for place in silent),
            return_exceptions=True,
        )
        self._raise_first([*places, *silent], results)

    def _raise_first(self, places: Iterable[ManifestPlace], results: Iterable[object]) -> None:
        faults = {}
        for place, result in zip(places, results, strict=True):
            if isinstance(result, RecorderError):
                faults[place] = result
            elif isinstance(result, BaseException):
                raise result
        self.faults = faults
        for fault in faults.values():
            raise fault

    def request(self) -> None:
        """Ask for a write soon: a part began or ended."""
        self._merge = True
        self._wanted.set()

    def start(self, interval: float = INTERVAL) -> None:
        """Write on request and every `interval` seconds, until `close`."""
        self._task = asyncio.create_task(self._run(interval), name="manifest")

    async def close(self, *, attempts: int = 4, pause: float = 0.5) -> bool:
        """Write the last manifest, the one that readers see for ever; return whether every place has it.

        A write under way is awaited first: it would overtake the last one with older words.
        """
        self._closing = True
        self._wanted.set()
        if self._task is not None:
            await self._task
        for attempt in range(attempts):
            self._merge = True
            if await self._flush():
                return True
            if attempt + 1 < attempts:
                await asyncio.sleep(pause * 2**attempt)
        return False

    async def _run(self, interval: float) -> None:
        while not self._closing:
            await happens(self._wanted, within=interval)
            if not self._closing:
                await self._flush()

    async def _flush(self) -> bool:
        self._wanted.clear()
        merging, self._merge = self._merge, False
        written = await asyncio.gather(*(self._try(place, merging=merging) for place in self._places))
        return all(written)

    async def _try(self, place: ManifestPlace, *, merging: bool) -> bool:
        try:
            await self._write(place, merging=merging)
        except RecorderError as error:
            self._merge = True
            self._failing.add(place)
            logger.warning("manifest was not written", extra={"output": place.name, "error": str(error)})
            return False
        self._failing.discard(place)
        return True

    async def _write(self, place: ManifestPlace, *, merging: bool) -> None:
        existing = await self._read(place) if merging else None
        data = (merge(self._snapshot(), existing).to_json() + "\n").encode()

        def put() -> None:
            place.storage.put(place.key, data, content_type=CONTENT_TYPE, overwrite=True)

        await in_thread("manifest", put)
        self._holding.add(place)

    async def _read(self, place: ManifestPlace) -> Manifest | None:
        try:
            data = await in_thread("manifest", lambda: place.storage.read(place.key))
        except AuthorizationError:
            # Keys that may only write are common, and S3 answers 403 for what it does not let us look for;
            # whether they are wrong altogether shows at the write.
            return None
        if data is None:
            return None
        self._holding.add(place)
        try:
            return Manifest.parse(data)
        except ContractError as error:
            logger.warning(
                "an earlier manifest is not understood and replaced",
                extra={"output": place.name, "error": str(error)},
            )
            return None


def _age(manifest: Manifest) -> float:
    return manifest.updated_at.timestamp()


def try_upload(place: ManifestPlace) -> None:
    """Prove that the destination takes an upload, and leave nothing. Raises RecorderError.

    A place that takes whole objects only (HTTP) cannot be tried without leaving one: it is only asked.
    """
    storage = place.storage
    if not isinstance(storage, Storage):
        storage.exists(place.key)
        return
    upload = storage.begin(place.key, CONTENT_TYPE, part_size=max(1, storage.min_part_size))
    try:
        storage.put_part(upload, 1, io.BytesIO(b"\n"))
    finally:
        try:
            storage.abort(upload)
        except RecorderError as error:
            # A key without the right to abort: an incomplete upload of one byte stays, which nobody can see as an object.
            logger.warning("a probe was not cleared away", extra={"output": place.name, "error": str(error)})
