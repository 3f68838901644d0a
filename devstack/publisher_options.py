"""Owns the options of the test publisher and what they say of its tracks; imports no LiveKit."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from devstack import testpattern
from devstack.conformance.actor import Stimulus

CODECS = ("vp8", "h264", "vp9", "av1", "h265")
SOURCES = {
    "camera": {"video": "CAMERA", "audio": "MICROPHONE"},
    "screen": {"video": "SCREEN_SHARE", "audio": "SCREEN_SHARE_AUDIO"},
    "unknown": {"video": "UNKNOWN", "audio": "UNKNOWN"},
}
"""Option → kind → LiveKit's name of the track source."""
LABELS = ("video", "audio", "video2", "audio2")


def stimuli(options: argparse.Namespace) -> tuple[Stimulus, ...]:
    """Return all tracks that a publisher with these options may have."""
    found = []
    for label in LABELS:
        second = label.endswith("2")
        source = options.source2 if second else options.source
        kind = "video" if label.startswith("video") else "audio"
        found.append(
            Stimulus(
                label=label,
                kind="video" if kind == "video" else "audio",
                source=SOURCES[source][kind],
                variant=options.variant2 if second else options.variant,
                silent=kind == "audio" and options.silent,
                layout="both" if options.mono else "either",
            )
        )
    return tuple(found)


def published(options: argparse.Namespace) -> frozenset[str]:
    """Return the labels that are published from the start."""
    wanted = {"video": not options.no_video, "audio": not options.no_audio}
    return frozenset(label for label, yes in wanted.items() if yes)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options of the command line, of this process or of one that is to be started."""
    parser = argparse.ArgumentParser(
        prog="devstack.publisher", description="A participant that publishes the test pattern."
    )
    environment = os.environ
    parser.add_argument("--url", default=environment.get("LIVEKIT_URL"))
    parser.add_argument("--api-key", default=environment.get("LIVEKIT_API_KEY"))
    parser.add_argument("--api-secret", default=environment.get("LIVEKIT_API_SECRET"))
    parser.add_argument("--room", required=True)
    parser.add_argument("--identity", required=True)
    parser.add_argument("--codec", choices=CODECS, default="vp8")
    parser.add_argument("--size", default="1280x720")
    parser.add_argument("--framerate", type=int, default=30)
    parser.add_argument("--bitrate", type=int, default=2000, help="kbit/s")
    parser.add_argument("--source", choices=SOURCES, default="camera")
    parser.add_argument("--source2", choices=SOURCES, default="camera", help="of video2 and audio2")
    variants = range(len(testpattern.VARIANTS))
    parser.add_argument("--variant", type=int, choices=variants, default=0, help="colour and tones")
    parser.add_argument("--variant2", type=int, choices=variants, default=2, help="of video2 and audio2")
    parser.add_argument("--content", choices=("test", "camera"), default="test")
    parser.add_argument("--simulcast", action="store_true")
    parser.add_argument("--mono", action="store_true")
    parser.add_argument("--dtx", action="store_true")
    parser.add_argument("--red", action="store_true")
    parser.add_argument("--silent", action="store_true", help="the microphones publish zeros")
    parser.add_argument("--no-beep", action="store_true")
    parser.add_argument("--no-video", action="store_true")
    parser.add_argument("--no-audio", action="store_true")
    return parser.parse_args(arguments)
