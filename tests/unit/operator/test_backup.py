"""Where the backup of an output's file is: the output's own, the operator's, none; what the pod and the recorder get."""

from __future__ import annotations

from typing import Any

import pytest

from egress_operator import facts, filenames, jobs, settings, storage
from egress_operator.api_storage import Storage
from egress_operator.errors import SettingsError
from egress_operator.settings import Settings
from support.operator_builders import observed, recording

pytestmark = pytest.mark.unit

S3 = {"s3": {"bucket": "calls", "credentialsSecretRef": {"name": "keys"}}}
SPARE = {"s3": {"bucket": "spare", "credentialsSecretRef": {"name": "spare-keys"}}}
OPERATORS = Storage.model_validate({"pvc": {"claimName": "rescue"}})


def resolved(
    *outputs: dict[str, Any], backup: Storage | None = None, **spec: Any
) -> tuple[Any, dict[str, Any]]:
    one = recording(fileOutputs=list(outputs), **spec)
    document = facts.gather(observed(of=one))
    document["resolved"]["url"] = "ws://livekit"
    filenames.resolve_names(one, document)
    document["resolved"]["storage"] = storage.resolve(one.spec, None, backup=backup)  # type: ignore[arg-type]
    return one, document


def test_an_outputs_own_backup_comes_before_the_operators() -> None:
    one, document = resolved(
        {"filepath": "a", **S3, "backupStorage": SPARE}, {"filepath": "b", **S3}, backup=OPERATORS
    )

    entries = document["resolved"]["storage"]
    assert entries[0]["backup"] == {"origin": "output", **SPARE}
    assert entries[1]["backup"] == {"origin": "operator", "pvc": {"claimName": "rescue"}}
    outputs = jobs.recorder_config(one, document, part=1, settings=Settings()).outputs
    assert getattr(outputs[0].backup, "bucket", "") == "spare"
    assert getattr(outputs[1].backup, "claim_name", "") == "rescue"


def test_without_a_backup_nothing_of_it_is_shown_and_an_older_recorder_will_do() -> None:
    one, document = resolved({"filepath": "a", **S3})

    config = jobs.recorder_config(one, document, part=1, settings=Settings())
    assert "backup" not in document["resolved"]["storage"][0]
    assert (config.outputs[0].backup, config.upload_timeout, config.min_contract_version) == (None, None, 1)


def test_the_configuration_says_how_long_uploads_and_the_pods_end_may_take() -> None:
    one, document = resolved({"filepath": "a", **S3}, uploadTimeout="90s")

    config = jobs.recorder_config(one, document, part=1, settings=Settings())

    assert (config.upload_timeout, config.termination_grace, config.min_contract_version) == (90.0, 600.0, 2)


def test_a_backup_at_the_same_place_is_refused_and_the_operators_is_left_out() -> None:
    with pytest.raises(ValueError, match=r"fileOutputs\[0\].backupStorage is the storage itself"):
        resolved({"filepath": "a", **S3, "backupStorage": S3})

    _, document = resolved({"filepath": "a", "pvc": {"claimName": "rescue"}}, backup=OPERATORS)
    assert "backup" not in document["resolved"]["storage"][0]


def test_the_secret_of_a_backup_may_be_missing_and_that_of_a_storage_may_not() -> None:
    one, document = resolved({"filepath": "a", **S3, "backupStorage": SPARE})

    pod = jobs.job_manifest(one, Settings(), part=1, facts=document)["spec"]["template"]["spec"]

    volumes = {volume["name"]: volume.get("secret", {}) for volume in pod["volumes"]}
    assert (volumes["credentials-0"]["secretName"], "optional" in volumes["credentials-0"]) == ("keys", False)
    assert (volumes["credentials-1"]["secretName"], volumes["credentials-1"]["optional"]) == (
        "spare-keys",
        True,
    )


def test_the_operators_backup_is_for_the_namespaces_that_may_use_it() -> None:
    made = settings.load(
        {
            "EGRESS_BACKUP_STORAGE": '{"pvc": {"claimName": "rescue"}}',
            "EGRESS_BACKUP_STORAGE_ALLOWED_NAMESPACES": "calls",
        }
    )

    assert made.backup_storage == OPERATORS
    assert storage.usable_backup(made.backup_storage, made.backup_allowed_namespaces, "calls") == OPERATORS
    assert storage.usable_backup(made.backup_storage, made.backup_allowed_namespaces, "other") is None


def test_a_wrong_setting_is_refused_with_its_name() -> None:
    with pytest.raises(SettingsError, match="EGRESS_BACKUP_STORAGE needs exactly one destination"):
        settings.load({"EGRESS_BACKUP_STORAGE": '{"s3": null}'})
