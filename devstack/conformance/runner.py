"""Owns the running of cases: servers, several cases side by side, progress, and an end that leaves nothing behind."""

from __future__ import annotations

import secrets
import shutil
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from devstack.conformance import plan
from devstack.conformance.case import Case
from devstack.conformance.judge import Verdict, judge
from devstack.conformance.judge_container import Remains
from devstack.conformance.observe import observe
from devstack.conformance.recording import Recording
from devstack.conformance.scene import Scene
from devstack.livekit import LiveKitServer
from devstack.process import say


@dataclass(slots=True)
class Outcome:
    """What came of one case: a verdict per recording, or the reason why there is none."""

    case: Case
    verdicts: list[Verdict] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    failure: str = ""
    """The script or a program failed."""
    skipped: str = ""
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """True when everything is as it has to be."""
        return not self.failure and not self.skipped and all(verdict.passed for verdict in self.verdicts)

    @property
    def problems(self) -> list[str]:
        """All that is not as it has to be."""
        found = [problem for verdict in self.verdicts for problem in verdict.problems]
        return [*found, self.failure] if self.failure else found


class Suite:
    """Runs cases on one livekit-server; a case that kills it gets its own (`Scene.own_server`)."""

    def __init__(self, directory: Path, *, progress: Callable[[str], None] = say) -> None:
        """`directory` gets one directory per case: recordings, logs, configuration."""
        self.directory = directory
        self._progress = progress
        self._server = LiveKitServer(directory / "livekit", progress=lambda _: None)

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
        """End it."""
        self._server.stop()

    def run(self, cases: Sequence[Case], *, jobs: int = 1) -> list[Outcome]:
        """Run cases, at most `jobs` at once, those that must be alone at the end; return the outcomes in their order."""
        outcomes: dict[str, Outcome] = {}
        together = [case for case in cases if not case.alone] if jobs > 1 else []
        with ThreadPoolExecutor(max(1, jobs)) as pool:
            futures: list[Future[Outcome]] = []
            try:
                futures = [pool.submit(self.run_one, case) for case in together]
                for future in futures:
                    outcome = future.result()
                    outcomes[outcome.case.name] = outcome
            except BaseException:
                for future in futures:
                    future.cancel()
                raise
        for case in cases:
            if case.name not in outcomes:
                outcomes[case.name] = self.run_one(case)
        return [outcomes[case.name] for case in cases]

    def run_one(self, case: Case) -> Outcome:
        """Run one case and judge it; whatever fails becomes part of the outcome."""
        outcome = Outcome(case)
        if reason := case.unavailable():
            outcome.skipped = reason
            self._progress(f"{case.name}: skipped, {reason}")
            return outcome
        began = time.monotonic()
        directory = self.directory / case.name
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        room = f"{case.name}-{secrets.token_hex(4)}"
        lines: list[str] = []

        def note(text: str) -> None:
            lines.append(f"{time.time():.3f} {text}")

        scene = Scene(self._server, room, directory, note)
        try:
            case.script(scene)
            scene.stop()
            scene.finish()
        except Exception as error:  # noqa: BLE001 - a failed script is a result like any other
            outcome.failure = f"{type(error).__name__}: {error}"
            (directory / "traceback.txt").write_text(traceback.format_exc())
        finally:
            scene.close()
            (directory / "scene.log").write_text("\n".join(lines) + "\n")
        if not outcome.failure:
            try:
                for recording in scene.recordings:
                    outcome.verdicts.append(_judge(case, scene, recording))
                    outcome.files += [path for path, _ in recording.files()]
            except Exception as error:  # noqa: BLE001 - a file that cannot be judged is a result as well
                outcome.failure = f"{type(error).__name__}: {error}"
                (directory / "traceback.txt").write_text(traceback.format_exc())
        outcome.seconds = time.monotonic() - began
        problems = outcome.problems
        self._progress(f"{case.name}: {'ok' if outcome.passed else 'FAILED'} ({outcome.seconds:.0f} s)")
        for problem in problems:
            self._progress(f"    {problem}")
        return outcome


def _judge(case: Case, scene: Scene, recording: Recording) -> Verdict:
    end = recording.expected_end or recording.stopped_at or last_departure(scene.log, recording)
    wanted = plan.build(scene.log, recording.selection, (recording.ready_at, end), case.grace)
    seen = observe(recording.files())
    left = Remains(recording.exit_code, recording.result, recording.manifest(), recording.encoding)
    return judge(case.expect, wanted, seen, left)


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
