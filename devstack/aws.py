"""Owns the places where AWS credentials come from: STS, EKS pod identity's agent and the instance's metadata service.

They speak AWS' protocols as far as the SDK uses them, check what they are given, and hand out keys with a session
token. The keys are those of a real S3 server, so that what is signed with them is verified there.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs

from devstack.httpserver import LoopbackServer, SilentHandler, read_body, reply

_NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"


class AwsIdentity(LoopbackServer):
    """All of them at one address; `asked` holds what was asked for."""

    def __init__(self, access_key: str, secret_key: str) -> None:
        super().__init__(_Handler)
        self.access_key = access_key
        self.secret_key = secret_key
        self.session_token = "session-token-of-the-identity"
        self.web_identity = "projected-service-account-token"
        self.agent_token = "token-for-the-pod-identity-agent"
        self.source_key = ""
        """The access key that AssumeRole must be signed with; empty: any."""
        self.external_id = ""
        self.asked: list[str] = []

    def answer(self, body: str, authorization: str) -> tuple[int, str]:
        """Return STS' answer to a form that was posted."""
        form = {name: values[0] for name, values in parse_qs(body).items()}
        action = form.get("Action", "")
        self.asked.append(f"{action} {form.get('RoleArn', '')}")
        if action == "AssumeRoleWithWebIdentity":
            allowed = form.get("WebIdentityToken") == self.web_identity and not authorization
        else:
            signer = re.search(r"Credential=([^/]+)/", authorization)
            allowed = (
                signer is not None
                and self.source_key in {"", signer.group(1)}
                and form.get("ExternalId", "") == self.external_id
            )
        if not allowed:
            return 403, (
                f'<ErrorResponse xmlns="{_NAMESPACE}"><Error><Code>AccessDenied</Code>'
                "<Message>not authorized</Message></Error></ErrorResponse>"
            )
        credentials = (
            f"<Credentials><AccessKeyId>{self.access_key}</AccessKeyId>"
            f"<SecretAccessKey>{self.secret_key}</SecretAccessKey>"
            f"<SessionToken>{self.session_token}</SessionToken>"
            f"<Expiration>{_in_an_hour()}</Expiration></Credentials>"
        )
        return 200, (
            f'<{action}Response xmlns="{_NAMESPACE}"><{action}Result>{credentials}'
            f"<AssumedRoleUser><Arn>{form['RoleArn']}</Arn><AssumedRoleId>A:b</AssumedRoleId></AssumedRoleUser>"
            f"</{action}Result></{action}Response>"
        )

    def keys(self) -> str:
        """Return what agent and metadata service answer."""
        return json.dumps(
            {
                "Code": "Success",
                "Type": "AWS-HMAC",
                "AccessKeyId": self.access_key,
                "SecretAccessKey": self.secret_key,
                "Token": self.session_token,
                "Expiration": _in_an_hour(),
                "LastUpdated": "2026-01-01T00:00:00Z",
            }
        )


def _in_an_hour() -> str:
    return (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")


class _Handler(SilentHandler):
    def handle_one(self) -> None:
        identity = self.server.owner
        assert isinstance(identity, AwsIdentity)
        body = read_body(self).decode()
        authorization = self.headers.get("Authorization", "")
        path = self.path.rstrip("/")
        role = "/latest/meta-data/iam/security-credentials"
        if self.command == "POST" and not path:
            status, text = identity.answer(body, authorization)
            reply(self, status, text.encode(), {"Content-Type": "text/xml"})
        elif path == "/agent" and authorization == identity.agent_token:
            identity.asked.append("pod identity")
            reply(self, 200, identity.keys().encode(), {"Content-Type": "application/json"})
        elif self.command == "PUT" and path == "/latest/api/token":
            reply(self, 200, b"imds-token", {"X-aws-ec2-metadata-token-ttl-seconds": "21600"})
        elif self.headers.get("X-aws-ec2-metadata-token") == "imds-token" and path == role:
            reply(self, 200, b"recorder-role")
        elif self.headers.get("X-aws-ec2-metadata-token") == "imds-token" and path == f"{role}/recorder-role":
            identity.asked.append("instance role")
            reply(self, 200, identity.keys().encode(), {"Content-Type": "application/json"})
        else:
            reply(self, 404, b"")
