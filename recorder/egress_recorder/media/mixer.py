"""Owns the sum of all recorded sound: stereo int16 in, in any order of tracks; stereo int16 out, without a gap."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from egress_recorder.media.values import CHANNELS, SAMPLE_RATE

Pcm = npt.NDArray[np.int16]

MAX_AHEAD = 5 * SAMPLE_RATE
"""Samples that may be written ahead of what was read; more is cut (bounds the buffer at 2 MB)."""


class AudioMixer:
    """A window of the file's sound. Positions are samples since file time 0."""

    def __init__(self) -> None:
        self.position = 0
        """Where the next read begins; what is written before it is cut."""
        self._silence = 0
        self._held_from: int | None = None
        self._held = 0
        self._sum = np.zeros((2 * SAMPLE_RATE, CHANNELS), np.int32)
        self._written = np.zeros(2 * SAMPLE_RATE, np.bool_)
        self._at = 0
        """Where `position` is in the two: the rest is moved to the front only when there is no room behind it."""

    @property
    def silence(self) -> int:
        """Samples that were read and that no track wrote; not those that are held."""
        return self._silence - self._held

    def hold(self, position: int) -> None:
        """What is read from `position` on belongs to the file only after `release`."""
        if self._held_from is None:
            self._held_from = position

    def release(self) -> None:
        """What was held belongs to the file."""
        self._held_from, self._held = None, 0

    def write(self, position: int, pcm: Pcm) -> int:
        """Add stereo samples at `position`; return how many of them were cut because they came too late."""
        late = min(len(pcm), max(0, self.position - position))
        start = position + late - self.position
        stop = min(start + len(pcm) - late, MAX_AHEAD)
        if stop <= start:
            return late
        self._grow(stop)
        place = slice(self._at + start, self._at + stop)
        self._sum[place] += pcm[late : late + stop - start]
        self._written[place] = True
        return late

    def read(self, until: int) -> Pcm:
        """Return everything up to sample `until`, clipped; silence where nothing was written."""
        count = until - self.position
        if count <= 0:
            return np.zeros((0, CHANNELS), np.int16)
        self._grow(count)
        place = slice(self._at, self._at + count)
        out = np.clip(self._sum[place], -32768, 32767).astype(np.int16)
        missing = ~self._written[place]
        self._silence += int(np.count_nonzero(missing))
        if self._held_from is not None:
            self._held += int(np.count_nonzero(missing[max(0, self._held_from - self.position) :]))
        self._at += count
        self.position = until
        return out

    def _grow(self, samples: int) -> None:
        """Make room for so many samples from `position` on."""
        if self._at + samples <= len(self._sum):
            return
        left = len(self._sum) - self._at
        for buffer in (self._sum, self._written):
            buffer[:left] = buffer[self._at :].copy()
            buffer[left:] = 0
        self._at = 0
        missing = samples - len(self._sum)
        if missing > 0:
            self._sum = np.concatenate((self._sum, np.zeros((missing, CHANNELS), np.int32)))
            self._written = np.concatenate((self._written, np.zeros(missing, np.bool_)))


def stretch(pcm: Pcm, length: int) -> Pcm:
    """Return the samples as `length` samples (linear; used for clock drift of a few samples per chunk)."""
    if len(pcm) == length or not len(pcm):
        return pcm
    grid = np.linspace(0, len(pcm) - 1, length)
    source = np.arange(len(pcm))
    columns = [np.interp(grid, source, pcm[:, channel]) for channel in range(pcm.shape[1])]
    return np.rint(np.stack(columns, axis=1)).astype(np.int16)
