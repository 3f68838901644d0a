"""Owns the media thread: it takes pictures and sound from the mailbox, asks the timeline, encodes and writes.

Everything that blocks or computes happens here, never in the event loop. One instance is one part: pictures are encoded
once and sound once per codec, whatever number of files takes them. A failure ends the thread and is told once through
`failed`.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter

import numpy as np

from egress_recorder.errors import MediaError, RecorderError
from egress_recorder.media.audioclock import Placement
from egress_recorder.media.audioencoder import AudioEncoder
from egress_recorder.media.counts import complete
from egress_recorder.media.encoder import VideoEncoder
from egress_recorder.media.gate import Gate
from egress_recorder.media.images import Images
from egress_recorder.media.journal import Journal
from egress_recorder.media.mailbox import Mailbox
from egress_recorder.media.mixer import AudioMixer, Pcm, stretch
from egress_recorder.media.packets import EncodedPacket, PacketSink
from egress_recorder.media.timeline import Timeline
from egress_recorder.media.values import CHANNELS, SAMPLE_RATE, Buffer, Kind, MediaSpec, Numbers, Picture
from egress_recorder.media.videolane import Tick

WAKE = 0.03
"""Seconds between two looks at the clock while nothing arrives; nearly a frame."""
WAKE_SOUND = 0.15
"""The same without pictures: sound is then encoded in pieces of that length, because each costs. With the chunk that is
on its way (`SOUND_CHUNK`) no more than 0.2 s are not encoded."""
COUNT_SECONDS = 0.2
"""Between two snapshots of the numbers, at least; the session looks that often."""


@dataclass(frozen=True, slots=True)
class Finished:
    """What a closed file holds. `origin` is the monotonic time of its beginning, None when nothing was written."""

    origin: float | None
    numbers: Numbers


class Pipeline:
    """A `MediaSink` whose methods may be called from any thread and return at once."""

    def __init__(
        self,
        spec: MediaSpec,
        output: PacketSink,
        *,
        failed: Callable[[RecorderError], None],
        sound: Sequence[MediaSpec] | None = None,
        max_duration: float | None = None,
        images: Images | None = None,
        encodes_pictures: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`failed` is called once from the media thread; nothing after `max_duration` file seconds is written.

        `sound`: one spec per codec that the sound is encoded to; absent: that of `spec`. `images` gets what each tick
        shows; without `encodes_pictures` nothing else does.
        """
        self._limit = math.inf if max_duration is None else max_duration
        self._spec, self._output, self._failed, self._clock = spec, output, failed, clock
        self._sound = (spec,) if sound is None else tuple(sound)
        self._images, self._encodes_pictures = images, encodes_pictures
        self._encodes = encodes_pictures or spec.audio
        """False for images alone: no packet tells how long the recording is, the ticks do."""
        self._mailbox = Mailbox()
        self._timeline: Timeline[Picture, Pcm] = Timeline(spec.framerate, video=spec.video, audio=spec.audio)
        self._mixer = AudioMixer()
        self._gate: Gate[EncodedPacket] = Gate()
        self._numbers = Numbers()
        self.journal = Journal()
        self._frames, self._cut, self._recording = 0, 0, False
        self._frames_of: dict[int, int] = {}
        """By file: pictures are in the next one a moment before the sound."""
        self._video: VideoEncoder | None = None
        self._audio: list[AudioEncoder] = []
        self._written = 0.0
        self._end: float | None = None
        self._thread = threading.Thread(target=self._run, name="media", daemon=True)

    def start(self) -> None:
        """Open the encoders and begin to wait for media."""
        if self._images is not None:
            self._images.start()
        self._thread.start()

    # ---- MediaSink ---------------------------------------------------------------------------------------

    def opened(self, track: str, kind: Kind, at: float, *, still: bool = False) -> None:  # noqa: ARG002 - interface
        """A track begins."""
        self._mailbox.put("control", lambda: self._timeline.opened(track, kind, still=still))
        self._mailbox.put("control", lambda: self.journal.opened(track, kind, still=still))

    def closed(self, track: str, at: float) -> None:
        """A track is over."""
        self._mailbox.put("control", lambda: self._mix(self._timeline.closed(track, at)))
        self._mailbox.put("control", lambda: self.journal.closed(track, at))

    def muted(self, track: str, muted: bool, at: float) -> None:
        """The publisher muted or unmuted the track."""
        self._mailbox.put("control", lambda: self._timeline.muted(track, muted, at))
        self._mailbox.put("control", lambda: self.journal.muted(track, muted, at))

    def picture(self, track: str, picture: Picture, captured: float) -> None:
        """One picture; the oldest waiting one is dropped when the encoder is behind."""
        self._mailbox.put("picture", lambda: self._picture(track, picture, captured))

    def samples(self, track: str, pcm: Buffer, arrived: float) -> None:
        """Stereo samples."""
        self._mailbox.put("sound", lambda: self._samples(track, pcm, arrived))

    def held(self, track: str, at: float) -> None:
        """The last picture stays."""
        self._mailbox.put("statistic", lambda: self._timeline.held(track, at))

    def starved(self, track: str, since: float | None) -> None:
        """The samples are silence that nobody sent."""
        self._mailbox.put("control", lambda: self.journal.starved(track, since))

    def delay(self, track: str, seconds: float, at: float) -> None:
        """A measured receive delay."""
        self._mailbox.put("statistic", lambda: self._timeline.delay(track, seconds, at))

    # ---- control -----------------------------------------------------------------------------------------

    def hold(self, at: float) -> None:
        """What is captured from `at` on belongs to the file only if `resume` follows."""
        self._mailbox.put("control", lambda: self._hold(self._file_time(at)))

    def resume(self) -> None:
        """Write what was held."""
        self._mailbox.put("control", self._release)

    def finish(self, at: float) -> Finished:
        """Complete the file so that it ends at `at` (or where it was held) and wait for it; blocks, call once.

        Raises MediaError when the media thread is stuck.
        """
        self._mailbox.put("control", lambda: self._set_end(at))
        if self._thread.is_alive():
            self._thread.join(timeout=30)
        if self._thread.is_alive():
            raise MediaError("the encoder did not finish within 30 s")
        if self._images is not None:
            self._images.close()
        return Finished(self._timeline.origin, self._numbers)

    @property
    def first(self) -> float | None:
        """Monotonic time of the first media; None before it."""
        return self._timeline.first

    @property
    def origin(self) -> float | None:
        """Monotonic time of file time 0, near that of the first media; None before it."""
        return self._timeline.origin

    @property
    def recording(self) -> bool:
        """False while only black and silence are written."""
        return self._recording

    @property
    def degraded(self) -> str:
        """What the encoder saves on to keep up (`Degradation`), "" when nothing is."""
        return self._video.saves if self._video else ""

    @property
    def numbers(self) -> Numbers:
        """The last snapshot (`COUNT_SECONDS`)."""
        return self._numbers

    def numbers_until(self, seconds: float) -> Numbers:
        """Return the numbers up to the end of a file, at media time `seconds`; for the media thread, when it has rolled."""
        self._count()
        begun = round(seconds / (self._spec.file_seconds or seconds))
        frames = sum(count for file, count in self._frames_of.items() if file < begun)
        return replace(self._numbers, duration=seconds, frames=frames)

    # ---- media thread ------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._loop()
        except RecorderError as error:
            self._give_up(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the session must hear of it and end
            self._give_up(MediaError(f"encoding failed: {type(error).__name__}: {error}"))

    def _give_up(self, error: RecorderError) -> None:
        with contextlib.suppress(RecorderError):
            # What is complete so far is kept; after a full disk this fails as well and changes nothing.
            self._output.close()
        self._failed(error)

    def _loop(self) -> None:
        self._video = VideoEncoder(self._spec) if self._spec.video and self._encodes_pictures else None
        self._audio = [AudioEncoder(spec) for spec in self._sound] if self._spec.audio else []
        wake, counted = WAKE if self._video else WAKE_SOUND, -math.inf
        while self._end is None:
            for action in self._mailbox.take(wake):
                action()
            now = self._clock()
            self._mix(self._timeline.begin(now))
            self._encode(self._timeline.advance(now))
            self._read(self._timeline.audio_ready(now))
            if now - counted >= COUNT_SECONDS:
                counted = now
                self._count()
        self._complete(self._end)

    def _complete(self, end: float) -> None:
        if self._timeline.origin is not None:
            ticks, waiting, samples = self._timeline.finish(end)
            for _, placements in waiting:
                self._mix(placements)
            self._encode(ticks)
            self._read(samples)
            last = [
                *(self._video.flush() if self._video else ()),
                *(packet for encoder in self._audio for packet in encoder.flush()),
            ]
            self._write(self._gate.pass_through(last), until=end - self._timeline.origin)
            if not self._encodes:
                self._written = min(end - self._timeline.origin, self._limit)
            self.journal.finish(end)
        self._gate.discard()
        self._output.close()
        self._count()

    def _hold(self, file_time: float) -> None:
        self._gate.close(file_time)
        self._mixer.hold(round(file_time * SAMPLE_RATE))

    def _release(self) -> None:
        self._mixer.release()
        self._write(self._gate.open())

    def _set_end(self, at: float) -> None:
        held = self._gate.closed_at
        origin = self._timeline.origin
        self._end = at if held is None or origin is None else min(at, origin + held)

    def _picture(self, track: str, picture: Picture, captured: float) -> None:
        self._timeline.picture(track, picture, captured)
        self.journal.picture(track, (picture.width, picture.height), captured)

    def _samples(self, track: str, pcm: Buffer, arrived: float) -> None:
        if self._timeline.lost(track, arrived):
            self._mix(self._timeline.closed(track, arrived))
            self._timeline.opened(track, "audio")
        chunk = np.frombuffer(pcm, np.int16).reshape(-1, CHANNELS)
        self._mix(self._timeline.samples(track, chunk, len(chunk), arrived))
        self.journal.samples(track, len(chunk) / SAMPLE_RATE, arrived)

    def _mix(self, placements: Iterable[Placement[Pcm]]) -> None:
        for placement in placements:
            self._cut += self._mixer.write(placement.position, stretch(placement.chunk, placement.length))

    def _encode(self, ticks: Iterable[Tick[Picture]]) -> None:
        for tick in ticks:
            if self._images is not None and self._gate.closed_at is None:
                self._images.offer(tick.index, tick.picture)
                if not self._encodes:
                    self._written = min((tick.index + 1) / self._spec.framerate, self._limit)
            if self._video is None:
                continue
            now = self._clock()
            behind = self._timeline.behind(now, tick.index)
            packets = self._video.encode(tick.picture, tick.index, now=now, behind=behind)
            self._write(self._gate.pass_through(packets))

    def _read(self, until: int) -> None:
        if self._audio and until > self._mixer.position:
            pcm = self._mixer.read(until)
            # In the order of their times: the gate keeps what comes from a moment on.
            packets = [packet for encoder in self._audio for packet in encoder.encode(pcm)]
            self._write(self._gate.pass_through(sorted(packets, key=attrgetter("file_time"))))

    def _write(self, packets: Iterable[EncodedPacket], *, until: float | None = None) -> None:
        limit = self._limit if until is None else min(until, self._limit)
        for packet in packets:
            if packet.file_time < limit:
                if packet.kind == "video":
                    self._note_frame(packet)
                self._output.write(packet)
                self._written = max(self._written, packet.file_time + packet.duration)

    def _note_frame(self, packet: EncodedPacket) -> None:
        assert packet.packet.pts is not None
        file = self._spec.file_of(packet.packet.pts)
        self._frames_of[file] = self._frames_of.get(file, 0) + 1
        self._frames += 1

    def _file_time(self, at: float) -> float:
        return max(0.0, at - (self._timeline.origin or at))

    def _count(self) -> None:
        # Read here, in the thread that changes the timeline; others see only the results.
        lane, self._recording = self._timeline.lane, self._timeline.recording
        saved = self._video.dropped if self._video else 0
        self._numbers = Numbers(
            duration=self._written,
            bytes_written=self._output.bytes_written,
            frames=self._frames,
            dropped=lane.dropped + self._mailbox.dropped_pictures + saved,
            duplicated=lane.duplicated,
            silence=self._mixer.silence / SAMPLE_RATE,
            degraded=self._video.degraded if self._video else 0.0,
            corrections=complete(self._timeline.corrections, self._mailbox, cut=self._cut, saved=saved),
        )
