"""Owns reading the URLs of streams from the Secrets that a spec names, key by key; nothing of them is kept."""

from __future__ import annotations

import base64
import binascii

from egress_operator import streams
from egress_operator.api_streams import SecretKeyRef
from egress_operator.errors import ConnectionProblem
from egress_operator.kube import SECRETS, Kube
from egress_operator.model import Recording
from egress_recorder.contract import StreamTarget


async def read(kube: Kube, recording: Recording) -> tuple[StreamTarget, ...]:
    """Return the streams that the spec asks for now. Raises ApiError; what is wrong stands in the targets."""
    spec = recording.spec
    assert spec is not None
    bodies = {
        name: await kube.get(SECRETS, recording.key.namespace, name)
        for name in sorted({ref.name for ref in streams.secret_refs(spec)})
    }

    def value(ref: SecretKeyRef) -> str:
        body = bodies[ref.name]
        if body is None:
            raise LookupError(
                f"Secret {ref.name} (urlSecretRef) does not exist: create it with the key {ref.key}"
            )
        try:
            text = base64.b64decode((body.get("data") or {}).get(ref.key, ""), validate=True).decode().strip()
        except (binascii.Error, UnicodeDecodeError):
            text = ""
        if not text:
            raise LookupError(f"Secret {ref.name} (urlSecretRef) has no key {ref.key}: add it")
        return text

    return streams.targets(spec, value)


async def check(kube: Kube, recording: Recording) -> None:
    """Refuse streams that cannot be, before the room is joined. Raises ConnectionProblem, ApiError."""
    if recording.spec is None or not streams.wanted(recording.spec) or "part" in recording.status:
        return
    for target in await read(kube, recording):
        if target.error:
            raise ConnectionProblem("InvalidStream", target.error)
