"""Owns what botocore's exceptions mean to a user: which setting is wrong, and whether another try may help. Pure."""

from __future__ import annotations

from urllib.parse import urlsplit

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    InvalidRegionError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    ProxyConnectionError,
    SSLError,
    TokenRetrievalError,
)

from egress_recorder.errors import AuthorizationError, ConfigurationError, RecorderError, UnreachableError
from egress_recorder.storage.base import UploadLostError

_UNKNOWN_KEY = (
    "the access key is not known to the server: check the key 'access_key' of the credentials Secret"
)
_REFUSED = {
    "XAdminUserNotFound": _UNKNOWN_KEY,  # versitygw
    "InvalidAccessKeyId": _UNKNOWN_KEY,
    "SignatureDoesNotMatch": "the secret does not belong to the access key: check the key 'secret' of the credentials Secret",
    "ExpiredToken": "the session token has expired: renew the credentials Secret",
    "InvalidToken": "the session token is not valid: check the key 'session_token' of the credentials Secret",
    "TokenRefreshRequired": "the session token has expired: renew the credentials Secret",
    "RequestTimeTooSkewed": "the clocks of recorder and server differ too much: correct the node's clock",
    "AccountProblem": "the server refuses the account",
    "AllAccessDisabled": "the server refuses all access to this bucket",
}
_REGION = {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "301"}
_BUSY = {"SlowDown", "RequestTimeout", "Throttling", "TooManyRequests", "ConditionalRequestConflict"}
_CREDENTIALS = (
    NoCredentialsError,
    PartialCredentialsError,
    CredentialRetrievalError,
    TokenRetrievalError,
)
_PARAMETERS = (ParamValidationError, NoRegionError, InvalidRegionError)


def status_of(error: ClientError) -> int:
    """Return the HTTP status, 0 when there was none."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def client_fault(error: ClientError, *, where: str, bucket: str, key: str) -> RecorderError:
    """Return our error for an answer of the server. The server's own text is left out: it may repeat the request."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = status_of(error)
    known = _fault_by_code(code, where=where, bucket=bucket, key=key)
    if known is not None:
        return known
    if error.operation_name in {"AssumeRole", "AssumeRoleWithWebIdentity"} and status < 500:
        return AuthorizationError(
            f"{where}.assumeRoleArn: the role cannot be assumed ({code or status}): its trust policy must allow "
            "sts:AssumeRole to the recorder's credentials, with assumeRoleExternalId where it asks for one"
        )
    if status == 407:
        return AuthorizationError(
            f"{where}.proxy: the proxy refuses user and password: check username and passwordSecretRef"
        )
    if status in {401, 403}:
        return AuthorizationError(
            f"{where}: the server does not let these credentials do {error.operation_name} in the bucket "
            f"{bucket!r} ({code}): allow s3:PutObject and s3:AbortMultipartUpload, with tagging "
            "s3:PutObjectTagging too, with a KMS key kms:GenerateDataKey and kms:Decrypt"
        )
    if code in _BUSY or status in {408, 409, 429} or status >= 500:
        return UnreachableError(f"{where}: the server cannot serve the request now ({code or status})")
    return ConfigurationError(
        f"{where}: the server refuses {error.operation_name} of {key!r} ({code or status})"
    )


def _fault_by_code(code: str, *, where: str, bucket: str, key: str) -> RecorderError | None:
    if code in _REFUSED:
        return AuthorizationError(f"{where}: {_REFUSED[code]} ({code})")
    if code == "NoSuchUpload":
        return UploadLostError(f"{where}: the upload of {key} is gone from the server")
    if code == "NoSuchBucket":
        return ConfigurationError(
            f"{where}.bucket {bucket!r} does not exist: create it or name another bucket"
        )
    if code == "InvalidBucketName":
        return ConfigurationError(f"{where}.bucket {bucket!r} is not a valid name of a bucket")
    if code in _REGION:
        return ConfigurationError(
            f"{where}.region is not the region of the bucket {bucket!r}: set it right ({code})"
        )
    return None


def library_fault(error: BotoCoreError, *, where: str, endpoint: str) -> RecorderError:
    """Return our error for what failed before an answer came."""
    server = endpoint or "AWS"
    if isinstance(error, _CREDENTIALS):
        return AuthorizationError(
            f"{where}: no usable credentials ({type(error).__name__}): name a Secret in credentialsSecretRef or "
            "give the pod's service account a workload identity"
        )
    if isinstance(error, ProxyConnectionError):
        return UnreachableError(
            f"{where}.proxy: the proxy does not let the request through: check url and password"
        )
    if isinstance(error, SSLError):
        # Perhaps STS, not the endpoint; the path is left out, which of a presigned request holds its signature.
        refused = urlsplit(str(error.kwargs.get("endpoint_url", server)))
        return ConfigurationError(
            f"{where}: {refused.scheme}://{refused.netloc} has a certificate that is not trusted, or speaks no TLS: correct "
            "the address, or let SSL_CERT_FILE name the authority's certificate"
        )
    if isinstance(error, _PARAMETERS):
        return ConfigurationError(f"{where}: bucket, region or name is not valid ({type(error).__name__})")
    return UnreachableError(f"{where}: {server} does not answer ({type(error).__name__}): check the endpoint")
