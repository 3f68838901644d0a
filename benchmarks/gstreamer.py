"""Owns the baseline: GStreamer transcoding a file of encoded media as LiveKit Egress transcodes a room, in real time.

Elements and settings are LiveKit Egress' for the preset H264_720P_30 (E:pkg/pipeline/builder/video.go, audio.go), except AAC:
its `faac` is not in Debian, `avenc_aac` takes its place at the same bitrate.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from measured import MeasuredProcess

PACKAGES = (
    "gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad"
    " gstreamer1.0-plugins-ugly gstreamer1.0-libav"
)
_ELEMENTS = (
    "clocksync",
    "matroskademux",
    "vp8dec",
    "avdec_h264",
    "x264enc",
    "opusdec",
    "avenc_aac",
    "mp4mux",
)
_DECODERS = {"vp8": "vp8dec", "h264": "h264parse ! avdec_h264"}
# LiveKit's queues hold 3 s; gst-launch's default of 1 s is less than what x264 looks ahead.
_QUEUE = "queue max-size-time=3000000000 max-size-buffers=0 max-size-bytes=0"


def missing_gstreamer() -> str:
    """Return a sentence that says what to install; empty when all is there."""
    if shutil.which("gst-launch-1.0") and shutil.which("gst-inspect-1.0"):
        absent = [
            name
            for name in _ELEMENTS
            if subprocess.run(["gst-inspect-1.0", "--exists", name], check=False).returncode
        ]
        if not absent:
            return ""
        return f"GStreamer lacks {', '.join(absent)}: apt-get install {PACKAGES}"
    return f"GStreamer is not installed: apt-get install {PACKAGES}"


def transcode(source: Path, codec: str, output: Path) -> MeasuredProcess:
    """Return the transcoding of a Matroska file (codec and Opus) to MP4 at the pace of its clock, not started yet."""
    pipeline = f"""
        filesrc location={source} ! matroskademux name=demux
        demux.video_0 ! {_QUEUE} ! clocksync ! {_DECODERS[codec]} ! videoconvert ! videoscale ! videorate
        ! video/x-raw,format=I420,width=1280,height=720,framerate=30/1,pixel-aspect-ratio=1/1 ! {_QUEUE}
        ! x264enc speed-preset=veryfast bitrate=3000 vbv-buf-capacity=2000 ! video/x-h264,profile=main ! {_QUEUE} ! mux.
        demux.audio_0 ! {_QUEUE} ! clocksync ! opusdec ! audioconvert ! audioresample
        ! audio/x-raw,rate=44100,channels=2 ! {_QUEUE} ! avenc_aac bitrate=128000 ! aacparse ! {_QUEUE} ! mux.
        mp4mux name=mux ! filesink location={output} sync=false
    """
    return MeasuredProcess(
        command=["gst-launch-1.0", "--quiet", *pipeline.split()], log=output.with_suffix(".log")
    )


def start_cost() -> float:
    """CPU seconds of gst-launch for nothing: its start is not part of a recorded second."""
    before = os.times()
    subprocess.run(
        ["gst-launch-1.0", "--quiet", "videotestsrc", "num-buffers=1", "!", "fakesink"],
        check=True,
        capture_output=True,
    )
    after = os.times()
    return after.children_user - before.children_user + after.children_system - before.children_system
