"""Owns where the file of each output goes: its own destination, spec.storage, or the operator's default; and its backup. Pure.

It is decided once, at the first part, and kept in `status.resolved.storage`: a later part finds it there, whatever the
operator's default has become.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from egress_operator.api import Spec
from egress_operator.api_parts import FileOutput
from egress_operator.api_storage import KINDS, Place, Storage
from egress_operator.destinations import secret_names
from egress_operator.model import Document, Reason

OF_OUTPUT: Final = "output"
OF_SPEC: Final = "spec.storage"
OF_OPERATOR: Final = "operator"


def usable_default(default: Storage | None, allowed: frozenset[str], namespace: str) -> Storage | Reason:
    """Return the operator's default storage if this namespace may use it, else why not."""
    if default is None:
        return Reason(
            "NoStorage",
            "an output names no destination and neither does spec.storage, and the operator has no default storage:"
            f" create the resource anew with one of {', '.join(KINDS)} in spec.storage or in each output, or give the"
            " operator one",
        )
    if not allowed & {"*", namespace}:
        return Reason(
            "StorageNotAllowed",
            f"the operator's default storage may not be used from namespace {namespace}: create the resource anew"
            " with spec.storage, or ask for the namespace to be allowed",
        )
    return default


def usable_backup(backup: Storage | None, allowed: frozenset[str], namespace: str) -> Storage | None:
    """Return the operator's backup storage if this namespace may use it; nobody is refused for want of one."""
    return backup if allowed & {"*", namespace} else None


def needs_default(spec: Spec) -> bool:
    """Return True when an output depends on the operator's default storage."""
    return spec.storage is None and any(not output.destinations for output in spec.outputs)


def resolve(spec: Spec, default: Storage | None, *, backup: Storage | None = None) -> list[Document]:
    """Return the destination of each output for `status.resolved.storage`, with its backup.

    `default`, `backup`: the operator's own, where this recording may use them. Raises ValueError when an output has no
    destination, or itself as its backup.
    """
    resolved = []
    for index, output in enumerate(spec.outputs):
        if output.destinations:
            place, origin = Storage.model_validate(output.destinations), OF_OUTPUT
        elif spec.storage is not None:
            place, origin = spec.storage, OF_SPEC
        elif default is not None:
            place, origin = default, OF_OPERATOR
        else:
            raise ValueError(f"{spec.name_of(index)} has no destination: set one of {', '.join(KINDS)}")
        if isinstance(output, FileOutput) and output.presigned_locations is not None and place.s3 is None:
            raise ValueError(
                f"{spec.name_of(index)}.presignedLocations: only S3 gives such URLs, and the output goes elsewhere:"
                " remove it, or use s3"
            )
        entry = {"origin": origin, **_plain(place)}
        spare = _backup(output.backup_storage, backup)
        if _same(spare, place):
            if output.backup_storage is not None:
                raise ValueError(
                    f"{spec.name_of(index)}.backupStorage is the storage itself: name another place"
                )
            spare = None
        resolved.append(entry if spare is None else {**entry, "backup": spare})
    return resolved


def _backup(own: Place | None, operators: Place | None) -> Document | None:
    if own is not None:
        return {"origin": OF_OUTPUT, **_plain(own)}
    return None if operators is None else {"origin": OF_OPERATOR, **_plain(operators)}


def _same(spare: Document | None, place: Place) -> bool:
    return spare is not None and {key: value for key, value in spare.items() if key != "origin"} == _plain(
        place
    )


def _plain(place: Place) -> Document:
    return Storage.model_validate(place.destinations).model_dump(
        mode="json", by_alias=True, exclude_none=True
    )


def backups(facts: Mapping[str, Any]) -> tuple[Storage | None, ...]:
    """Return the backup storage of each output as it was resolved; empty before that."""
    resolved = (facts.get("resolved") or {}).get("storage") or ()
    return tuple(Storage.model_validate(entry["backup"]) if "backup" in entry else None for entry in resolved)


def every_place(spec: Spec, facts: Mapping[str, Any]) -> tuple[Storage, ...]:
    """Return all places that a recorder's pod needs: the outputs' destinations, then their backups."""
    return (*destinations(spec, facts), *(spare for spare in backups(facts) if spare is not None))


def destinations(spec: Spec, facts: Mapping[str, Any]) -> tuple[Storage, ...]:
    """Return the destination of each output; what was resolved once goes before what the spec says."""
    resolved = (facts.get("resolved") or {}).get("storage") or resolve(spec, None)
    return tuple(Storage.model_validate(entry) for entry in resolved)


def explain_missing(reason: Reason, resolved: Sequence[Mapping[str, Any]]) -> Reason:
    """Add to a missing Secret or claim that the operator's default storage asks for it, which no spec shows."""
    for entry in resolved:
        if entry.get("origin") != OF_OPERATOR:
            continue
        place = Storage.model_validate(entry)
        for _, secret in secret_names(place):
            if reason.reason == "MissingSecret" and f'"{secret}"' in reason.message:
                return Reason(reason.reason, f"{reason.message} ({_WHY.format(f'Secret {secret}')})")
        claim = place.pvc and place.pvc.claim_name
        if reason.reason == "MissingVolumeClaim" and claim and f'"{claim}"' in reason.message:
            return Reason(reason.reason, f"{reason.message} ({_WHY.format(f'claim {claim}')})")
    return reason


_WHY = (
    "the operator's default storage asks for it: create {} in this namespace,"
    " or create the resource anew with spec.storage"
)
