"""Owns what the script of a case acts on: publishers, recorders and the log of what was done when."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from devstack.conformance.actor import Actor, Effect, Kind, Stimulus, effects
from devstack.conformance.log import Size
from devstack.conformance.plan import Cast, Change, Log, Selection, Window
from devstack.conformance.recording import SMALL, Recording
from devstack.livekit import LiveKitServer
from devstack.netrelay import NetRelay
from devstack.publisher import PublisherProcess
from devstack.signalproxy import SignalProxy
from egress_recorder.contract import Encoding, ParticipantSource, TrackCompositeSource

A = TypeVar("A", bound=Actor)
PROMPT = 2.0
"""Seconds after the start of the pattern at which a recorder that starts at once is in the room."""
CAMERA = frozenset({"CAMERA", "MICROPHONE"})


class Scene:
    """One room of a case. Whatever it starts ends with it, also when the script fails."""

    def __init__(
        self,
        server: LiveKitServer,
        room: str,
        directory: Path,
        say: Callable[[str], None] = lambda _: None,
        *,
        interrupted: threading.Event | None = None,
    ) -> None:
        """`say` takes one line per event; when `interrupted` is set, the next wait raises InterruptedError."""
        self.server, self.room, self.directory = server, room, directory
        self.log = Log()
        self.recordings: list[Recording] = []
        self._say = say
        self._keys: dict[int, str] = {}
        self._interrupted = interrupted or threading.Event()
        self._stack = contextlib.ExitStack()

    def own_server(self, *, relayed: bool = False, codecs: Sequence[str] = ()) -> NetRelay | None:
        """Use a livekit-server of this case alone from now on (to be killed); `relayed`: behind the returned relay.

        `codecs`: the only MIME types that its rooms let through.
        """
        directory = self.directory / "livekit"
        server = LiveKitServer(directory, relayed=relayed, codecs=codecs, progress=lambda _: None)
        self._stack.callback(server.stop)
        server.start()
        self.server = server
        return self._stack.enter_context(NetRelay(server.media_port)) if relayed else None

    def signal_proxy(self) -> SignalProxy:
        """Return a proxy before the server's signal port; its `url` is for one actor or recorder."""
        return self._stack.enter_context(SignalProxy(self.server.port))

    # ---- publishers --------------------------------------------------------------------------------------

    def publisher(self, identity: str = "alice", *arguments: str, url: str = "") -> PublisherProcess:
        """Let a participant of the Python SDK join; 640x360 unless `--size` is given."""
        size = () if "--size" in arguments else ("--size", "640x360", "--bitrate", "800")
        server = self.server
        return self.enter(
            PublisherProcess(
                url or server.url,
                server.api_key,
                server.api_secret,
                self.room,
                identity,
                (*size, *arguments),
            )
        )

    def enter(self, actor: A) -> A:
        """Let any actor join, and note when what it publishes at once was there."""
        self._stack.enter_context(actor)
        same = sum(cast.identity == actor.identity for cast in self.log.casts.values())
        key = actor.identity if not same else f"{actor.identity}#{same + 1}"
        self._keys[id(actor)] = key
        self.log.casts[key] = Cast(
            key=key,
            identity=actor.identity,
            start=actor.start,
            framerate=actor.framerate,
            stimuli=actor.stimuli,
            published=actor.published,
            # The test pattern begins to run at `start`, the tracks are there before.
            entered=max(time.time(), actor.start),
        )
        if size := getattr(actor, "size", None):
            self._note_size(key, str(size))
        self._say(f"{key} joined")
        return actor

    def command(
        self, actor: Actor, line: str, *, effect: Sequence[Effect] | None = None, timeout: float = 10.0
    ) -> None:
        """Let an actor carry out a command and note it; `effect` for commands that `actor.effects` does not know."""
        found = effects(line) if effect is None else effect
        begin = time.time()
        actor.command(line, timeout=timeout)
        self._note(actor, begin, found)
        verb, _, argument = line.partition(" ")
        if verb == "size":
            self._note_size(self._keys[id(actor)], argument)
        self._say(f"{self._keys[id(actor)]} {line}")

    def _note_size(self, key: str, size: str) -> None:
        width, _, height = size.partition("x")
        self.log.sizes.append(Size(time.time(), key, int(width), int(height)))

    def note(self, actor: Actor, *found: Effect, begin: float | None = None) -> None:
        """Note a change that was not made by a command (now, or since `begin`)."""
        self._note(actor, time.time() if begin is None else begin, found)

    def _note(self, actor: Actor, begin: float, found: Sequence[Effect]) -> None:
        now = time.time()
        self.log.changes += [Change(begin, now, self._keys[id(actor)], effect) for effect in found]

    # ---- recorders ---------------------------------------------------------------------------------------

    def record(self, identity: str = "alice", *, screen_share: bool = False, **options: Any) -> Recording:
        """Record a participant (ParticipantEgress) and wait until the recorder is in the room."""
        source = ParticipantSource(identity=identity, screen_share=screen_share)

        def selection(who: str, stimulus: Stimulus) -> bool:
            return who == identity and (stimulus.source in CAMERA) != screen_share

        return self._record(source, selection, **options)

    def record_tracks(
        self,
        *,
        audio: tuple[Actor, str] | None = None,
        video: tuple[Actor, str] | None = None,
        **options: Any,
    ) -> Recording:
        """Record tracks by their ids (TrackCompositeEgress), each given as (actor, label)."""
        source = TrackCompositeSource(
            audio_track_id=audio[0].sid(audio[1]) if audio else "",
            video_track_id=video[0].sid(video[1]) if video else "",
        )
        wanted = {(actor.identity, label) for actor, label in filter(None, (audio, video))}
        return self._record(source, lambda who, stimulus: (who, stimulus.label) in wanted, **options)

    def _record(
        self,
        source: ParticipantSource | TrackCompositeSource,
        selection: Selection,
        *,
        encoding: Encoding = SMALL,
        url: str = "",
        join: bool = True,
        **settings: Any,
    ) -> Recording:
        directory = self.directory / f"recording{len(self.recordings) + 1}"
        recording = Recording(
            self.server, self.room, directory, source, selection, encoding, settings, url=url
        )
        self.recordings.append(recording)
        recording.start()
        if join:
            recording.until_in_room()
            self._say("the recorder is in the room")
        return recording

    def stop(self) -> None:
        """Stop all recordings that still run, at once."""
        for recording in self.recordings:
            if recording.stopped_at is None and recording.process.running:
                recording.stop()
        self._say("stop")

    def finish(self) -> None:
        """Wait until all recorders have ended and read their results."""
        for recording in self.recordings:
            recording.finish()

    # ---- time --------------------------------------------------------------------------------------------

    def sleep(self, seconds: float) -> None:
        """Wait. Raises InterruptedError when the suite is to end."""
        if self._interrupted.wait(max(0.0, seconds)):
            raise InterruptedError("the suite was interrupted")

    def until(self, actor: Actor, second: float) -> None:
        """Wait for a second of an actor's clock; LiveKit's tests make changes at half seconds, away from flashes.

        Later by whole seconds when a recorder needed long to join: the steps of a case keep their distances.
        """
        ready = max((recording.ready_at for recording in self.recordings), default=0.0)
        shift = max(0, math.ceil(ready - actor.start - PROMPT))
        self.sleep(actor.start + shift + second - time.time())

    @contextlib.contextmanager
    def disturbance(self, reason: str, *, settle: float, kind: Kind | None = None) -> Iterator[None]:
        """Mark the time of a fault, and `settle` seconds after it, as not to be judged."""
        begin = time.time()
        yield
        self.log.disturbances.append(Window(begin - 0.15, time.time() + settle, kind, reason))

    def close(self) -> None:
        """End everything."""
        for recording in self.recordings:
            recording.close()
        self._stack.close()
