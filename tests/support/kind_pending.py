"""Owns the two halves of every recording that has to wait on the cluster: it says why, and it goes on by itself."""

from __future__ import annotations

import time

from support.kind_scene import KindRecording


def held_back(recording: KindRecording, reason: str, *words: str, timeout: float = 60) -> None:
    """The recording is Pending for this reason; condition and `kubectl get -o wide` say it in the same words."""
    deadline = time.monotonic() + timeout
    while True:
        message = str(recording.until_reason(reason, timeout=timeout)["message"])
        line = recording.wide()
        # The kubelet's words may change in between (ErrImagePull, then ImagePullBackOff).
        if message in line and all(word in message for word in words):
            break
        assert time.monotonic() < deadline, f"{reason}: {words} and {message!r} should stand in: {line}"
    assert message
    assert line.split()[1] == "Pending"


def goes_on(recording: KindRecording, timeout: int = 90) -> None:
    """Without another command it records, and its end is a regular one."""
    recording.wait("condition=Recording", timeout)
    time.sleep(2)
    assert recording.finish()["phase"] == "Complete"
