"""Receives a participant's sound as a recorder does, and throws it away: what remains of a recorder without its recording.

`python benchmarks/reception.py IDENTITY`, with LIVEKIT_URL and LIVEKIT_TOKEN; ends with Ctrl-C.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from egress_recorder.sources.livekit import LiveKitSource
from egress_recorder.sources.selection import selection_for
from egress_recorder.vocabulary import ParticipantSource


class Nobody:
    """A `MediaSink` and a `SourceListener` that do nothing."""

    def __getattr__(self, name: str) -> object:
        return lambda *_, **__: None


async def main() -> None:
    """Stay in the room until SIGINT."""
    nobody = Nobody()
    source = LiveKitSource(
        url=os.environ["LIVEKIT_URL"],
        token=os.environ["LIVEKIT_TOKEN"],
        selection=selection_for(ParticipantSource(identity=sys.argv[1]), pictures=False),
        partial=False,
        sink=nobody,  # type: ignore[arg-type]
        listener=nobody,  # type: ignore[arg-type]
    )
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, over.set)
    run = asyncio.create_task(source.run())
    await over.wait()
    await source.leave()
    run.cancel()


if __name__ == "__main__":
    asyncio.new_event_loop().run_until_complete(main())
    # As the capture process: native threads of the SDK may hang on the way out.
    os._exit(0)
