"""Owns the LiveKit tokens of recorders: for one room, hidden, subscribe only, valid for 24 h."""

from __future__ import annotations

import secrets

from livekit import api

from egress_operator.connections import Connection
from egress_operator.start import TOKEN_LIFETIME


def recorder_token(connection: Connection, *, room_name: str, identity: str) -> str:
    """Return the JWT that a recorder joins with (LiveKit's own egress grants, P:egress/token.go)."""
    grants = api.VideoGrants(
        room_join=True,
        room=room_name,
        can_publish=False,
        can_publish_data=False,
        can_subscribe=True,
        hidden=True,
        recorder=True,
    )
    token = api.AccessToken(connection.api_key, connection.api_secret)
    made = token.with_identity(identity).with_kind("egress").with_grants(grants).with_ttl(TOKEN_LIFETIME)
    return str(made.to_jwt())


def control_token() -> str:
    """Return a fresh bearer token for a recorder's control endpoint."""
    return secrets.token_urlsafe(32)
