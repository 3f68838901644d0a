"""Owns the question whether a browser plays a file: PyAV accepts what browsers refuse.

`python -m devstack.browser FILE…` prints one line per file; exit code 1 when one does not play, 69 without a browser.
"""

from __future__ import annotations

import itertools
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from devstack import chromium

POSITIONS = (0.0, 0.2, 0.4, 0.6, 0.8)
"""Parts of the duration at which a decoded picture is asked for."""
TAIL = 2.0
"""Seconds before the end that are played in real time."""
FAST = 8.0
"""Speed at which all of a file is played first: every picture is decoded, few are shown."""
FAST_LIMIT = 50_000_000
"""Bytes; of larger files only the positions and the end are looked at."""
_TOLERANCE = 0.25
_STALLED = 1.5
"""Seconds that the end may take longer than it is; a busy machine needs some, a stalled element never ends."""


@dataclass(frozen=True, slots=True)
class Playback:
    """What the browser's media element said. Times in seconds of media time."""

    duration: float
    width: int
    height: int
    positions: tuple[float, ...]
    """Time of the picture that was shown after each seek to `POSITIONS` (of the play head for sound alone)."""
    ended: bool
    position: float
    waited: float
    """Wall-clock seconds by which playing the end took longer than its length."""
    frames: int
    """Pictures decoded in all."""
    audio_bytes: int
    """Bytes of encoded sound that were decoded; 0 means that no sound was played."""
    error: str

    @property
    def problem(self) -> str:
        """Say what is wrong; empty when every seek showed the picture of its place and the end was reached."""
        if self.error:
            return self.error
        if not self.ended:
            return f"stopped at {self.position:.2f} s"
        for time, part in zip(self.positions, POSITIONS, strict=True):
            if abs(time - part * self.duration) >= _TOLERANCE:
                return f"the picture of {time:.2f} s after a seek to {part * self.duration:.2f} s"
        return f"stalled for {self.waited:.1f} s near the end" if self.waited > _STALLED else ""

    @property
    def plays(self) -> bool:
        """True when there is no problem."""
        return not self.problem

    def summary(self) -> str:
        """One line for people."""
        verdict = f"DOES NOT PLAY ({self.problem})" if self.problem else "plays"
        size = f"{self.width}x{self.height}" if self.width else "no picture"
        return f"{verdict}: {self.duration:.2f} s, {size}, {self.frames} frames and {self.audio_bytes} bytes of sound decoded"


def available() -> bool:
    """True when a Chromium or Chrome is installed."""
    return chromium.find() is not None


class Player:
    """One headless browser for any number of files; use as a context manager. Raises BrowserError on entering."""

    def __enter__(self) -> Self:
        """Start the browser."""
        self._numbers = itertools.count(1)
        self._page = chromium.Page("play.html", settings={})
        self._page.__enter__()
        try:
            self._page.wait("ready", 30)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._page.__exit__()

    def play(self, path: str | Path, *, timeout: float = 120.0) -> Playback:
        """Play a file: all of it fast, a picture at five places, the last two seconds as they are.

        A file that does not play is a result, not an error. Raises BrowserError when the browser does not answer
        within `timeout` seconds.
        """
        path = Path(path)
        name = f"{next(self._numbers)}{path.suffix}"
        self._page.serve(name, path)
        rate = FAST if path.stat().st_size <= FAST_LIMIT else 0
        settings = {"positions": POSITIONS, "tail": TAIL, "rate": rate}
        report = self._page.evaluate(f"play('/files/{name}', {json.dumps(settings)})", timeout=timeout)
        return Playback(
            duration=float(report["duration"]),
            width=int(report["width"]),
            height=int(report["height"]),
            positions=tuple(float(time) for time in report["positions"]),
            ended=bool(report["ended"]),
            position=float(report["position"]),
            waited=float(report["waited"]),
            frames=int(report["frames"]),
            audio_bytes=int(report["audioBytes"]),
            error=str(report["error"]),
        )


def play(path: str | Path, *, timeout: float = 120.0) -> Playback:
    """Play one file in a browser of its own (`Player.play`)."""
    with Player() as player:
        return player.play(path, timeout=timeout)


def main() -> None:
    """Play the files of the command line."""
    if not available():
        print(f"none of {', '.join(chromium.EXECUTABLES)} is installed: apt-get install chromium")
        sys.exit(69)
    results = []
    with Player() as player:
        for argument in sys.argv[1:]:
            result = player.play(argument)
            print(f"{argument}: {result.summary()}", flush=True)
            results.append(result.plays)
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
