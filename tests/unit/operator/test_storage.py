"""Where files go: the output's own destination, spec.storage, the operator's default; decided once and shown."""

from __future__ import annotations

from typing import Any

import pytest

from egress_operator import facts, jobs, storage
from egress_operator.api_storage import Storage
from egress_operator.model import CreateJob, Plan, Reason
from egress_operator.plan import plan
from egress_operator.settings import Settings
from support.operator_builders import ABSENT, NOW, job, observed, pod, recording, status

pytestmark = pytest.mark.unit

DEFAULT = Storage.model_validate(
    {"s3": {"bucket": "company", "forcePathStyle": True, "credentialsSecretRef": {"name": "company-keys"}}}
)
OWN = {"pvc": {"claimName": "own"}}
NAMELESS = [{"filepath": "a"}, {"filepath": "b", **OWN}]


def reason_of(made: Plan) -> tuple[str, str]:
    assert made.status is not None
    ready = next(one for one in made.status["conditions"] if one["type"] == "Ready")
    return ready["reason"], ready["message"]


def test_each_output_has_its_own_destination_or_that_of_the_spec_or_of_the_operator() -> None:
    spec = recording(fileOutputs=NAMELESS, storage={"pvc": {"claimName": "all"}}).spec
    bare = recording(fileOutputs=NAMELESS).spec
    assert spec
    assert bare

    assert [(one["origin"], one["pvc"]["claimName"]) for one in storage.resolve(spec, DEFAULT)] == [
        ("spec.storage", "all"),
        ("output", "own"),
    ]
    assert [one["origin"] for one in storage.resolve(bare, DEFAULT)] == ["operator", "output"]
    assert storage.resolve(bare, DEFAULT)[0]["s3"] == {
        "bucket": "company",
        "forcePathStyle": True,
        "credentialsSecretRef": {"name": "company-keys"},
    }


def test_an_output_without_any_destination_is_an_error_that_names_it() -> None:
    spec = recording(fileOutputs=NAMELESS).spec
    assert spec

    with pytest.raises(ValueError, match=r"spec.fileOutputs\[0\] has no destination"):
        storage.resolve(spec, None)


@pytest.mark.parametrize(
    ("default", "allowed", "expected"),
    [
        (None, {"*"}, "NoStorage"),
        (DEFAULT, {"other"}, "StorageNotAllowed"),
        (DEFAULT, set(), "StorageNotAllowed"),
        (DEFAULT, {"calls"}, None),
        (DEFAULT, {"*"}, None),
    ],
)
def test_the_default_storage_is_for_the_allowed_namespaces(
    default: Storage | None, allowed: set[str], expected: str | None
) -> None:
    found = storage.usable_default(default, frozenset(allowed), "calls")

    assert (found.reason if isinstance(found, Reason) else None) == expected


@pytest.mark.parametrize("reason", ["NoStorage", "StorageNotAllowed"])
def test_a_recording_without_a_destination_waits_without_any_pod_and_says_why(reason: str) -> None:
    made = plan(observed(of=recording(fileOutputs=NAMELESS), storage=Reason(reason, "way out")), now=NOW)

    assert made.before == ()
    assert reason_of(made) == (reason, "way out")
    assert made.requeue


def test_a_recording_with_destinations_of_its_own_does_not_ask_for_the_operators() -> None:
    made = plan(observed(storage=Reason("NoStorage", "x"), of=recording()), now=NOW)

    assert CreateJob(1) in made.before


def test_the_destination_is_shown_and_stays_what_it_was_for_later_parts() -> None:
    made = plan(observed(of=recording(fileOutputs=NAMELESS), storage=DEFAULT), now=NOW)
    assert made.status is not None
    later = recording(fileOutputs=NAMELESS, status=made.status)
    assert later.spec

    assert made.status["resolved"]["storage"][0]["s3"]["bucket"] == "company"
    assert [
        place.s3.bucket if place.s3 else "" for place in storage.destinations(later.spec, later.status)
    ] == [
        "company",
        "",
    ]
    config = jobs.recorder_config(later, facts.gather(observed(of=later)), part=2, settings=Settings())
    assert getattr(config.outputs[0].destination, "bucket", "") == "company"
    assert getattr(config.outputs[0].destination, "credentials", "") == "0"


def test_the_job_mounts_the_secret_of_the_default_storage() -> None:
    one = recording(fileOutputs=NAMELESS)
    resolved = {"resolved": {"storage": storage.resolve(one.spec, DEFAULT)}}  # type: ignore[arg-type]
    pod_spec = jobs.job_manifest(one, Settings(), part=1, facts=resolved)["spec"]["template"]["spec"]
    volumes = {volume["name"]: volume for volume in pod_spec["volumes"]}

    assert volumes["credentials-0"]["secret"]["secretName"] == "company-keys"
    assert volumes["volume-0"]["persistentVolumeClaim"]["claimName"] == "own"


def test_a_recording_of_an_older_operator_whose_status_lacks_the_destinations_goes_on() -> None:
    old = recording(status=status())
    assert old.spec

    assert storage.destinations(old.spec, old.status)[0].pvc


def waiting(message: str, origin: str, **place: Any) -> Plan:
    shown = status("Pending")
    shown["resolved"] |= {"storage": [{"origin": origin, **place}]}
    fresh = recording(finalizer=True, status=shown)
    missing = "MissingSecret" if "secret" in message else "MissingVolumeClaim"
    return plan(
        observed(job(), pod(started=False, ip=""), of=fresh, diagnosis=Reason(missing, message)), now=NOW
    )


def test_a_missing_secret_of_the_default_storage_says_who_asks_for_it() -> None:
    s3 = {"bucket": "b", "credentialsSecretRef": {"name": "company-keys"}}
    message = 'MountVolume.SetUp failed for volume "credentials-0" : secret "company-keys" not found'

    reason, said = reason_of(waiting(message, "operator", s3=s3))
    assert reason == "MissingSecret"
    assert "the operator's default storage asks for it: create Secret company-keys in this namespace" in said
    assert reason_of(waiting(message, "output", s3=s3))[1] == message
    other = message.replace("company-keys", "other")
    assert reason_of(waiting(other, "operator", s3=s3))[1] == other


def test_a_missing_claim_of_the_default_storage_says_who_asks_for_it() -> None:
    said = reason_of(
        waiting('persistentvolumeclaim "disk" not found', "operator", pvc={"claimName": "disk"})
    )[1]

    assert "the operator's default storage asks for it: create claim disk" in said


def test_a_stop_before_the_storage_is_known_aborts() -> None:
    stopped = recording(fileOutputs=NAMELESS, desiredState="Stopped")
    made = plan(observed(of=stopped, room=ABSENT, storage=Reason("NoStorage", "x")), now=NOW)

    assert made.status is not None
    assert made.status["phase"] == "Aborted"


def test_presigned_locations_need_s3_wherever_the_destination_comes_from() -> None:
    asks = [{"filepath": "a", "presignedLocations": {"expiresIn": "1h"}}]
    claim = {"pvc": {"claimName": "c"}}

    made = plan(observed(of=recording(fileOutputs=asks, storage=claim)), now=NOW)
    assert made.status is not None
    assert made.status["phase"] == "Failed"
    assert "spec.fileOutputs[0].presignedLocations: only S3 gives such URLs" in made.status["error"]

    one = recording(fileOutputs=asks)
    started = plan(observed(of=one, storage=DEFAULT), now=NOW)
    assert started.status is not None
    config = jobs.recorder_config(one, started.status, part=1, settings=Settings())
    assert config.outputs[0].presigned_expires == 3600.0
