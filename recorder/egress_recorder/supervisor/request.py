"""Owns what `egress-recorder record` is asked for: from options and environment to a configuration and a token."""

from __future__ import annotations

import os
import secrets
import string
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from egress_recorder.contract import (
    DEFAULT_PRESET,
    PRESETS,
    ContractError,
    Destination,
    Encoding,
    FileOutputConfig,
    Limits,
    ParticipantSource,
    RecorderConfig,
    S3Destination,
    Source,
    TrackCompositeSource,
    VolumeDestination,
)
from egress_recorder.filetypes import FILE_KINDS, FileType, of_extension, problem
from egress_recorder.forked import in_forked_process
from egress_recorder.naming import EXTENSION, NameValues, refuse_meaningless, resolve_filepath
from egress_recorder.redact import remember

_TOKEN_LIFE = timedelta(hours=24)
"""LiveKit renews the token of a participant that is in the room; this one only has to last until then."""


class UsageError(ValueError):
    """The command line cannot work as it is; the message says which option and what to write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalRequest:
    """A recording that a person asked for."""

    config: RecorderConfig
    volumes_root: Path | None
    directory: Path | None
    """Of the file; None for a bucket."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """The LiveKit server and the key pair that a token is signed with."""

    url: str
    api_key: str
    api_secret: str

    def token(self, *, room: str, identity: str) -> str:
        """Return a token of a hidden recorder that may subscribe and nothing else. Raises ValueError."""
        # livekit.api would stay in the supervisor's memory (18 MB) for one call.
        token = in_forked_process(lambda: self._mint(room=room, identity=identity))
        remember(token)
        return token

    def _mint(self, *, room: str, identity: str) -> str:
        from livekit import api  # noqa: PLC0415 - see above; a pod never needs it

        grants = api.VideoGrants(
            room_join=True,
            room=room,
            can_subscribe=True,
            can_publish=False,
            can_publish_data=False,
            hidden=True,
            recorder=True,
        )
        return str(
            api.AccessToken(self.api_key, self.api_secret)
            .with_identity(identity)
            .with_kind("egress")
            .with_grants(grants)
            .with_ttl(_TOKEN_LIFE)
            .to_jwt()
        )


def read_server(options: Namespace, environment: Mapping[str, str]) -> Server:
    """Return the server from options or environment. Raises UsageError for what is missing."""
    values = {}
    for option, variable in (
        ("url", "LIVEKIT_URL"),
        ("api_key", "LIVEKIT_API_KEY"),
        ("api_secret", "LIVEKIT_API_SECRET"),
    ):
        value = getattr(options, option) or environment.get(variable, "")
        if not value:
            flag = option.replace("_", "-")
            raise UsageError(f"--{flag} is missing: give it, or set {variable}")
        values[option] = value
    remember(values["api_secret"])
    if not values["url"].startswith(("ws://", "wss://", "http://", "https://")):
        raise UsageError("--url must begin with ws://, wss://, http:// or https://")
    return Server(**values)


def read_request(options: Namespace, server: Server, *, now: datetime) -> LocalRequest:
    """Return the recording that the options describe. Raises UsageError."""
    targets = [_target(name, options, now) for name in options.output]
    directory = _common_directory(targets)
    source = _source(options)
    _refuse_unfit([target.file_type for target in targets], source, options.audio_codec or "")
    try:
        config = RecorderConfig(
            egress_id=new_egress_id(),
            url=server.url,
            room_name=options.room,
            source=source,
            encoding=_encoding(options),
            outputs=tuple(
                FileOutputConfig(
                    filepath=target.name,
                    file_type=target.file_type,
                    destination=target.destination,
                    disable_manifest=options.disable_manifest,
                )
                for target in targets
            ),
            join_timeout=options.join_timeout,
            track_timeout=options.track_timeout,
            rejoin_timeout=options.rejoin_timeout,
            limits=Limits(max_duration=options.max_duration),
            max_file_duration=options.max_file_duration,
            requested_at=now,
        )
    except ValidationError as error:
        raise UsageError(_sentence(error)) from None
    return LocalRequest(config=config, volumes_root=directory and directory.parent, directory=directory)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    """One file that was asked for."""

    name: str
    file_type: FileType
    destination: Destination
    directory: Path | None
    """Of the file; None for a bucket."""


def _common_directory(targets: Sequence[_Target]) -> Path | None:
    directories = {target.directory for target in targets}
    if len(directories) > 1:
        raise UsageError("--output: several files of one recording go into one directory: name them there")
    if len({target.name for target in targets}) < len(targets):
        raise UsageError("--output names one file twice: give each a name or extension of its own")
    return targets[0].directory


def _refuse_unfit(types: Sequence[FileType], source: Source, codec: str) -> None:
    tracks = source if isinstance(source, TrackCompositeSource) else None
    unfit = problem(
        types,
        pictures=tracks is None or bool(tracks.video_track_id),
        sound=tracks is None or bool(tracks.audio_track_id),
        named=tracks is not None,
        codec=codec,
    )
    if unfit:
        raise UsageError(f"--output: {unfit}")


def new_egress_id() -> str:
    """Return an id of LiveKit's form."""
    return "EG_" + "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(12))


def _source(options: Namespace) -> Source:
    tracks = options.audio_track_id or options.video_track_id
    if bool(options.identity) == bool(tracks):
        raise UsageError("give either --identity, or --audio-track-id and/or --video-track-id")
    if options.identity:
        return ParticipantSource(identity=options.identity, screen_share=options.screen_share)
    if options.screen_share:
        raise UsageError(
            "--screen-share goes with --identity; for a track of a screen give its --video-track-id"
        )
    return TrackCompositeSource(
        audio_track_id=options.audio_track_id or "", video_track_id=options.video_track_id or ""
    )


def _encoding(options: Namespace) -> Encoding:
    preset = options.preset or DEFAULT_PRESET
    if preset not in PRESETS:
        raise UsageError(f"--preset {preset!r} is not known: use one of {', '.join(PRESETS)}")
    names = (field.name for field in fields(Encoding))
    advanced = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    try:
        return TypeAdapter(Encoding).validate_python({**asdict(PRESETS[preset]), **advanced})
    except ValidationError as error:
        raise UsageError(_sentence(error)) from None


def _target(wanted: str, options: Namespace, now: datetime) -> _Target:
    if options.s3_bucket:
        destination = S3Destination(
            bucket=options.s3_bucket,
            region=options.s3_region,
            endpoint=options.s3_endpoint,
            force_path_style=options.s3_force_path_style,
        )
        name, file_type = _checked_name(wanted, options, now)
        return _Target(name=name, file_type=file_type, destination=destination, directory=None)
    path = Path(wanted).expanduser()
    if wanted.endswith("/") or path.is_dir():
        raise UsageError(f"--output {wanted} is a directory: name the file, for example alice{EXTENSION}")
    directory = path.parent.resolve()
    if not directory.is_dir():
        raise UsageError(f"--output: the directory {directory} does not exist: make it first")
    if not os.access(directory, os.W_OK):
        raise UsageError(f"--output: the directory {directory} is not writable: choose another one")
    name, file_type = _checked_name(path.name, options, now)
    if (directory / name).exists():
        raise UsageError(f"--output {directory / name} exists and is not overwritten: choose another name")
    if directory.parent == directory:
        raise UsageError("--output cannot be in the root directory: choose another one")
    return _Target(
        name=name,
        file_type=file_type,
        destination=VolumeDestination(volume=directory.name),
        directory=directory,
    )


def _checked_name(name: str, options: Namespace, now: datetime) -> tuple[str, FileType]:
    """Return the file's name and the type that its extension asks for; MP4 when it says nothing."""
    suffix = Path(name).suffix.lower()
    if suffix in {".ts", ".m3u8", ".ivf"}:
        known = ", ".join(kind.extension for kind in FILE_KINDS.values())
        raise UsageError(f"--output {name!r} asks for a {suffix} file: the recorder writes {known}")
    file_type = of_extension(name) or "MP4"
    values = NameValues(room_name=options.room, requested_at=now, publisher_identity=options.identity or None)
    one_track = bool(options.audio_track_id) != bool(options.video_track_id)
    try:
        refuse_meaningless(name, one_track=one_track, resource=False)
        return resolve_filepath(name, values, FILE_KINDS[file_type].extension), file_type
    except ContractError as error:
        raise UsageError(f"--output: {error}") from None


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False)[0]
    name = "-".join(str(part) for part in first["loc"] if isinstance(part, str)) or "the request"
    return f"--{name.replace('_', '-')}: {first['msg']}"
