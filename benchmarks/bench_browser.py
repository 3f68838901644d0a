"""Measures A/V offset and cadence of a recording whose publisher is headless Chromium with livekit-client.

The page sends the test pattern (flash and beep at the same moment of every second, devstack/pages/pattern.js); first its own
error is measured where the browser's encoders take it over, then it is recorded through a real livekit-server and the file
is decoded wholly. Offset = first white picture minus first loud sample, all pairs from the third second on. Score: LiveKit's own
formula (devstack/conformance/score.py). Simulcast, RED and DTX as options of the publisher; by default one layer, stereo.

Targets: mean within ±15 ms, 95 % within ±50 ms, score at least 95.
"""

from __future__ import annotations

import sys
import time

import numpy as np
from common import describe_machine, finish, livekit, parser, record_for, recorder, workspace

from devstack import browser_publisher, mediacheck
from devstack.browser_publisher import BrowserPublisher
from devstack.conformance import score

SETTLED = 3.0
"""Seconds of the file before the first pair that counts."""
WARM_UP = 5.0
"""Seconds in which the browser's bandwidth estimate rises."""
OWN_SECONDS = 15


def judge(offsets: list[float], points: float, seconds: float) -> list[str]:
    """Return which targets are not met."""
    problems = []
    if len(offsets) < 0.9 * (seconds - SETTLED) - 2:
        problems.append(f"only {len(offsets)} pairs of flash and beep were found in {seconds:.0f} s")
    if abs(np.mean(offsets)) > 15:
        problems.append(f"the mean A/V offset is {np.mean(offsets):+.1f} ms, allowed are ±15 ms")
    if (p95 := np.percentile(np.abs(offsets), 95)) > 50:
        problems.append(f"95 % of the offsets are within ±{p95:.0f} ms, not ±50 ms")
    if points < 95:
        problems.append(f"the score is {points:.1f}, required are 95")
    return problems


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__)
    options.add_argument("--seconds", type=float, default=60, help="length of the recording (60)")
    options.add_argument("--codec", default="vp8", choices=("vp8", "h264", "vp9", "av1"))
    options.add_argument("--size", default="1280x720", metavar="WxH")
    options.add_argument("--simulcast", action="store_true")
    options.add_argument(
        "--mono", action="store_true", help="one channel, with RED and DTX as livekit-client's default"
    )
    arguments = options.parse_args()
    if reason := browser_publisher.unavailable():
        print(f"left out: {reason}")
        sys.exit(0)
    describe_machine()
    width, height = (int(side) for side in arguments.size.split("x"))
    with workspace(arguments.keep) as directory, livekit(directory) as server:
        path = directory / f"browser-{arguments.codec}.mp4"
        with BrowserPublisher(
            server,
            "browser",
            "alice",
            width=width,
            height=height,
            bitrate=1700,
            codec=arguments.codec,
            simulcast=arguments.simulcast,
            channels=1 if arguments.mono else 2,
        ) as publisher:
            own = publisher.measure(OWN_SECONDS)["offsets"]
            time.sleep(WARM_UP)
            record_for(recorder(server, "browser", path), arguments.seconds)
        report = mediacheck.check(path)
    print(report.summary())
    flashes, beeps = ([at for at in events if at >= SETTLED] for events in (report.flashes, report.beeps))
    quality = score.quality(flashes, beeps)
    offsets = list(quality.offsets)
    if not offsets:
        finish(["the file has no pair of flash and beep"])
    print(
        f"{arguments.codec}: offset mean {np.mean(offsets):+.1f} ms, sd {np.std(offsets):.1f},"
        f" min {min(offsets):+.1f}, max {max(offsets):+.1f}; first {' '.join(f'{x:+.0f}' for x in report.offsets_ms[:5])};"
        f" score {quality.score or 0:.1f}; the publisher's own {np.mean(own):+.1f} ms, sd {np.std(own):.1f}"
    )
    finish(
        judge(offsets, quality.score or 0.0, report.duration),
        abs_mean_ms=abs(float(np.mean(offsets))),
        p95_ms=float(np.percentile(np.abs(offsets), 95)),
        score=quality.score or 0.0,
        publisher_ms=float(np.mean(own)),
    )


if __name__ == "__main__":
    main()
