"""Owns the condition Degraded: whether a recording is worse than what was asked for, while it lasts and afterwards. Pure.

It is there only when there is something to say. kstatus and Argo CD do not look at it: the recording goes on, and
restarting anything would make it worse.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from egress_operator.model import Observed, Reason
from egress_operator.units import parse_duration
from egress_recorder.contract import Degradation

_WHY = "the recorder's machine cannot keep up"
_WAY_OUT = "give it more CPU (template.resources.requests) or choose a smaller preset for the next recording"
_SENTENCES = {
    Degradation.PRESET.value: f"{_WHY}: pictures are encoded with a cheaper preset; {_WAY_OUT}",
    Degradation.PICTURES.value: f"{_WHY}: every second picture is a repetition; {_WAY_OUT}",
}


def condition(
    observed: Observed, status: Mapping[str, Any], *, recording: bool
) -> tuple[bool, Reason] | None:
    """Return whether the recording is degraded right now and why; None when it never was."""
    saves = observed.polled.degraded if recording and observed.polled is not None else ""
    if saves:
        # No numbers: they would make each poll a write.
        return True, Reason("EncoderBehind", _SENTENCES.get(saves, f"{_WHY}; {_WAY_OUT}"))
    seconds = str((status.get("progress") or {}).get("degraded", "0s"))
    if parse_duration(seconds) <= 0:
        return None
    return False, Reason(
        "EncoderWasBehind",
        f"the recorder's machine could not keep up for {seconds} of media: its pictures are coarser or repeated; {_WAY_OUT}",
    )
