"""Owns the question whether a browser plays a file or an HLS playlist: PyAV accepts what browsers refuse.

`python -m devstack.browser FILE…` prints one line per file; exit code 1 when one does not play, 69 without a browser.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from devstack import chromium, npm
from devstack.mediacheck import MediaReport, check, number_in
from devstack.playback import POSITIONS, Followed, Playback, Truth
from devstack.readings import FREQUENCIES, Look, Run

SHORT = 4.0
"""Seconds; what is not longer is played at its own speed from front to end, and takes no longer than its parts would."""
STRETCH = 0.4
"""Seconds that are played at each position of what is longer."""
TAIL = 1.0
"""Seconds before the end, and around each discontinuity, that are played at their own speed."""
FAST = 8.0
"""Speed at which all of what is longer is played first: every picture is decoded, few are shown."""
HLS_FAST = 16.0
"""The same of playlists (the greatest that Chromium has): they are long, and it matters that hls.js gets to their end."""
FAST_LIMIT = 50_000_000
"""Bytes; of larger files only the positions and the end are looked at, and nothing is compared with what decoding shows."""


def available() -> bool:
    """True when a Chromium or Chrome is installed."""
    return chromium.find() is not None


def plays_hls() -> bool:
    """True when hls.js can be had as well."""
    return available() and npm.available()


class Player:
    """One headless browser for any number of files; use as a context manager. Raises BrowserError (NpmError) on entering."""

    def __init__(self, *, hls: bool = False) -> None:
        """`hls`: with hls.js, for playlists."""
        self._hls = hls
        self._pixels: dict[str, bytes] = {}

    def __enter__(self) -> Self:
        """Start the browser."""
        self._numbers = itertools.count(1)
        files = {"hls.js": npm.hls_js()} if self._hls else {}
        self._page = chromium.Page("play.html", settings={}, files=files, on_post=self._pixels.__setitem__)
        self._page.__enter__()
        try:
            self._page.wait("report", 30)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._page.__exit__()

    def play(
        self, path: str | Path, *, report: MediaReport | None = None, timeout: float = 120.0
    ) -> Playback:
        """Play a file: all of it, a picture and the sound at five places, the end as it is.

        `report`: what decoding it showed, where that is known. A file that does not play is a result, not an error. Raises
        BrowserError when the browser does not answer within `timeout` seconds.
        """
        path = Path(path)
        name = f"{next(self._numbers)}{path.suffix}"
        self._page.serve(name, path)
        small = path.stat().st_size <= FAST_LIMIT
        answer = self._play(name, rate=FAST if small else 0, across=(), timeout=timeout)
        if report is None and small and not answer["error"]:
            report = check(path)
        return self._playback(
            answer, report.sent_widths if report else (), Truth.of((0.0, report)) if report else None
        )

    def play_hls(
        self, playlist: Path, truth: Truth, *, across: Sequence[float] = (), timeout: float = 120.0
    ) -> Playback:
        """Play a finished playlist, beside which its segments lie, as a file; and as it is across each of these times."""
        answer = self._play(self._playlist(playlist), rate=HLS_FAST, across=across, timeout=timeout)
        return self._playback(answer, (), truth)

    def follow(self, playlist: Path, *, seconds: float) -> Followed:
        """Play a live playlist for so long, with a picture at five moments. Raises BrowserError."""
        settings = {"looks": len(POSITIONS), "seconds": seconds, "frequencies": FREQUENCIES}
        address = f"/files/{self._playlist(playlist)}"
        answer = self._page.evaluate(f"follow('{address}', {json.dumps(settings)})", timeout=seconds + 60)
        return Followed(
            width=int(answer["width"]),
            height=int(answer["height"]),
            looks=self._looks(answer, ()),
            run=Run.of(answer["runs"][0]) if answer["runs"] else Run((), ()),
            live=bool(answer["live"]),
            frames=int(answer["frames"]),
            audio_bytes=int(answer["audioBytes"]),
            error=str(answer["error"]),
            notes=tuple(answer["notes"]),
        )

    def _playlist(self, path: Path) -> str:
        directory = str(next(self._numbers))
        self._page.serve(directory, path.parent)
        return f"{directory}/{path.name}"

    def _play(self, name: str, *, rate: float, across: Sequence[float], timeout: float) -> dict[str, Any]:
        settings = {
            "positions": POSITIONS,
            "short": SHORT,
            "stretch": STRETCH,
            "tail": TAIL,
            "rate": rate,
            "across": across,
            "frequencies": FREQUENCIES,
        }
        answer: dict[str, Any] = self._page.evaluate(
            f"play('/files/{name}', {json.dumps(settings)})", timeout=timeout
        )
        return answer

    def _playback(self, answer: dict[str, Any], sent_widths: Sequence[int], truth: Truth | None) -> Playback:
        return Playback(
            duration=float(answer["duration"]),
            width=int(answer["width"]),
            height=int(answer["height"]),
            looks=self._looks(answer, sent_widths),
            runs=tuple(Run.of(run) for run in answer["runs"]),
            ended=bool(answer["ended"]),
            position=float(answer["position"]),
            frames=int(answer["frames"]),
            audio_bytes=int(answer["audioBytes"]),
            error=str(answer["error"]),
            notes=tuple(answer["notes"]),
            truth=truth,
        )

    def _looks(self, answer: dict[str, Any], sent_widths: Sequence[int]) -> tuple[Look, ...]:
        return tuple(
            Look(
                target=float(look["target"]),
                time=float(look["time"]),
                number=self._number(look, sent_widths) if "name" in look else None,
                at=float(look.get("at", 0.0)),
            )
            for look in answer["looks"]
        )

    def _number(self, look: dict[str, Any], sent_widths: Sequence[int]) -> int | None:
        return number_in(self._pixels.pop(look["name"]), look["width"], look["height"], sent_widths)


def play(path: str | Path, *, report: MediaReport | None = None, timeout: float = 120.0) -> Playback:
    """Play one file in a browser of its own (`Player.play`)."""
    with Player() as player:
        return player.play(path, report=report, timeout=timeout)


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
