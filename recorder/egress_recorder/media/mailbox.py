"""Owns the bounded queue between the event loop and the media thread.

Overflow: of waiting pictures the oldest goes (the encoder is behind; a newer picture is worth more), of waiting sound
the newest (it would be cut by the mixer anyway); what opens, closes or mutes tracks is never dropped.

Pictures and control wake the reader. Sound and statistics are many and have time: they are taken along when it wakes.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

MAX_PICTURES = 15
MAX_SOUND = 1200
"""Chunks of `SOUND_CHUNK`: one minute, 11 MB."""
SOUND_CHUNK = 0.05
"""Seconds of sound in one letter (sources/streams.py)."""

Sort = Literal["picture", "sound", "statistic", "control"]
WAKING = frozenset({"picture", "control"})


@dataclass(slots=True)
class _Letter:
    sort: Sort
    action: Callable[[], None] | None


class Mailbox:
    """Actions for one reader thread, in order."""

    def __init__(self, *, pictures: int = MAX_PICTURES, sound: int = MAX_SOUND) -> None:
        self._ready = threading.Condition()
        self._letters: deque[_Letter] = deque()
        self._pictures: deque[_Letter] = deque()
        self._sound = 0
        self._awaited = False
        """True when something has come that the reader is to wake for."""
        self._max_pictures, self._max_sound = pictures, sound
        self.dropped_pictures = 0
        self.dropped_sound = 0

    def put(self, sort: Sort, action: Callable[[], None]) -> None:
        """Add an action; never blocks."""
        letter = _Letter(sort, action)
        with self._ready:
            if sort == "sound" and self._sound >= self._max_sound:
                self.dropped_sound += 1
                return
            if sort == "picture":
                self._pictures.append(letter)
                if len(self._pictures) > self._max_pictures:
                    self._pictures.popleft().action = None
                    self.dropped_pictures += 1
            self._sound += sort == "sound"
            self._letters.append(letter)
            if sort in WAKING:
                self._awaited = True
                self._ready.notify()

    def take(self, timeout: float) -> list[Callable[[], None]]:
        """Return what waits, oldest first, after `timeout` seconds or as soon as there is something to wake for."""
        with self._ready:
            if not self._awaited:
                self._ready.wait(timeout)
            self._awaited = False
            actions = [letter.action for letter in self._letters if letter.action is not None]
            self._letters.clear()
            self._pictures.clear()
            self._sound = 0
        return actions
