"""Owns the operator's error tree and the rule that no secret leaves in a text.

OperatorError
├── SettingsError      the process cannot start: exit code 78
├── StartupError       something in the cluster is missing (CRDs): exit code 1
├── ApiError           a refusal of the API server that is not a value: re-queued with back-off
└── ConnectionProblem  LiveKit's connection of a recording cannot be had: a condition, tried again

Not found, conflict and already-exists are values (`kube.Outcome`), never exceptions.
"""

from __future__ import annotations

import re

_SECRETS = re.compile(
    r"eyJ[\w-]+\.[\w-]*\.?[\w-]*"  # a JWT, also a cut one
    r"|(?<=access_token=)[^\s&\"']+"
    r"|(?<=X-Amz-Signature=)[^\s&\"']+"
    r"|(?<=X-Amz-Credential=)[^\s&\"']+"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"
    r"|(?<=://)[^/\s@\"']+(?=@)"
)


def redact(text: str) -> str:
    """Return the text without tokens, signatures, access keys and userinfo of URLs."""
    return _SECRETS.sub("***", text)


class OperatorError(Exception):
    """Base of all expected failures of the operator."""


class SettingsError(OperatorError):
    """An environment variable is missing or wrong; the sentence names it."""


class StartupError(OperatorError):
    """The cluster is not ready for the operator; the sentence names the way out."""


class ApiError(OperatorError):
    """The API server refused a request (403, 422, 429, 5xx) or could not be reached (status 0)."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}" if status else message)
        self.status = status
        self.reason = reason
        self.message = message


class ConnectionProblem(OperatorError):  # noqa: N818 - it is a state of the recording, not a fault
    """No usable LiveKit connection; `reason` is the condition's reason."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
