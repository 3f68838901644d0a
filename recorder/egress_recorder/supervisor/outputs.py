"""Owns the outputs of one recording: their storages, their backup storages, the names of their parts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from egress_recorder.contract import (
    ContractError,
    Destination,
    FileOutputConfig,
    ImageOutputConfig,
    RecorderConfig,
    SegmentNames,
    SegmentOutputConfig,
    Source,
    Track,
    TrackCompositeSource,
    image_prefix,
    unfit_durations,
)
from egress_recorder.errors import ConfigurationError
from egress_recorder.filetypes import FILE_KINDS, problem
from egress_recorder.manifest import ManifestPlace
from egress_recorder.naming import (
    PART_TOKENS,
    PLAYLIST_EXTENSION,
    NameValues,
    continued_name,
    manifest_filename,
    part_filename,
    part_prefix,
    refuse_meaningless,
    resolve_filepath,
    resolve_prefix,
    tells_parts,
    tokens_of,
)
from egress_recorder.retry import Deadline, RetryPolicy
from egress_recorder.storage import Storage, StorageContext, WholeStorage, open_storage
from egress_recorder.threads import in_thread
from egress_recorder.upload import Uploader

UNKNOWN = "unknown"
"""Stands for a token whose value never became known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One storage, opened, and the way into it."""

    storage: Storage | WholeStorage
    uploader: Uploader


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One output, opened. `backup` takes the file when its storage has failed for good."""

    index: int
    name: str
    """The output as the user wrote it: fileOutputs[0]."""
    filepath: str
    storage: Storage | WholeStorage
    uploader: Uploader
    backup: Target | None = None


@dataclass(frozen=True, slots=True)
class Deadlines:
    """When the process has to go: until when storages are tried, and until when their backups."""

    storage: Deadline = field(default_factory=Deadline)
    backup: Deadline = field(default_factory=Deadline)

    def hurry(self, grace: float) -> None:
        """Share the seconds that are left until SIGKILL: the backup must still get its turn."""
        self.storage.within(grace * _STORAGE_SHARE)
        self.backup.within(grace * _BACKUP_SHARE)


_STORAGE_SHARE = 0.4
_BACKUP_SHARE = 0.9


async def open_outputs(
    config: RecorderConfig,
    *,
    credentials_root: Path | None,
    volumes_root: Path | None,
    policy: RetryPolicy,
    deadlines: Deadlines,
) -> tuple[Output, ...]:
    """Open all outputs in a thread (an SDK's import takes a while). Raises ConfigurationError."""

    def opened(
        destination: Destination,
        where: str,
        output: FileOutputConfig | SegmentOutputConfig | ImageOutputConfig,
        deadline: Deadline,
    ) -> Target:
        context = StorageContext(where=where, credentials_root=credentials_root, volumes_root=volumes_root)
        storage = open_storage(destination, context)
        uploader = Uploader(
            storage,
            name=where,
            egress_id=config.egress_id,
            policy=policy,
            overwrite=output.overwrite,
            deadline=deadline,
            presign=output.presigned_expires,
        )
        return Target(storage=storage, uploader=uploader)

    def open_all() -> tuple[Output, ...]:
        outputs = []
        for index, output in enumerate(config.every_output):
            where = config.name_of(index)
            target = opened(output.destination, where, output, deadlines.storage)
            backup = (
                None
                if output.backup is None
                else opened(output.backup, f"{where}.backupStorage", output, deadlines.backup)
            )
            outputs.append(
                Output(
                    index=index,
                    name=where,
                    filepath=output.filepath,
                    storage=target.storage,
                    uploader=target.uploader,
                    backup=backup,
                )
            )
        return tuple(outputs)

    return await in_thread("open-outputs", open_all)


def manifest_places(config: RecorderConfig, outputs: Sequence[Output]) -> tuple[ManifestPlace, ...]:
    """Return where manifests go, one per destination and directory, and which destinations are only probed."""
    sharers: dict[tuple[str, str], list[Output]] = {}
    # An output that wants its manifest decides for the directory; a disabled one beside it changes nothing.
    for output in sorted(outputs, key=lambda output: config.every_output[output.index].disable_manifest):
        key = manifest_filename(output.filepath, config.egress_id)
        sharers.setdefault((config.every_output[output.index].destination.model_dump_json(), key), []).append(
            output
        )
    return tuple(
        ManifestPlace(
            first.storage,
            key,
            first.name,
            written=not config.every_output[first.index].disable_manifest,
            sharers=tuple(output.name for output in (first, *others)),
        )
        for (_, key), (first, *others) in sharers.items()
    )


def backup_place(config: RecorderConfig, output: Output) -> ManifestPlace:
    """Return where the manifest of an output goes whose file is in its backup storage, also a disabled one (as LiveKit's)."""
    assert output.backup is not None
    key = manifest_filename(output.filepath, config.egress_id)
    return ManifestPlace(output.backup.storage, key, f"{output.name}.backupStorage")


def one_track(source: Source) -> tuple[str | None, str | None]:
    """Return id and type of the track where exactly one is recorded."""
    if isinstance(source, TrackCompositeSource) and not (source.audio_track_id and source.video_track_id):
        kind = "audio" if source.audio_track_id else "video"
        return source.audio_track_id or source.video_track_id, kind
    return None, None


class Names:
    """Resolves the outputs' names from what is known; a name that is complete once never changes again."""

    def __init__(self, config: RecorderConfig) -> None:
        identity = getattr(config.source, "identity", None)
        track_id, track_type = one_track(config.source)
        self._values = NameValues(
            room_name=config.room_name,
            room_id=config.room_id or None,
            requested_at=config.requested_at,
            publisher_identity=identity or None,
            egress_id=config.egress_id,
            track_id=track_id,
            track_type=track_type,
        )
        self._extensions = [FILE_KINDS[output.file_type].extension for output in config.outputs]
        _refuse_unfit(config)
        self._paths = [self._checked(output.filepath, index) for index, output in enumerate(config.outputs)]
        self._segments = [
            self._with_segments(
                SegmentNames(playlist=output.playlist, prefix=output.prefix, live=output.live_playlist), index
            )
            for index, output in enumerate(config.segments)
        ]
        self._prefixes = [
            self._with_prefix(output.prefix, index) for index, output in enumerate(config.images)
        ]

    @property
    def publisher_identity(self) -> str:
        """The recorded participant, "" while it is not known."""
        return self._values.publisher_identity or ""

    def learn(self, **values: str) -> None:
        """Take up values of tokens; the first one of each stays, "" says nothing."""
        update = {
            token: value for token, value in values.items() if value and not getattr(self._values, token)
        }
        if update:
            self._values = self._values.model_copy(update=update)
            self._paths = [self._resolve(path, index) for index, path in enumerate(self._paths)]
            self._segments = [self._with_segments(names, index) for index, names in enumerate(self._segments)]
            self._prefixes = [self._with_prefix(prefix, index) for index, prefix in enumerate(self._prefixes)]

    def of_part(self, number: int) -> tuple[str, ...]:
        """Return the part's name in each output as far as it is known; of an HLS output its playlist's."""
        files = (part_filename(path, number) for path in self._paths)
        return (*files, *(self._of_part(names, number).playlist for names in self._segments))

    def final(self, number: int) -> tuple[str, ...]:
        """Return the part's name in each output, complete."""
        self._learn_missing()
        return self.of_part(number)

    def images(self, index: int, number: int) -> str:
        """Return how the images of a part begin in image output `index`, complete; parts share a name, their numbers go on."""
        self._learn_missing()
        return continued_name(self._prefixes[index], number)

    def segments(self, index: int, number: int) -> SegmentNames:
        """Return how playlists and segments of a part are called in HLS output `index`, complete."""
        self._learn_missing()
        return self._of_part(self._segments[index], number)

    def per_part(self, index: int) -> bool:
        """Return whether each part has a playlist of its own in HLS output `index`; else one goes on over all of them."""
        return tells_parts(self._segments[index].playlist)

    def _of_part(self, names: SegmentNames, number: int) -> SegmentNames:
        """The playlist goes on over all parts, its segments must not replace those of an earlier one."""
        return SegmentNames(
            playlist=continued_name(names.playlist, number),
            prefix=part_prefix(names.prefix, number),
            live=continued_name(names.live, number),
        )

    def _learn_missing(self) -> None:
        segments = (path for one in self._segments for path in (one.playlist, one.prefix, one.live))
        used = {token for path in (*self._paths, *segments, *self._prefixes) for token in tokens_of(path)}
        self.learn(**dict.fromkeys(used - set(PART_TOKENS), UNKNOWN))

    def learn_source(self, tracks: Iterable[Track]) -> None:
        """Take up where the one track that is recorded comes from, in LiveKit's spelling: screen_share."""
        for track in tracks:
            if track.sid == self._values.track_id:
                self.learn(track_source=track.source.lower())

    def _checked(self, path: str, index: int) -> str:
        try:
            # A resource's own tokens have been filled in by the operator.
            refuse_meaningless(path, one_track=self._values.track_id is not None, resource=False)
        except ContractError as error:
            raise ConfigurationError(f"fileOutputs[{index}]: {error}") from None
        return self._resolve(path, index)

    def _resolve(self, path: str, index: int) -> str:
        try:
            return resolve_filepath(path, self._values, self._extensions[index])
        except ContractError as error:
            raise ConfigurationError(f"fileOutputs[{index}]: {error}") from None

    def _with_segments(self, names: SegmentNames, index: int) -> SegmentNames:
        try:
            for path in (names.playlist, names.prefix, names.live):
                refuse_meaningless(path, one_track=self._values.track_id is not None, resource=False)
            return SegmentNames(
                playlist=resolve_filepath(names.playlist, self._values, PLAYLIST_EXTENSION),
                prefix=resolve_prefix(names.prefix, self._values),
                live=names.live and resolve_filepath(names.live, self._values, PLAYLIST_EXTENSION),
            )
        except ContractError as error:
            raise ConfigurationError(f"segmentOutputs[{index}]: {error}") from None

    def _with_prefix(self, prefix: str, index: int) -> str:
        try:
            refuse_meaningless(prefix, one_track=self._values.track_id is not None, resource=False)
            return image_prefix(prefix, self._values)
        except ContractError as error:
            raise ConfigurationError(f"imageOutputs[{index}]: {error}") from None


def _refuse_unfit(config: RecorderConfig) -> None:
    """Refuse outputs that cannot hold what is asked for; the schema of the resources does it before."""
    source = config.source
    tracks = source if isinstance(source, TrackCompositeSource) else None
    if odd := unfit_durations([output.duration for output in config.segments]):
        raise ConfigurationError(f"segmentOutputs: {odd}")
    if config.images and tracks is not None and not tracks.video_track_id:
        raise ConfigurationError(
            "imageOutputs: only an audio track is recorded: set videoTrackId, or remove imageOutputs"
        )
    if config.segments:
        # Segments hold both; files beside them may hold the sound alone.
        return
    unfit = problem(
        [output.file_type for output in config.outputs],
        pictures=tracks is None or bool(tracks.video_track_id),
        sound=tracks is None or bool(tracks.audio_track_id),
        named=tracks is not None,
    )
    if unfit:
        raise ConfigurationError(f"fileOutputs: {unfit}")
