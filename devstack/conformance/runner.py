"""Owns the running of cases: servers, several cases side by side, progress, and an end that leaves nothing behind."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from devstack import browser
from devstack.conformance import plan
from devstack.conformance.case import Case
from devstack.conformance.judge import judge
from devstack.conformance.judge_container import Remains
from devstack.conformance.observe import Observation, observe
from devstack.conformance.outcome import Outcome
from devstack.conformance.recording import Recording
from devstack.conformance.scene import Scene
from devstack.conformance.strip import strip
from devstack.livekit import LiveKitServer
from devstack.process import say


@dataclass(frozen=True, slots=True)
class Take:
    """A case that ran and is not judged yet; without a scene when it was skipped."""

    outcome: Outcome
    scene: Scene | None


class Suite:
    """Runs cases on one livekit-server; a case that kills it gets its own (`Scene.own_server`)."""

    def __init__(self, directory: Path, *, progress: Callable[[str], None] = say) -> None:
        """`directory` gets one directory per case: recordings, logs, configuration."""
        self.directory = directory
        self._progress = progress
        self._interrupted = threading.Event()
        self._server = LiveKitServer(directory / "livekit", progress=lambda _: None)
        self._player: browser.Player | None = None

    def __enter__(self) -> Self:
        """Start the server."""
        self._server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End it, and the browser that played files."""
        self._server.stop()
        if self._player is not None:
            self._player.__exit__()

    def run(
        self, cases: Sequence[Case], *, jobs: int = 1, play: bool = False, attempts: int = 1
    ) -> list[Outcome]:
        """Run cases and judge them; return the outcomes in their order. `play`: in headless Chromium as well.

        A case that failed on a busy machine or beside another one was not measured: it is repeated alone, up to
        `attempts` times in all, and its outcome tells of the earlier ones. One that failed alone on a calm machine has failed,
        in whichever attempt.
        """
        if jobs > 1:
            outcomes = [self.judge(take, play=play) for take in self._record_together(cases, jobs)]
        else:
            outcomes = [self.judge(self.record(case), play=play) for case in cases]
        for _ in range(attempts - 1):
            for index, outcome in enumerate(outcomes):
                if outcome.passed or outcome.skipped or not outcome.disturbed:
                    continue
                again = self.judge(self.record(outcome.case), play=play)
                again.earlier = [*outcome.earlier, outcome.problems[0]]
                outcomes[index] = again
        return outcomes

    def _record_together(self, cases: Sequence[Case], jobs: int) -> list[Take]:
        """Record first and judge later: judging takes a core that recorders would miss. What must be alone comes last."""
        taken: dict[str, Take] = {}
        with ThreadPoolExecutor(jobs) as pool:
            futures = [pool.submit(self.record, case) for case in cases if not case.alone]
            try:
                for future in as_completed(futures):
                    take = future.result()
                    take.outcome.beside = True
                    taken[take.outcome.case.name] = take
            except BaseException:
                self._interrupted.set()
                for future in futures:
                    future.cancel()
                raise
        for case in cases:
            if case.name not in taken:
                taken[case.name] = self.record(case)
        return [taken[case.name] for case in cases]

    def record(self, case: Case) -> Take:
        """Let a case run; whatever fails becomes part of its outcome."""
        outcome = Outcome(case)
        if reason := case.unavailable():
            outcome.skipped = reason
            return Take(outcome, None)
        began, pressure, withheld = time.monotonic(), _stalled(), _stolen()
        directory = self.directory / case.name
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        lines: list[str] = []

        def note(text: str) -> None:
            lines.append(f"{time.time():.3f} {text}")

        room = f"{case.name}-{secrets.token_hex(4)}"
        scene = Scene(self._server, room, directory, note, interrupted=self._interrupted)
        self._progress(f"{case.name}: runs, about {case.seconds:.0f} s")
        try:
            case.script(scene)
            scene.stop()
            scene.finish()
        except Exception as error:  # noqa: BLE001 - a failed script is a result like any other
            _fail(outcome, error, directory)
        finally:
            scene.close()
            (directory / "scene.log").write_text("\n".join(lines) + "\n")
        outcome.seconds = time.monotonic() - began
        outcome.stalled = (_stalled() - pressure) / outcome.seconds
        outcome.stolen = (_stolen() - withheld) / outcome.seconds
        return Take(outcome, scene)

    def judge(self, take: Take, *, play: bool = False) -> Outcome:
        """Judge what a case left, say how it went."""
        outcome, scene = take.outcome, take.scene
        if scene is not None and not outcome.failure:
            try:
                for recording in scene.recordings:
                    seen = _judge(outcome, scene, recording)
                    if play:
                        self._play(outcome, seen)
            except Exception as error:  # noqa: BLE001 - a file that cannot be judged is a result as well
                _fail(outcome, error, self.directory / outcome.case.name)
        reason = f", {outcome.skipped}" if outcome.skipped else f" ({outcome.seconds:.0f} s)"
        self._progress(f"{outcome.case.name}: {outcome.word}{reason}")
        for line in [*outcome.problems, *outcome.notes]:
            self._progress(f"    {line}")
        return outcome

    def _play(self, outcome: Outcome, seen: Observation) -> None:
        """One browser for all files: its start costs more than a short file."""
        if self._player is None:
            self._player = browser.Player().__enter__()
        for piece in seen.pieces:
            playback = self._player.play(piece.report.path, report=piece.report)
            outcome.played += playback.plays
            if not playback.plays:
                outcome.verdicts[-1].problems.append(f"Chromium: {playback.summary()}")


def _stalled() -> float:
    """Return the seconds in which some task waited for a CPU since boot; 0 where the kernel does not count them."""
    try:
        return int(Path("/proc/pressure/cpu").read_text().split("total=")[1].split()[0]) / 1e6
    except (OSError, IndexError, ValueError):
        return 0.0


def _stolen() -> float:
    """Return the CPU seconds that the hypervisor gave to others since boot (proc(5), `steal`)."""
    try:
        return int(Path("/proc/stat").read_text().split(maxsplit=9)[8]) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        return 0.0


def _fail(outcome: Outcome, error: Exception, directory: Path) -> None:
    outcome.failure = f"{type(error).__name__}: {error}"
    (directory / "traceback.txt").write_text("".join(traceback.format_exception(error)))


def _judge(outcome: Outcome, scene: Scene, recording: Recording) -> Observation:
    case, files = outcome.case, recording.files()
    end = recording.expected_end or recording.stopped_at or last_departure(scene.log, recording)
    wanted = plan.build(scene.log, recording.selection, (recording.ready_at, end), case.grace)
    seen = observe(files, sorted({size.width for size in scene.log.sizes}))
    hashes = {file.part: hashlib.sha256(file.path.read_bytes()).hexdigest() for file in files}
    left = Remains(
        recording.exit_code,
        recording.result,
        recording.manifest(),
        recording.encoding,
        hashes,
        recording.seen(),
    )
    verdict = judge(case.expect, wanted, seen, left)
    outcome.verdicts.append(verdict)
    outcome.files += [file.path for file in files]
    if seen.pieces:
        outcome.strips.append(strip(wanted, seen, files))
    return seen


def last_departure(log: plan.Log, recording: Recording) -> float:
    """Return when the last of those who were recorded left; that is where a recording ends by itself."""
    times = [
        change.begin
        for change in log.changes
        if change.effect.reason == "away"
        and any(
            recording.selection(log.casts[change.key].identity, stimulus)
            for stimulus in log.casts[change.key].stimuli
        )
    ]
    return max(times, default=time.time())
