"""Owns the judgement of one part: does it wait, run, or is it over, and what is the evidence. Pure.

Never guesses success: a part without its recorder's own record is over without a result, whatever its exit code.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from egress_operator.errors import redact
from egress_operator.model import JobView, Observed, PodView, Reason
from egress_operator.names import egress_id
from egress_recorder.contract import ContractError, ExitCode, RecorderResult

UNREACHABLE_AFTER = timedelta(seconds=60)
"""A part on a node that does not answer is superseded after this time (design/architecture.md, "Job and pod")."""
STALLED_AFTER = timedelta(seconds=5)
"""What does not progress for this long has its Events read."""


class State(enum.Enum):
    """Where the newest part is."""

    NONE = "no part yet"
    WAITING = "its container has not started"
    RUNNING = "its recorder runs"
    UNREACHABLE = "its node or its recorder does not answer"
    OVER = "nothing of it runs"


NO_REASON = Reason("", "")


@dataclass(frozen=True, slots=True)
class Verdict:
    """`by_absence`: concluded from objects that are not there, so it must be read live before acting on it."""

    state: State
    part: int = 0
    job: JobView | None = None
    pod: PodView | None = None
    reason: Reason = NO_REASON
    result: RecorderResult | None = None
    by_absence: bool = False

    @property
    def code(self) -> int | None:
        """Exit code of the recorder."""
        return self.pod.exit_code if self.pod else None

    @property
    def is_final_failure(self) -> bool:
        """True when repeating cannot help."""
        return self.code in {code.value for code in ExitCode if code.is_final_failure}


def judge(observed: Observed, now: datetime) -> Verdict:
    """Return the verdict on the newest part."""
    status = observed.recording.status
    part = newest_part(observed)
    if part == 0:
        return Verdict(State.NONE)
    job = next((job for job in observed.jobs if job.part == part), None)
    pods = sorted(
        (pod for pod in observed.pods if pod.part == part), key=lambda pod: (not pod.ended, pod.created)
    )
    pod = pods[-1] if pods else None
    if pod is None or _is_sent_back(job, pod):
        return _without_pod(part, job, status.get("jobName", ""))
    if pod.ended:
        result = result_of(pod, observed.recording.uid)
        return Verdict(State.OVER, part, job, pod, end_of(pod), result)
    if _is_unreachable(pod, now) or _is_silent(observed, pod) or _is_given_up(status, part):
        return Verdict(State.UNREACHABLE, part, job, pod, _unreachable(pod, now))
    if pod.started:
        return Verdict(State.RUNNING, part, job, pod)
    return Verdict(State.WAITING, part, job, pod, _waiting_reason(pod))


def newest_part(observed: Observed) -> int:
    """Return the number of the newest Job that is known, 0 when there was none."""
    numbers = [job.part for job in observed.jobs] + [pod.part for pod in observed.pods]
    return max([*numbers, int(observed.recording.status.get("part") or 0)])


def result_of(pod: PodView, uid: str) -> RecorderResult | None:
    """Return the recorder's own record, None when there is none that can be understood."""
    if not pod.message:
        return None
    try:
        result = RecorderResult.parse(pod.message)
    except ContractError:
        return None
    return result if result.egress_id in {egress_id(uid), "EG_unknown"} else None


def stalled_object(verdict: Verdict, now: datetime) -> str:
    """Return the UID of the pod or Job whose Events tell why nothing happens, "" when it is too early to ask."""
    subject = verdict.pod or verdict.job
    if subject is None or not is_stalled(verdict, now):
        return ""
    # The image's and the scheduler's trouble is in the pod's status already, with its message.
    return "" if verdict.pod and verdict.pod.waiting_message else subject.uid


def is_stalled(verdict: Verdict, now: datetime) -> bool:
    """Return True for a part that should have been started by now; one in a queue has time."""
    if verdict.state is not State.WAITING or (verdict.job is not None and verdict.job.suspended):
        return False
    subject = verdict.pod or verdict.job
    return subject is not None and now - subject.created >= STALLED_AFTER


def _without_pod(part: int, job: JobView | None, job_name: str) -> Verdict:
    if job is None:
        reason = Reason("JobGone", f"Job {job_name} and its pod are gone")
        return Verdict(State.OVER, part, reason=reason, by_absence=True)
    if job.ended:
        return Verdict(State.OVER, part, job, reason=Reason("PodGone", redact(job.ended)), by_absence=True)
    if job.suspended:
        return Verdict(State.WAITING, part, job, reason=_queued(job))
    return Verdict(State.WAITING, part, job, reason=Reason("PodNotCreated", f"Job {job.name} has no pod yet"))


def _queued(job: JobView) -> Reason:
    whom = f"queue {job.queue} has not admitted it yet" if job.queue else "somebody has suspended it"
    return Reason("Queued", f"Job {job.name} is suspended: {whom}; the recording starts when it may run")


def _is_sent_back(job: JobView | None, pod: PodView) -> bool:
    """A queue took the pod back before its container started: the same Job waits again, no part is over."""
    return job is not None and job.suspended and not job.ended and pod.gone and not pod.started


def _is_unreachable(pod: PodView, now: datetime) -> bool:
    deadline, since = pod.deletion_deadline, pod.unreachable_since
    overdue = deadline is not None and now - deadline >= UNREACHABLE_AFTER
    return overdue or (since is not None and now - since >= UNREACHABLE_AFTER)


def _is_silent(observed: Observed, pod: PodView) -> bool:
    """A recorder before its first media is not Ready anyhow: on a lost node only its silence tells.

    Only of one that has answered before: where a network policy keeps the operator out, silence means nothing.
    """
    silent = observed.silent_seconds >= UNREACHABLE_AFTER.total_seconds()
    return silent and pod.started and not pod.ready and observed.polled_part == pod.part


def _is_given_up(status: Mapping[str, Any], part: int) -> bool:
    """The status says that the next part follows: what was decided once holds, whatever is heard of the old one.

    The silence of a recorder is known to one operator's memory only, and only while it polls it.
    """
    return "nextPartAt" in status and status.get("part") == part


def _unreachable(pod: PodView, now: datetime) -> Reason:
    who = "the node" if _is_unreachable(pod, now) else "the recorder"
    return Reason("NodeUnreachable", f"{who} of pod {pod.name} does not answer")


def fate_of(pod: PodView, now: datetime) -> Reason:
    """Return in one sentence why an earlier part is over."""
    if pod.ended:
        return end_of(pod)
    if _is_unreachable(pod, now):
        return _unreachable(pod, now)
    return Reason("Superseded", f"pod {pod.name} was superseded by a newer part")


def _waiting_reason(pod: PodView) -> Reason:
    reason = pod.waiting_reason or "PodStarting"
    return Reason(reason, pod.waiting_message or f"pod {pod.name} is starting")


def end_of(pod: PodView) -> Reason:
    """Return in one sentence how a pod ended."""
    if pod.exit_code is None and pod.gone and not pod.end_reason:
        return Reason("PodGone", f"pod {pod.name} is gone and left no record")
    code = f", exit code {pod.exit_code}" if pod.exit_code is not None else ""
    return Reason(pod.end_reason or "Ended", f"pod {pod.name} ended: {pod.end_reason or 'Completed'}{code}")
