"""Owns `egress-recorder run`: the supervisor in a pod, wired to its directory, its control endpoint and its signals."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from egress_recorder.configdir import ConfigDirectory, Inputs
from egress_recorder.contract import DesiredState, RecorderConfig, RecorderResult
from egress_recorder.control import ControlServer
from egress_recorder.errors import ConfigurationError, RecorderError
from egress_recorder.health import Health
from egress_recorder.redact import configure_logging, redact
from egress_recorder.retry import RetryPolicy
from egress_recorder.supervisor.board import StatusBoard
from egress_recorder.supervisor.core import Supervisor
from egress_recorder.supervisor.process import CaptureChild, SignalLatch, Spawn, reap_orphans
from egress_recorder.supervisor.settings import Settings
from egress_recorder.supervisor.termination import UNKNOWN_EGRESS, failure_result, write_termination_message
from egress_recorder.waiting import happens

logger = logging.getLogger(__name__)

ACK_TIMEOUT = 5.0
"""Seconds that the full result stays available over HTTP when the termination message could not hold it."""


_HOLD_PAUSE = 30.0
"""Seconds. A pod's scratch volume goes with the pod, so a file that nobody has yet keeps the pod."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodOptions:
    """What the command line of `run` says."""

    config_dir: Path
    credentials_root: Path | None
    volumes_root: Path | None
    scratch: Path
    termination_log: Path | None
    host: str
    port: int
    upload_timeout: float


def pod_settings(options: PodOptions, spawn: Spawn, finalize_command: Sequence[str]) -> Settings:
    """Return the supervisor's settings."""
    return Settings(
        scratch=options.scratch,
        credentials_root=options.credentials_root,
        volumes_root=options.volumes_root,
        retry=RetryPolicy(total=options.upload_timeout),
        hold_pause=_HOLD_PAUSE,
        spawn=spawn,
        finalize_command=finalize_command,
    )


class Desired:
    """Merges the two ways of the desired state, file and HTTP: the higher generation wins, a stop is latched."""

    def __init__(self, board: StatusBoard, stop: Callable[[], None]) -> None:
        self._board = board
        self._stop = stop
        self._generation = -1

    def apply(self, desired: DesiredState) -> None:
        """Take a desired state that is not older than the last one."""
        if desired.generation < self._generation:
            return
        self._generation = desired.generation
        self._board.update(desired_generation=desired.generation)
        if desired.desired_state == "Stopped":
            self._stop()


def run_in_pod(options: PodOptions, settings: Settings, child: CaptureChild, latch: SignalLatch) -> int:
    """Record what the configuration directory says; return the exit code, which the termination message holds too."""
    configure_logging(human=False)
    directory = ConfigDirectory(options.config_dir)
    egress_id: str | None = None
    try:
        config = directory.config()
        egress_id = config.egress_id
        inputs = directory.inputs()
        return asyncio.run(
            _run(
                options, settings, child=child, latch=latch, directory=directory, config=config, inputs=inputs
            )
        )
    except Exception as error:
        child.discard()
        if isinstance(error, RecorderError):
            logger.error("recorder failed", extra={"error": str(error)})  # noqa: TRY400 - expected: no traceback
        else:
            logger.exception("recorder failed")
        version = directory.stated_version()
        result = failure_result(error, egress_id=egress_id or UNKNOWN_EGRESS, contract_version=version)
        write_termination_message(options.termination_log, result)
        assert result.exit_code is not None
        return result.exit_code


async def _run(
    options: PodOptions,
    settings: Settings,
    *,
    child: CaptureChild,
    latch: SignalLatch,
    directory: ConfigDirectory,
    config: RecorderConfig,
    inputs: Inputs,
) -> int:
    board = StatusBoard(config.egress_id, contract_version=config.answer_version)
    supervisor = Supervisor(config, inputs.token, settings=settings, board=board, child=child)
    desired = Desired(board, supervisor.stop)
    acknowledged = asyncio.Event()
    current = [inputs]
    server = ControlServer(
        board=board,
        health=Health(board),
        control_token=lambda: current[0].control_token,
        apply=desired.apply,
        acknowledge=acknowledged.set,
    )
    _handle_signals(supervisor, latch)
    supervisor.want_streams(inputs.streams)
    desired.apply(inputs.desired)

    async def follow() -> None:
        async for changed in directory.watch(inputs):
            if changed.token != current[0].token:
                supervisor.renew_token(changed.token)
            if changed.streams != current[0].streams:
                supervisor.want_streams(changed.streams)
            current[0] = changed
            desired.apply(changed.desired)

    logger.info("recorder started", extra={"egress_id": config.egress_id, "part": config.part})
    async with _listening(server, options):
        watcher = asyncio.create_task(follow(), name="watch-configuration")
        try:
            result = await supervisor.run()
        finally:
            watcher.cancel()
        complete = write_termination_message(options.termination_log, result)
        _log_result(result)
        if not complete:
            await happens(acknowledged, within=ACK_TIMEOUT)
    assert result.exit_code is not None
    return result.exit_code


def _log_result(result: RecorderResult) -> None:
    logger.info(
        "recorder ended",
        extra={
            "phase": result.phase.value,
            "exit_code": result.exit_code,
            "details": result.details,
            "error": redact(result.error),
            "parts": len(result.parts),
        },
    )


class _listening:  # noqa: N801 - used as a statement, like contextlib's
    """The control endpoint for the time of a block; an address that cannot be taken is a ConfigurationError."""

    def __init__(self, server: ControlServer, options: PodOptions) -> None:
        self._serving = server.serve(options.host, options.port)
        self._address = f"{options.host}:{options.port}"

    async def __aenter__(self) -> None:
        try:
            port = await self._serving.__aenter__()
        except OSError as error:
            raise ConfigurationError(
                f"--bind {self._address} cannot be taken ({error.strerror}): choose a free address"
            ) from None
        logger.info("control endpoint listens", extra={"port": port})

    async def __aexit__(self, *details: object) -> None:
        await self._serving.__aexit__(*details)  # type: ignore[arg-type]


def _handle_signals(supervisor: Supervisor, latch: SignalLatch) -> None:
    """SIGTERM and SIGINT interrupt; as PID 1, orphans are reaped."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, supervisor.interrupt)
    if latch.received:
        supervisor.interrupt()
    if os.getpid() == 1:

        def reap() -> None:
            if not reap_orphans():
                loop.call_later(0.1, reap)

        loop.add_signal_handler(signal.SIGCHLD, reap)
