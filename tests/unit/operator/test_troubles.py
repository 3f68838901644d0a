"""What a recorder reports while the recording goes on: conditions, Events, and a held file that is given up."""

from __future__ import annotations

from typing import Any

import pytest

from egress_operator import names
from egress_operator.model import DeleteJob, Plan
from egress_operator.plan import plan
from egress_recorder.contract import EndReason, Phase, Trouble
from support.operator_builders import NOW, ended_pod, job, observed, pod, recording, said, status, word

pytestmark = pytest.mark.unit


def recorded(old: dict[str, Any] | None = None, *, deleting: bool = False, **fields: Any) -> Plan:
    """Decide on a recorder that says so."""
    seen = observed(
        job(),
        pod(ready=True),
        of=recording(finalizer=True, status=old or status(), deleting=deleting),
        polled=said(recording=True, **fields),
        polled_part=1,
    )
    return plan(seen, now=NOW)


def condition(made: Plan, kind: str) -> tuple[str, str, str] | None:
    assert made.status is not None
    found = [one for one in made.status["conditions"] if one["type"] == kind]
    return (found[0]["status"], found[0]["reason"], found[0]["message"]) if found else None


@pytest.mark.parametrize("trouble", list(Trouble))
def test_a_trouble_is_a_condition_and_one_event(trouble: Trouble) -> None:
    made = recorded(troubles={trouble.value: "fileOutputs[0]: what is wrong"})

    found = condition(made, trouble.value)
    assert found is not None
    assert (found[0], found[2]) == ("True", "fileOutputs[0]: what is wrong")
    assert [(one.type, one.reason, one.message) for one in made.notices] == [
        ("Warning", trouble.value, "fileOutputs[0]: what is wrong")
    ]
    assert made.status is not None
    again = recorded(made.status, troubles={trouble.value: "fileOutputs[0]: what is wrong"})
    assert again.notices == ()


def test_without_trouble_there_is_no_such_condition() -> None:
    made = recorded()

    assert made.status is not None
    assert not {one["type"] for one in made.status["conditions"]} & {trouble.value for trouble in Trouble}


def test_what_is_over_says_so_and_what_has_happened_stays() -> None:
    both = {Trouble.SCRATCH_PRESSURE.value: "x", Trouble.BACKUP_USED.value: "y", "OfALaterRelease": "z"}
    before = recorded(troubles=both).status
    assert before is not None

    made = recorded(before)

    assert (condition(made, names.SCRATCH_PRESSURE) or ("",))[0] == "False"
    assert condition(made, names.BACKUP_USED) == ("True", "StorageFailed", "y")
    assert condition(made, "OfALaterRelease") is None


def test_a_file_in_the_backup_storage_is_told_by_the_terminal_status() -> None:
    last = word(
        phase=Phase.COMPLETE,
        details=f"End reason: {EndReason.SOURCE_CLOSED.value}; backup storage used",
        backup_storage_writes=1,
        troubles={Trouble.BACKUP_USED.value: "fileOutputs[0]: its storage failed"},
    )
    seen = observed(job(), ended_pod(code=0, message=last), of=recording(finalizer=True, status=status()))

    made = plan(seen, now=NOW)

    assert made.status is not None
    assert (made.status["phase"], made.status["backupStorageUsed"]) == ("Complete", True)
    assert made.status["details"] == "End reason: Source closed; backup storage used"
    assert condition(made, names.BACKUP_USED) == (
        "True",
        "StorageFailed",
        "fileOutputs[0]: its storage failed",
    )


def test_who_deletes_a_recording_whose_file_is_held_gives_it_up() -> None:
    held = {Trouble.FILE_HELD.value: "no storage takes it"}

    kept = recorded(phase=Phase.ENDING, troubles=held)
    given_up = recorded(phase=Phase.ENDING, troubles=held, deleting=True)
    uploading = recorded(phase=Phase.ENDING, deleting=True)

    assert not any(isinstance(action, DeleteJob) for action in (*kept.before, *uploading.before))
    assert DeleteJob(job().name) in given_up.before
