"""Owns giving each packet to every output that wants it. One that fails is closed and named, the others go on.

Called from the media thread only; `problems` and `sizes` may be read by any.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence

from egress_recorder.errors import MediaError
from egress_recorder.media.packets import EncodedPacket, Output, Tap

_log = logging.getLogger(__name__)


class FanOut:
    """Several outputs as one. It fails only when none of them is left."""

    def __init__(self, outputs: Sequence[Output], taps: Sequence[Tap] = ()) -> None:
        self._outputs = tuple(outputs)
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
        """Bytes so far, in order."""
        return tuple(output.bytes_written for output in self._outputs)

    @property
    def bytes_written(self) -> int:
        """Bytes so far of all files."""
        return sum(self.sizes)

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
        sentence = (
            str(error)
            if isinstance(error, MediaError)
            else f"writing {output.filename} failed: {type(error).__name__}"
        )
        self.problems = {**self.problems, output.filename: sentence}
        _log.error(
            "an output failed, the others go on",
            exc_info=None if isinstance(error, MediaError) else error,
            extra={"file": output.filename, "error": sentence, "left": len(self._live)},
        )
        with contextlib.suppress(Exception):
            # What is complete so far is kept.
            output.close()
        if not self._live:
            raise MediaError(sentence) from error
