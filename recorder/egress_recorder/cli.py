"""Owns the command line of `egress-recorder`: what can be said, and how a wrong word is answered (exit code 64).

Only the standard library is imported before the capture process runs: its native libraries load (about 0.9 s)
while the supervisor imports its own. Values that need more to be judged are judged after that.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from egress_recorder.supervisor.process import FINALIZE_COMMAND, SignalLatch, Spawn, spawn_capture

_USAGE = 64
"""ExitCode.USAGE; the contract's import costs half a second and comes later."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Answer with one sentence and the way out."""
        self.exit(_USAGE, f"{self.prog}: {message}. See {self.prog} --help.\n")


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options of one command. Exits with 64 and a sentence when they are wrong."""
    parser = _Parser(
        prog="egress-recorder", description="Records LiveKit participants and tracks into files."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    _add_run(commands.add_parser("run", help="record what a configuration directory says (in a pod)"))
    _add_record(commands.add_parser("record", help="record into a file or bucket (on a laptop)"))
    _add_align(commands.add_parser("align", help="say how files of several recordings run together"))
    return parser.parse_args(list(arguments))


def _add_run(parser: argparse.ArgumentParser) -> None:
    path: dict[str, Any] = {"type": Path, "metavar": "DIR"}
    parser.add_argument("--config-dir", required=True, help="directory with config.json and token", **path)
    parser.add_argument("--credentials-root", help="its directories hold the storages' credentials", **path)
    parser.add_argument("--volumes-root", help="its directories are the mounted volumes", **path)
    parser.add_argument("--scratch", required=True, help="writable directory for files that grow", **path)
    parser.add_argument("--termination-log", type=Path, metavar="FILE", help="gets the result")
    parser.add_argument(
        "--bind", type=_address, default=("0.0.0.0", 8080), metavar="HOST:PORT", help="control endpoint"
    )
    _add_upload_timeout(parser)


def _add_record(parser: argparse.ArgumentParser) -> None:
    server = parser.add_argument_group("server (or LIVEKIT_URL, LIVEKIT_API_KEY, LIVEKIT_API_SECRET)")
    server.add_argument("--url", help="LiveKit server, ws(s):// or http(s)://")
    server.add_argument("--api-key")
    server.add_argument("--api-secret", help="better given by the environment: other users see arguments")
    source = parser.add_argument_group("what to record")
    source.add_argument("--room", required=True)
    source.add_argument("--identity", help="participant: camera and microphone")
    source.add_argument("--screen-share", action="store_true", help="the participant's screen instead")
    source.add_argument("--audio-track-id", metavar="TR_…")
    source.add_argument("--video-track-id", metavar="TR_…")
    target = parser.add_argument_group("where to")
    target.add_argument(
        "-o",
        "--output",
        action="append",
        required=True,
        metavar="FILE.mp4",
        help="local file, or the object's key in the bucket; its extension is its type; several: give it again",
    )
    target.add_argument("--s3-bucket", help="credentials by AWS_ACCESS_KEY_ID … or the SDK's default chain")
    target.add_argument("--s3-region", default="")
    target.add_argument("--s3-endpoint", default="", help="for servers that are not AWS")
    target.add_argument("--s3-force-path-style", action="store_true")
    target.add_argument("--disable-manifest", action="store_true", help="no {egress_id}.json beside the file")
    target.add_argument("--scratch", type=Path, metavar="DIR", help="directory for the growing file")
    _add_upload_timeout(target)
    encoding = parser.add_argument_group("encoding")
    encoding.add_argument("--preset", help="LiveKit's name, for example H264_1080P_30")
    for name, unit in (("width", "pixels"), ("height", "pixels"), ("framerate", "frames/s")):
        encoding.add_argument(f"--{name}", type=int, metavar="N", help=unit)
    for name in ("video-bitrate", "audio-bitrate"):
        encoding.add_argument(f"--{name}", type=int, metavar="KBIT/S")
    encoding.add_argument("--video-codec", metavar="PROFILE", help="H264_BASELINE, H264_MAIN or H264_HIGH")
    encoding.add_argument("--audio-codec", metavar="CODEC", help="AAC, OPUS or AC_MP3")
    encoding.add_argument("--audio-frequency", type=int, metavar="HZ", help="8000 to 96000, not for Opus")
    encoding.add_argument("--key-frame-interval", type=float, metavar="S", help="seconds between key frames")
    times = parser.add_argument_group("times in seconds")
    times.add_argument(
        "--join-timeout", type=_seconds, metavar="S", help="for the participant; default: for ever"
    )
    times.add_argument("--track-timeout", type=_seconds, default=30.0, metavar="S", help="for the tracks")
    times.add_argument("--rejoin-timeout", type=_seconds, default=0.0, metavar="S", help="after a leave")
    times.add_argument("--max-duration", type=_seconds, metavar="S", help="ends the recording")
    times.add_argument("--max-file-duration", type=_seconds, metavar="S", help="begins a new file")
    parser.add_argument("-v", "--verbose", action="store_true", help="log lines on stderr")


def _add_align(parser: argparse.ArgumentParser) -> None:
    # Two positions, so that one manifest alone is a usage error.
    for name, count in (("first", None), ("others", "+")):
        parser.add_argument(name, type=Path, nargs=count, metavar="MANIFEST.json")
    parser.add_argument("--json", action="store_true", help="for programs")


def _add_upload_timeout(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    parser.add_argument(
        "--upload-timeout",
        type=_seconds,
        default=3600.0,
        metavar="S",
        help="how long a storage that does not answer is tried again (3600)",
    )


def _seconds(text: str) -> float:
    try:
        value = float(text.removesuffix("s"))
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return value


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no HOST:PORT")
    return host.strip("[]") or "0.0.0.0", int(port)


def main(
    arguments: Sequence[str],
    *,
    spawn: Spawn = spawn_capture,
    finalize_command: Sequence[str] = FINALIZE_COMMAND,
) -> int:
    """Run one command; return the exit code. `spawn` and `finalize_command` are replaced by tests."""
    try:
        options = parse_arguments(arguments)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0
    if options.command == "align":
        from egress_recorder.align import run_align  # noqa: PLC0415 - pydantic: only here it is needed at once

        return run_align([options.first, *options.others], as_json=options.json)
    # A signal from here on must not be lost, and the child comes before every slow import.
    latch = SignalLatch()
    child = spawn()
    if options.command == "run":
        from egress_recorder.supervisor.run import PodOptions, pod_settings, run_in_pod  # noqa: PLC0415

        pod = PodOptions(
            config_dir=options.config_dir,
            credentials_root=options.credentials_root,
            volumes_root=options.volumes_root,
            scratch=options.scratch,
            termination_log=options.termination_log,
            host=options.bind[0],
            port=options.bind[1],
            upload_timeout=options.upload_timeout,
        )
        return run_in_pod(pod, pod_settings(pod, spawn, finalize_command), child, latch)
    from egress_recorder.supervisor.record import UsageError, record  # noqa: PLC0415

    try:
        return record(options, child=child, latch=latch, spawn=spawn, finalize_command=finalize_command)
    except UsageError as error:
        child.discard()
        sys.stderr.write(f"egress-recorder record: {error}\n")
        return _USAGE
