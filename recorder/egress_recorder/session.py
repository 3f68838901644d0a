"""Owns one capture from join to closed files: wait, record, end. Knows neither LiveKit nor FFmpeg.

One TaskGroup-like lifetime: the source's task and the loop of `run`; everything else is callbacks that only note
facts and wake the loop, which decides in one place (`_decide`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from egress_recorder import ipc, session_end, session_values
from egress_recorder.errors import RecorderError
from egress_recorder.ipc_streams import StreamReport, StreamTarget
from egress_recorder.media.fanout import FanOut
from egress_recorder.media.images import Images, Made
from egress_recorder.media.packets import Roll
from egress_recorder.media.pipeline import Finished, Pipeline
from egress_recorder.outputs import OUTPUTS
from egress_recorder.outputs.rolling import open_file
from egress_recorder.outputs.segments import SegmentOutput
from egress_recorder.outputs.stream_set import StreamSet
from egress_recorder.session_end import Ending
from egress_recorder.session_presence import Gone, NeverCame, Presence
from egress_recorder.session_rolls import Rolls
from egress_recorder.sources.base import RoomEnd, Source
from egress_recorder.vocabulary import EndReason, Track

PROGRESS_SECONDS = 1.0
TICK_SECONDS = 0.2
_log = logging.getLogger(__name__)


class Session:
    """Runs one `CaptureRequest`; `emit` gets every event, the last one is `Ended`."""

    def __init__(
        self,
        request: ipc.CaptureRequest,
        emit: Callable[[ipc.Message], None],
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._request, self._emit, self._clock, self._wall = request, emit, clock, wall
        self._loop, self._wake = asyncio.get_running_loop(), asyncio.Event()
        self._ending: Ending | None = None
        self._started = False
        self._publisher = ""
        self._held = False
        self._reported = clock()
        self._presence = Presence(
            wait=session_values.wait_limit(request),
            rejoin=request.rejoin_timeout,
            continuing=request.continuing,
            now=clock(),
        )
        files = session_values.file_specs(request)
        length = session_values.file_length(request, [of_file for _, of_file in files])
        files = [(file_type, replace(of_file, file_seconds=length)) for file_type, of_file in files]
        segments, directory = session_values.segment_specs(request), Path(request.directory)
        self._specs = [*(of_file for _, of_file in files), *segments]
        self._rolls = Rolls(length)
        self._segments = [
            SegmentOutput(directory, of_segments, wanted, index=index)
            for index, (of_segments, wanted) in enumerate(zip(segments, request.segments, strict=True))
        ]
        streamed = [session_values.stream_spec(request)] if request.streaming else []
        self._streams = [StreamSet(one, wall=wall) for one in streamed]
        self._streams_told: tuple[StreamReport, ...] = ()
        self.want_streams(request.streams)
        opened = [open_file(OUTPUTS[file_type], directory, of_file) for file_type, of_file in files]
        self._files = FanOut([*opened, *self._segments], self._streams, rolled=self._note_roll)
        spec = replace(session_values.media_spec(request), file_seconds=length)
        self._images = (
            Images(
                request.images,
                directory,
                framerate=spec.framerate,
                canvas=(spec.width, spec.height),
                made=self._image_done,
            )
            if request.images and spec.video
            else None
        )
        self._captured = [*self._specs, *streamed]
        self._streams_alone = session_values.streams_alone(request)
        self._limit = session_values.duration_limit(request)
        self._pipeline = Pipeline(
            spec,
            self._files,
            failed=self._media_failed,
            sound=session_values.encoded_sound(self._captured),
            max_duration=self._limit,
            images=self._images,
            encodes_pictures=any(spec.video for spec in self._captured),
            clock=clock,
        )

    @property
    def pipeline(self) -> Pipeline:
        """The sink for the source's media."""
        return self._pipeline

    @property
    def pictures(self) -> bool:
        """False when no output holds pictures: none need be received."""
        return self._images is not None or any(spec.video for spec in self._captured)

    @property
    def sound(self) -> bool:
        """False when no output holds sound, as of images alone: none need be received."""
        return any(spec.audio for spec in self._captured)

    def start_media(self) -> None:
        """Open the encoders; done before the source joins, so that both happen at the same time."""
        self._pipeline.start()

    # ---- SourceListener ----------------------------------------------------------------------------------

    def joined(self, room_id: str) -> None:
        """We are in the room."""
        self._emit(ipc.Joined(room_id=room_id))

    def tracks(self, tracks: Sequence[Track], publisher: str) -> None:
        """The recorded tracks changed."""
        self._publisher = publisher
        self._pipeline.journal.described(tracks)
        self._emit(ipc.TracksChanged(tracks=tuple(tracks), publisher_identity=publisher))

    def present(self, at: float) -> None:  # noqa: ARG002 - interface
        """The subject is there."""
        self._presence.arrived()
        self._wake.set()

    def absent(self, at: float, *, certain: bool) -> None:
        """The subject is gone."""
        self._presence.departed(at, certain=certain)
        self._pipeline.journal.reason(at, self._presence.absence)
        self._wake.set()

    def disconnected(self, at: float) -> None:
        """Our connection went."""
        self._presence.disconnected()
        self._pipeline.journal.reason(at, self._presence.absence)
        self._wake.set()

    def connected(self, at: float) -> None:
        """Our connection is back."""
        self._presence.connected(at)
        self._wake.set()

    def refused(self, error: RecorderError) -> None:
        """What is there cannot be recorded."""
        self._end(session_end.failed(error))

    # ---- commands ----------------------------------------------------------------------------------------

    def stop(self, reason: EndReason) -> None:
        """Finish the file and end; only the first call has an effect."""
        self._end(session_end.stopped(reason, self._clock()))

    def want_streams(self, targets: Sequence[StreamTarget]) -> None:
        """Let exactly these streams run."""
        for streams in self._streams:
            streams.want(targets)
        self._wake.set()

    # ---- life --------------------------------------------------------------------------------------------

    async def run(self, source: Source) -> ipc.Ended:
        """Record until there is a reason to end; return the last event (not yet emitted)."""
        task = asyncio.create_task(source.run())
        task.add_done_callback(lambda _: self._wake.set())
        try:
            while self._ending is None:
                await self._sleep()
                self._decide(source, task)
        except Exception as error:  # noqa: BLE001 - see below
            # Whatever it is: what was recorded must become a file.
            _log.exception("the session failed")
            self._end(session_end.failed(RecorderError(f"the session failed: {type(error).__name__}")))
        # The room is left while the file is closed: both take their time.
        leaving = asyncio.create_task(source.leave())
        assert self._ending is not None
        ended = await self._finish(self._ending)
        await asyncio.wait({leaving}, timeout=2.5)
        if not task.done():
            task.cancel()
        await asyncio.wait({task}, timeout=0.5)
        return ended

    async def _sleep(self) -> None:
        # A timer, not wait_for: that makes a task each time, and most ticks find nothing to do.
        tick = self._loop.call_later(TICK_SECONDS, self._wake.set)
        await self._wake.wait()
        tick.cancel()
        self._wake.clear()

    def _decide(self, source: Source, task: asyncio.Task[RoomEnd]) -> None:
        now = self._clock()
        self._note_start()
        self._tell_files()
        self._gate(now)
        self._report(now)
        self._tell_streams()
        if task.done():
            left_at = self._presence.left_at
            self._end(session_end.source_over(task, left_at, recorded=self._pipeline.origin is not None))
        match self._presence.verdict(now):
            case NeverCame():
                self._end(session_end.subject_missing(self._request, source.missing()))
            case Gone(at=at):
                self._end(session_end.source_closed(at))
        self._check_limits()
        self._check_streams()

    def _end(self, ending: Ending) -> None:
        if self._ending is None:
            self._ending = ending
            self._wake.set()

    # ---- while recording ---------------------------------------------------------------------------------

    def _note_start(self) -> None:
        first = self._pipeline.first
        if self._started or first is None:
            return
        self._started = True
        self._emit(
            ipc.Started(
                started_at=self._wall_of(first),
                files=self._files.filenames,
                publisher_identity=self._publisher,
            )
        )

    def _gate(self, now: float) -> None:
        """While the subject is away, what is encoded waits for its return."""
        left_at = self._presence.left_at
        if left_at is not None and not self._held:
            self._held = True
            self._pipeline.hold(min(left_at, now))
        elif left_at is None and self._held:
            self._held = False
            self._pipeline.resume()

    def _report(self, now: float) -> None:
        if not self._started or now - self._reported < PROGRESS_SECONDS:
            return
        self._reported = now
        recording, saves = self._pipeline.recording and not self._held, self._pipeline.degraded
        numbers = self._rolls.current(self._pipeline.numbers)
        self._emit(
            ipc.ProgressReport(
                progress=session_values.progress(numbers),
                recording=recording,
                degraded=saves,
                sizes=self._files.sizes,
                problems=self._files.problems,
            )
        )
        self._tell_spans()

    def _note_roll(self, roll: Roll) -> None:
        """Called by the media thread."""
        self._rolls.note(roll, self._pipeline.numbers_until)
        self._loop.call_soon_threadsafe(self._wake.set)

    def _tell_files(self) -> None:
        """Tell of segments and files that are complete; a segment that ends with a file belongs to it."""
        first, rolled = self._pipeline.first, self._rolls.take()
        self._tell_segments()
        for one in rolled:
            assert first is not None
            self._emit(self._rolls.tell(one, self._wall_of(first + one.until)))

    def _tell_segments(self) -> None:
        origin = self._pipeline.origin
        if not self._started or origin is None:
            return
        held_back = self._pipeline.numbers.corrections.receive_delay
        for index, output in enumerate(self._segments):
            for segment in output.take():
                self._emit(
                    ipc.SegmentClosed(
                        output=index,
                        number=segment.number,
                        name=segment.name,
                        start=round(segment.start, 6),
                        duration=round(segment.duration, 6),
                        started_at=self._wall_of(origin + segment.start - held_back),
                        size=segment.size,
                    )
                )

    def _image_done(self, made: Made) -> None:
        """Called by the images' thread."""
        self._loop.call_soon_threadsafe(self._image_made, made)

    def _image_made(self, made: Made) -> None:
        origin = self._pipeline.origin
        if origin is None:
            return
        held_back = self._pipeline.numbers.corrections.receive_delay
        self._emit(
            ipc.ImageMade(
                output=made.output,
                name=made.name,
                at=self._wall_of(origin + made.time - held_back),
                size=made.size,
                dropped=made.dropped,
            )
        )

    def _tell_streams(self) -> None:
        reports = tuple(report for streams in self._streams for report in streams.reports)
        if reports != self._streams_told:
            self._streams_told = reports
            self._emit(ipc.StreamsChanged(streams=reports))

    def _tell_spans(self) -> None:
        changed = session_values.spans_changed(self._pipeline.journal, self._pipeline.origin)
        if changed:
            self._emit(changed)

    def _check_limits(self) -> None:
        origin = self._pipeline.origin
        if origin is None:
            return
        if self._limit is not None and self._clock() >= origin + self._limit:
            self._end(session_end.limit_reached(origin + self._limit))
        limits, recorded = self._request.limits, self._request.recorded_bytes
        if session_values.size_reached(limits, recorded, self._pipeline.numbers, self._specs):
            self._end(session_end.limit_reached())

    def _check_streams(self) -> None:
        why = self._streams[0].exhausted() if self._streams_alone else None
        if why is not None:
            self._end(session_end.streams_over(why))

    def _media_failed(self, error: RecorderError) -> None:
        """Called by the media thread."""
        self._loop.call_soon_threadsafe(self._end, session_end.failed(error))

    # ---- end ---------------------------------------------------------------------------------------------

    async def _finish(self, ending: Ending) -> ipc.Ended:
        self._note_start()
        now = self._clock()
        try:
            finished = await asyncio.to_thread(self._pipeline.finish, min(ending.at or now, now))
        except RecorderError as error:
            ending = session_end.failed(error)
            finished = Finished(self._pipeline.origin, self._pipeline.numbers)
        self._tell_files()
        self._tell_spans()
        await asyncio.to_thread(self._files.close_taps)
        self._tell_streams()
        if finished.origin is None:
            ending = session_end.without_media(ending, continuing=self._request.continuing)
        started_at = None if finished.origin is None else self._wall_of(finished.origin)
        whole, numbers = finished.numbers, self._rolls.current(finished.numbers)
        return ipc.Ended(
            phase=ending.phase,
            reason=ending.reason,
            exit_code=ending.exit_code,
            error=ending.error,
            error_code=ending.error_code,
            files=self._files.filenames if started_at and whole.bytes_written else (),
            problems=self._files.problems,
            started_at=started_at,
            ended_at=started_at and started_at + timedelta(seconds=whole.duration),
            progress=session_values.progress(numbers),
        )

    def _wall_of(self, at: float) -> datetime:
        return self._wall() - timedelta(seconds=self._clock() - at)
