"""Owns the question whether a browser plays a file: PyAV accepts what browsers refuse.

`python -m devstack.browser FILE…` prints one line per file; exit code 1 when one does not play, 69 without a browser.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from devstack import chromium

POSITIONS = (0.0, 0.2, 0.4, 0.6, 0.8)
"""Parts of the duration at which a decoded picture is asked for."""
TAIL = 2.0
"""Seconds before the end that are played in real time."""
_TOLERANCE = 0.25


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
    frames: int
    """Pictures decoded in all."""
    audio_bytes: int
    """Bytes of encoded sound that were decoded; 0 means that no sound was played."""
    error: str

    @property
    def plays(self) -> bool:
        """True when every seek showed the picture of that place and the end was reached without an error."""
        return (
            not self.error
            and self.ended
            and len(self.positions) == len(POSITIONS)
            and all(
                abs(time - part * self.duration) < _TOLERANCE
                for time, part in zip(self.positions, POSITIONS, strict=True)
            )
        )

    def summary(self) -> str:
        """One line for people."""
        verdict = "plays" if self.plays else f"DOES NOT PLAY ({self.error or 'wrong pictures after a seek'})"
        size = f"{self.width}x{self.height}" if self.width else "no picture"
        return f"{verdict}: {self.duration:.2f} s, {size}, {self.frames} frames and {self.audio_bytes} bytes of sound decoded"


def available() -> bool:
    """True when a Chromium or Chrome is installed."""
    return chromium.find() is not None


def play(path: str | Path, *, timeout: float = 60.0) -> Playback:
    """Play a file headless: a picture at five places, then the last two seconds to the end.

    A file that does not play is a result, not an error. Raises BrowserError when there is no browser or it does not
    answer within `timeout` seconds.
    """
    settings = {"positions": POSITIONS, "tail": TAIL}
    with chromium.Page("play.html", settings=settings, files={"media.mp4": Path(path)}) as page:
        report = page.wait("report", timeout)
    return Playback(
        duration=float(report["duration"]),
        width=int(report["width"]),
        height=int(report["height"]),
        positions=tuple(float(time) for time in report["positions"]),
        ended=bool(report["ended"]),
        position=float(report["position"]),
        frames=int(report["frames"]),
        audio_bytes=int(report["audioBytes"]),
        error=str(report["error"]),
    )


def main() -> None:
    """Play the files of the command line."""
    if not available():
        print(f"none of {', '.join(chromium.EXECUTABLES)} is installed: apt-get install chromium")
        sys.exit(69)
    results = []
    for argument in sys.argv[1:]:
        result = play(argument)
        print(f"{argument}: {result.summary()}")
        results.append(result.plays)
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
