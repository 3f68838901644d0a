"""Owns the recorder's error tree: every leaf knows its exit code and LiveKit's error code.

RecorderError
├── ConfigurationError   78 / 400   the request or the mounted configuration is wrong; repeating cannot help
├── RequestDataError     65 / 400   a track of the wrong kind
│   ├── NotFoundError    65 / 404   participant or track not found in time
│   └── StreamsFailedError 65 / 503 no receiver takes the streams, and nothing else is recorded
├── AuthorizationError   77 / 401   LiveKit or the storage refuses the credentials
├── UnreachableError     69 / 503   LiveKit or the storage does not answer; another try may help
├── SupersededError      75 / 409   another recorder took our identity
└── MediaError           70 / 500   encoder, muxer or disk failed

Messages are for people: they name the field and the way out, and hold no token, key or URL query.
"""

from __future__ import annotations

from egress_recorder.vocabulary import ErrorCode, ExitCode


class RecorderError(Exception):
    """Base of all expected failures. `exit_code` decides whether a next part follows, `error_code` is LiveKit's."""

    exit_code = ExitCode.SOFTWARE
    error_code = ErrorCode.INTERNAL


class ConfigurationError(RecorderError):
    """The configuration cannot work as it is (bad value, missing bucket, unwritable volume)."""

    exit_code = ExitCode.CONFIGURATION
    error_code = ErrorCode.INVALID_ARGUMENT


class RequestDataError(RecorderError):
    """What was asked for is of another kind, for example an audioTrackId that names a video track."""

    exit_code = ExitCode.DATA
    error_code = ErrorCode.INVALID_ARGUMENT


class NotFoundError(RequestDataError):
    """The participant or track did not appear within its time-out."""

    error_code = ErrorCode.NOT_FOUND


class StreamsFailedError(RequestDataError):
    """The last stream has failed and there is no other output. A failed stream does not return, so no next part follows."""

    error_code = ErrorCode.UNAVAILABLE

    def __init__(self, why: str) -> None:
        """`why`: the last stream's error."""
        super().__init__(
            f"streamOutputs: the last stream has failed, and there is no other output: {why}; correct its URL or its"
            " receiver and create the resource anew"
        )


class AuthorizationError(RecorderError):
    """Credentials were refused."""

    exit_code = ExitCode.AUTHORIZATION
    error_code = ErrorCode.UNAUTHENTICATED


class UnreachableError(RecorderError):
    """A server does not answer; another try may help."""

    exit_code = ExitCode.UNREACHABLE
    error_code = ErrorCode.UNAVAILABLE


class SupersededError(RecorderError):
    """A newer recorder of the same recording took our identity (LiveKit DUPLICATE_IDENTITY)."""

    exit_code = ExitCode.INTERRUPTED
    error_code = ErrorCode.UNAVAILABLE


class MediaError(RecorderError):
    """Encoding or writing failed; what was written before is kept."""
