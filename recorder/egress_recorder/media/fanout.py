"""Owns giving each packet to every output that wants it. One that fails is closed and named, the others go on.

Files that go on in new ones do it together: when the last of them has passed the boundary, all are completed. Called from
the media thread only; `problems`, `sizes` and `filenames` may be read by any.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence

from egress_recorder.errors import MediaError
from egress_recorder.media.packets import EncodedPacket, Output, Roll, RollingFile, Tap

_log = logging.getLogger(__name__)


class FanOut:
    """Several outputs as one. It fails only when none of them is left; where there never was one, never."""

    def __init__(
        self,
        outputs: Sequence[Output],
        taps: Sequence[Tap] = (),
        *,
        rolled: Callable[[Roll], None] = lambda _: None,
    ) -> None:
        """`rolled` is called from the media thread, when the files are complete."""
        self._outputs = tuple(outputs)
        self._rolling = [output for output in self._outputs if isinstance(output, RollingFile)]
        self._turning = list(self._rolling)
        """Of these the ones that have not failed."""
        self._rolled = rolled
        self._before = {output: 0 for output in self._outputs if output not in self._rolling}
        """Bytes at the last roll of those that have no part in it."""
        self._completed = 0
        self._taps = tuple(taps)
        self._live = list(self._outputs)
        self.problems: dict[str, str] = {}
        """Sentence by the name of each file that could not be written to its end."""

    @property
    def filenames(self) -> tuple[str, ...]:
        """Names of what is written, below the scratch directory, in order."""
        return tuple(output.filename for output in self._outputs)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Bytes since the last roll, in order."""
        return tuple(output.bytes_written - self._before.get(output, 0) for output in self._outputs)

    @property
    def bytes_written(self) -> int:
        """Bytes so far of all files."""
        return self._completed + sum(output.bytes_written for output in self._outputs)

    def write(self, packet: EncodedPacket) -> None:
        """Hand on one packet. Raises MediaError when the last output has failed."""
        for tap in self._taps:
            tap.write(packet)
        for output in tuple(self._live):
            if packet.codec not in output.takes:
                continue
            try:
                output.write(packet)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this output's alone
                self._drop(output, error)
        while self._turning and all(output.crossed for output in self._turning):
            self._roll()

    def _roll(self) -> None:
        names, still = self.filenames, {}
        for output in self._rolling:
            name = output.filename
            size = output.bytes_written
            if output not in self._turning:
                self._completed += output.pass_over()
                still[output.filename] = self.problems[name]
                continue
            try:
                size = output.roll()
            except Exception as error:  # noqa: BLE001 - the next file may be better
                self._name(name, error)
            self._completed += size
        told = {name: sentence for name, sentence in self.problems.items() if name in names}
        # An HLS output keeps its name and so its problem.
        kept = {name: sentence for name, sentence in told.items() if name in self.filenames}
        self.problems = {**kept, **still}
        self._before = {output: output.bytes_written for output in self._before}
        written = self._completed + sum(self._before.values())
        self._rolled(Roll(names, told, self.filenames, written))

    def close(self) -> None:
        """Complete all files. Raises MediaError when none could be completed; closing twice is harmless."""
        for output in tuple(self._live):
            try:
                output.close()
            except Exception as error:  # noqa: BLE001 - as above
                self._drop(output, error)

    def close_taps(self) -> None:
        """End what only listens; after the files, which it must not delay."""
        for tap in self._taps:
            tap.close()

    def _drop(self, output: Output, error: Exception) -> None:
        self._live.remove(output)
        self._turning = [one for one in self._turning if one is not output]
        sentence = self._name(output.filename, error)
        with contextlib.suppress(Exception):
            # What is complete so far is kept.
            output.close()
        if not self._live:
            raise MediaError(sentence) from error

    def _name(self, filename: str, error: Exception) -> str:
        sentence = (
            str(error)
            if isinstance(error, MediaError)
            else f"writing {filename} failed: {type(error).__name__}"
        )
        self.problems = {**self.problems, filename: sentence}
        _log.error(
            "an output failed, the others go on",
            exc_info=None if isinstance(error, MediaError) else error,
            extra={"file": filename, "error": sentence, "left": len(self._live)},
        )
        return sentence
