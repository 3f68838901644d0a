"""Owns what the recorder says of itself: events and ledger become the status on the board, the manifest, the result."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from egress_recorder import ipc
from egress_recorder.contract import Manifest, Phase, RecorderConfig, RecorderResult, Trouble
from egress_recorder.errors import RecorderError
from egress_recorder.redact import redact
from egress_recorder.supervisor.board import StatusBoard
from egress_recorder.supervisor.imageledger import ImageLedger
from egress_recorder.supervisor.ledger import Ledger
from egress_recorder.supervisor.outputs import Names
from egress_recorder.supervisor.playlists import Published
from egress_recorder.supervisor.segment_results import manifest_playlists, segment_results
from egress_recorder.supervisor.streams import StreamLedger
from egress_recorder.supervisor.verdict import Verdict

logger = logging.getLogger(__name__)
_Told = (
    ipc.Joined
    | ipc.TracksChanged
    | ipc.Started
    | ipc.ProgressReport
    | ipc.SpansChanged
    | ipc.StreamsChanged
    | ipc.Ended
)


class Account:
    """Keeps the board in step with the ledger. Texts from other processes pass the redaction here."""

    def __init__(self, config: RecorderConfig, board: StatusBoard, *, now: Callable[[], datetime]) -> None:
        self.ledger = Ledger(config)
        self.names = Names(config)
        self.images = ImageLedger(config.prior.images, outputs=len(config.images))
        self.streams = StreamLedger(config.prior.streams)
        self._config = config
        self._board = board
        self._now = now
        self._verdict: Verdict | None = None
        self._earlier_backup = False
        self._stored: dict[int, Published] = {}

    def mirror(self, event: _Told, *, part: int, ending: bool) -> None:
        """Take in what the capture process of a part says. `ending`: it was told to end already."""
        if isinstance(event, ipc.Joined):
            self.names.learn(room_id=event.room_id)
            self._board.update(in_room=True, room_id=event.room_id, message="waiting for media")
        elif isinstance(event, ipc.TracksChanged):
            self.names.learn(publisher_identity=event.publisher_identity)
            self.names.learn_source(event.tracks)
            seen = [f"{one.kind} {one.source} {one.sid}" for one in event.tracks]
            logger.info("recorded tracks", extra={"part": part, "tracks": seen})
            self._board.update(tracks=event.tracks)
        elif isinstance(event, ipc.Started):
            self.names.learn(publisher_identity=event.publisher_identity)
            self.ledger.started(part, event.started_at, self.names.of_part(part))
            if not ending:
                self._board.update(phase=Phase.ACTIVE, recording=True, message="recording")
        elif isinstance(event, ipc.ProgressReport):
            if self.ledger.is_own(part):
                self.ledger.progressed(part, event.progress, event.sizes)
            self._board.update(recording=event.recording and not ending, degraded=event.degraded)
            if event.problems:
                self.report(
                    Trouble.OUTPUT_CUT, f"{'; '.join(event.problems.values())}; the other files go on"
                )
        elif isinstance(event, ipc.SpansChanged):
            self.ledger.content.holds(part, event.spans, event.gaps)
            return
        elif isinstance(event, ipc.StreamsChanged):
            self.streams.reported(replace(one, error=redact(one.error)) for one in event.streams)
        else:
            self._board.update(recording=False, degraded="", message=redact(event.error))
        self.publish()

    def publish(self) -> None:
        """Bring the ledger onto the board."""
        self._board.update(
            parts=self.ledger.parts(),
            gaps=self.ledger.gaps(),
            progress=self.ledger.progress(),
            started_at=self.ledger.started_at,
            file_results=self.ledger.file_results(len(self._config.outputs)),
            segment_results=segment_results(
                self.ledger.parts(), self._stored, first=len(self._config.outputs)
            ),
            image_results=self.images.results(),
            stream_results=self.streams.results,
        )

    def stored(self, index: int, published: Published) -> None:
        """Note what of HLS output `index` is in its storage now."""
        self._stored[index] = published
        self.publish()

    def report(self, trouble: Trouble, sentence: str) -> None:
        """Say that something is not as it should be, although the recording goes on."""
        self._board.update(troubles={**self._board.status.troubles, trouble.value: redact(sentence)})

    def clear(self, trouble: Trouble) -> None:
        """It is over."""
        left = {name: text for name, text in self._board.status.troubles.items() if name != trouble.value}
        self._board.update(troubles=left)

    def backed_up(self, output: str, why: RecorderError) -> None:
        """A file went to the backup storage of an output."""
        self._board.update(backup_storage_writes=self._board.status.backup_storage_writes + 1)
        self.report(
            Trouble.BACKUP_USED, f"{output}: its storage failed, the file is in its backup storage: {why}"
        )

    @property
    def used_backup(self) -> bool:
        """True when any file of the recording went to a backup storage."""
        return bool(self._earlier_backup or self._board.status.backup_storage_writes)

    def adopt(self, manifest: Manifest) -> None:
        """Take over what an earlier part's manifest knows."""
        self._earlier_backup = self._earlier_backup or manifest.backup_storage_used
        self.ledger.adopt(manifest)
        self.images.adopt(manifest.images)
        self.publish()

    def settle(self, verdict: Verdict) -> None:
        """Let the manifest say from now on how the recording ended."""
        self._verdict = verdict
        if verdict.phase is not Phase.INTERRUPTED:
            self.streams.conclude(self.ledger.ended_at or self._now())

    def manifest(self) -> Manifest:
        """Return the manifest as of now."""
        status = self._board.status
        verdict = self._verdict
        source = self._config.source
        return Manifest(
            contract_version=self._config.answer_version,
            egress_id=self._config.egress_id,
            room_id=status.room_id or self._config.room_id,
            room_name=self._config.room_name,
            publisher_identity=self.names.publisher_identity,
            audio_track_id=getattr(source, "audio_track_id", ""),
            video_track_id=getattr(source, "video_track_id", ""),
            phase=verdict.phase if verdict else status.phase,
            started_at=self.ledger.started_at,
            ended_at=(self.ledger.ended_at or self._now()) if verdict else None,
            updated_at=self._now(),
            parts=self.ledger.parts(),
            gaps=self.ledger.gaps(),
            media=self.ledger.media(),
            playlists=manifest_playlists(self._stored),
            images=self.images.listed(),
            progress=self.ledger.progress(),
            streams=self.streams.results,
            error=redact(verdict.error) if verdict else "",
            details=self._details(verdict) if verdict else "",
            backup_storage_used=self.used_backup,
        )

    def _details(self, verdict: Verdict) -> str:
        used = self._board.status.backup_storage_writes
        return f"{verdict.details}; backup storage used" if used else verdict.details

    def conclude(self, verdict: Verdict) -> RecorderResult:
        """Put the verdict on the board and return the result."""
        self.settle(verdict)
        self.publish()
        self._board.update(
            phase=verdict.phase,
            recording=False,
            degraded="",
            in_room=False,
            ended_at=self.ledger.ended_at or self._now(),
            error=redact(verdict.error),
            error_code=int(verdict.error_code),
            details=self._details(verdict),
            message="",
            exit_code=int(verdict.exit_code),
        )
        return RecorderResult(**dict(self._board.status))
