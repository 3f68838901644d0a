"""Owns the directory with a recorder's configuration: reads it, validates it, says when it changed.

In a pod it is a Secret's volume: the kubelet swaps the `..data` symlink, so that files change together. Nothing of
a file's content appears in an error: the token and the control token are secrets.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from egress_recorder.contract import (
    CONFIG_FILE,
    CONTRACT_VERSION,
    CONTROL_TOKEN_FILE,
    DESIRED_STATE_FILE,
    STREAMS_FILE,
    TOKEN_FILE,
    ContractError,
    DesiredState,
    RecorderConfig,
    StreamTarget,
    WantedStreams,
    stated_version,
)
from egress_recorder.errors import ConfigurationError
from egress_recorder.redact import remember
from egress_recorder.streamurls import secrets_of

POLL_INTERVAL = 1.0
"""Seconds between two looks; the kubelet itself takes up to 90 s, so faster gains nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What may change while a recorder runs."""

    token: str
    control_token: str
    desired: DesiredState
    streams: tuple[StreamTarget, ...] = ()


class ConfigDirectory:
    """The files of one directory; `watch` yields the inputs each time that one of them changed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def config(self) -> RecorderConfig:
        """Return the recording's configuration, which never changes. Raises ConfigurationError."""
        try:
            return RecorderConfig.parse(self._text(CONFIG_FILE))
        except ContractError as error:
            raise ConfigurationError(str(error)) from None

    def stated_version(self) -> int:
        """Return the contract version that the configuration says it has, ours when it says none. Never raises."""
        try:
            return stated_version(self._text(CONFIG_FILE))
        except ConfigurationError:
            return CONTRACT_VERSION

    def inputs(self) -> Inputs:
        """Return tokens and desired state as they are now. Raises ConfigurationError."""
        token = self._text(TOKEN_FILE).strip()
        control_token = self._text(CONTROL_TOKEN_FILE, optional=True).strip()
        if not token:
            raise ConfigurationError(
                f"{TOKEN_FILE} in the configuration directory is empty: it is LiveKit's access token"
            )
        remember(token)
        remember(control_token)
        text = self._text(DESIRED_STATE_FILE, optional=True)
        try:
            desired = DesiredState.parse(text) if text else DesiredState()
        except ContractError as error:
            raise ConfigurationError(f"{DESIRED_STATE_FILE}: {error}") from None
        return Inputs(token=token, control_token=control_token, desired=desired, streams=self._streams())

    def _streams(self) -> tuple[StreamTarget, ...]:
        text = self._text(STREAMS_FILE, optional=True)
        try:
            streams = WantedStreams.parse(text).streams if text else ()
        except ContractError as error:
            raise ConfigurationError(f"{STREAMS_FILE}: {error}") from None
        for target in streams:
            for secret in secrets_of(target.url):
                remember(secret)
        return streams

    async def watch(self, last: Inputs, *, interval: float = POLL_INTERVAL) -> AsyncIterator[Inputs]:
        """Yield the inputs whenever they differ from the last ones; a moment with missing files is skipped.

        The files are a few hundred bytes on a memory file system: reading them blocks for microseconds.
        """
        while True:
            await asyncio.sleep(interval)
            try:
                current = self.inputs()
            except ConfigurationError:
                continue
            if current != last:
                last = current
                yield current

    def _text(self, name: str, *, optional: bool = False) -> str:
        try:
            return (self._directory / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            if optional:
                return ""
            raise ConfigurationError(
                f"{name} is missing in {self._directory}: --config-dir must name a directory with {CONFIG_FILE} and {TOKEN_FILE}"
            ) from None
        except (OSError, UnicodeError) as error:
            raise ConfigurationError(
                f"{name} in {self._directory} cannot be read ({type(error).__name__})"
            ) from None
