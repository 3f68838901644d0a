"""Owns a supervisor for tests in this process: a fake capture process, and volumes that fail as told."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from egress_recorder.contract import Destination, RecorderConfig, RecorderResult, VolumeDestination
from egress_recorder.errors import RecorderError
from egress_recorder.retry import RetryPolicy
from egress_recorder.storage import PartRecord, StorageContext, Upload
from egress_recorder.storage.volume import VolumeStorage
from egress_recorder.supervisor import outputs as outputs_module
from egress_recorder.supervisor.board import StatusBoard
from egress_recorder.supervisor.core import Supervisor
from egress_recorder.supervisor.process import spawn_capture
from egress_recorder.supervisor.settings import Settings

FAKES = Path(__file__).parents[1] / "fakes"


class FlakyVolume(VolumeStorage):
    """A volume whose next puts and parts fail as told."""

    put_faults: list[RecorderError]
    part_faults: list[RecorderError]

    def __init__(self, destination: Destination, context: StorageContext) -> None:
        super().__init__(destination, context)
        self.put_faults, self.part_faults = [], []

    def put(self, key: str, data: bytes, *, content_type: str, overwrite: bool = False) -> None:
        if self.put_faults:
            raise self.put_faults.pop(0)
        super().put(key, data, content_type=content_type, overwrite=overwrite)

    def put_part(self, upload: Upload, number: int, data: BinaryIO) -> PartRecord:
        if self.part_faults:
            raise self.part_faults.pop(0)
        return super().put_part(upload, number, data)

    def complete(self, upload: Upload, parts: Sequence[PartRecord], *, overwrite: bool = False) -> None:
        super().complete(upload, parts, overwrite=overwrite)


class Bench:
    """One supervisor and what surrounds it."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory = directory
        self.volume = directory / "volumes" / "claim"
        self.volume.mkdir(parents=True)
        self.storage = FlakyVolume(
            VolumeDestination(volume="claim"),
            StorageContext(where="fileOutputs[0]", volumes_root=directory / "volumes"),
        )
        monkeypatch.setattr(outputs_module, "open_storage", self._open)
        (directory / "volumes" / "backup").mkdir()
        self.backup = FlakyVolume(
            VolumeDestination(volume="backup", claim_name="spare"),
            StorageContext(where="fileOutputs[0].backupStorage", volumes_root=directory / "volumes"),
        )
        scenario = directory / "scenario.json"
        command = [sys.executable, str(FAKES / "fake_capture.py"), "--scenario", str(scenario)]
        self.settings = Settings(
            scratch=directory / "scratch",
            retry=RetryPolicy(total=0.5, refused=0.2, first_pause=0.01, longest_pause=0.05),
            spawn=partial(spawn_capture, command),
            finalize_command=[sys.executable, str(FAKES / "fake_finalize.py")],
        )
        self.board = StatusBoard("EG_test")
        self.scenario = scenario

    def _open(self, destination: Destination, context: StorageContext) -> FlakyVolume:
        return self.backup if context.where.endswith("backupStorage") else self.storage

    def supervisor(self, *scenario: dict[str, Any], **changes: Any) -> Supervisor:
        self.scenario.write_text(json.dumps(scenario))
        values = {
            "egressId": "EG_test",
            "url": "ws://x",
            "roomName": "r",
            "source": {"kind": "participant", "identity": "alice"},
            "outputs": [{"filepath": "a.mp4", "destination": {"kind": "pvc", "volume": "claim"}}],
            "requestedAt": "2026-11-22T10:00:00Z",
            **changes,
        }
        return Supervisor(
            RecorderConfig.model_validate(values),
            "token",
            settings=self.settings,
            board=self.board,
            child=self.settings.spawn(),
        )

    async def run(self, *scenario: dict[str, Any], **changes: Any) -> RecorderResult:
        async with asyncio.timeout(15):
            return await self.supervisor(*scenario, **changes).run()


async def until_recording(bench: Bench) -> None:
    """Wait for the first media."""
    async with asyncio.timeout(10):
        while not bench.board.status.recording:
            await bench.board.after(bench.board.status.sequence, 5)
