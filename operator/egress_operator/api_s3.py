"""Owns S3 in a spec, and what other storages share with it: references to Secrets, refused secrets, the proxy. Pure."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from egress_operator.schema import ApiModel, dns_name, rule

SecretText = Annotated[str | None, Field(default=None, max_length=4096)]

_KEYS_HINT = "put the keys access_key and secret into a Secret of this namespace and name it in s3.credentialsSecretRef.name"
_PROXY_HINT = "put the password into a Secret of this namespace and name it in proxy.passwordSecretRef"


class SecretRef(ApiModel):
    """Names a Secret in the resource's own namespace."""

    name: str = Field(
        min_length=1,
        max_length=253,
        description="Name of a Secret in the same namespace.",
        json_schema_extra=dns_name("credentialsSecretRef.name"),
    )


class SecretKeyRef(ApiModel):
    """Names one key of a Secret in the resource's own namespace."""

    name: str = Field(
        min_length=1,
        max_length=253,
        description="Name of a Secret in the same namespace.",
        json_schema_extra=dns_name("passwordSecretRef.name"),
    )
    key: str | None = Field(
        default=None,
        min_length=1,
        max_length=253,
        description="Key of the Secret; absent: password.",
        json_schema_extra={
            "x-kubernetes-validations": [
                rule(
                    "self.matches('^[-._a-zA-Z0-9]+$') && self != '..' && self != '.'",
                    "passwordSecretRef.key must be a key of a Secret: letters, digits, '-', '_' and '.'",
                )
            ]
        },
    )


def refused(names: tuple[str, ...], message: str) -> dict[str, Any]:
    """Return the rule that refuses LiveKit's inline secrets; the schema knows them, so that the answer can say why."""
    return rule(" && ".join(f"!has(self.{name})" for name in names), message)


def http_url(field: str, example: str, *, optional: bool = True) -> dict[str, Any]:
    """Return the rule of a field that is an http(s) URL without user information; `field` ends with its name."""
    name = f"self.{field.rpartition('.')[2]}"
    return rule(
        (f"!has({name}) || " if optional else "")
        + f"(isURL({name}) && !{name}.contains('@') && url({name}).getScheme() in ['http', 'https'])",
        f"{field} must be an http:// or https:// URL without user and password: write for example {example}",
    )


class ProxyConfig(ApiModel):
    """LiveKit's ProxyConfig: the HTTP proxy that requests to the storage go through."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                refused(("password",), "proxy.password must not stand in a manifest: " + _PROXY_HINT),
                http_url("proxy.url", "http://proxy.example.com:3128", optional=False),
                rule(
                    "!has(self.passwordSecretRef) || has(self.username)",
                    "proxy.passwordSecretRef needs proxy.username: add it",
                ),
            ]
        }
    )

    url: str = Field(min_length=1, max_length=1024, description="URL of the proxy.")
    username: str | None = Field(default=None, min_length=1, max_length=256, description="User of the proxy.")
    password_secret_ref: SecretKeyRef | None = Field(default=None, description="Where the password is.")
    password: SecretText = Field(default=None, description="Refused: " + _PROXY_HINT + ".")


INLINE_SECRETS = ("access_key", "accessKey", "secret", "session_token", "sessionToken")
_OWN_METADATA = "egress-upload"
"""What the recorder tells its own objects by (recorder: storage/s3.py)."""


class S3(ApiModel):
    """LiveKit's S3Upload; keys come from a Secret or from the pod's workload identity."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                refused(
                    INLINE_SECRETS,
                    "s3.access_key, s3.secret and s3.session_token must not stand in a manifest: "
                    + _KEYS_HINT,
                ),
                http_url("s3.endpoint", "https://minio.example.com:9000"),
                rule(
                    "!has(self.assumeRoleExternalId) || has(self.assumeRoleArn)",
                    "s3.assumeRoleExternalId goes with s3.assumeRoleArn: add it",
                ),
                rule(
                    "!has(self.sseKmsKeyId) || (has(self.serverSideEncryption)"
                    " && self.serverSideEncryption != 'AES256')",
                    "s3.sseKmsKeyId goes with s3.serverSideEncryption: aws:kms",
                ),
            ]
        }
    )

    bucket: str = Field(min_length=1, max_length=255, description="Bucket; it must exist.")
    region: str | None = Field(default=None, max_length=64, description="Region of the bucket.")
    endpoint: str | None = Field(
        default=None,
        min_length=1,
        max_length=1024,
        description="URL of an S3-compatible server; absent: AWS.",
    )
    force_path_style: bool | None = Field(
        default=None, description="Address the bucket in the path, as most S3-compatible servers want it."
    )
    credentials_secret_ref: SecretRef | None = Field(
        default=None,
        description="Secret with the keys access_key, secret and optionally session_token (or AWS_ACCESS_KEY_ID,"
        " AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN). Absent: the workload identity of the pod's service account.",
    )
    assume_role_arn: str | None = Field(
        default=None,
        max_length=2048,
        description="Role to assume with these credentials, arn:aws:iam::…",
        json_schema_extra={
            "x-kubernetes-validations": [
                rule(
                    "self.matches('^arn:[a-z-]+:iam::[0-9]+:role/.+$')",
                    "s3.assumeRoleArn must be the ARN of a role: arn:aws:iam::ACCOUNT:role/NAME",
                )
            ]
        },
    )
    assume_role_external_id: str | None = Field(
        default=None,
        min_length=2,
        max_length=1224,
        description="External id that the role's trust policy asks for.",
    )
    metadata: dict[str, Annotated[str, Field(max_length=2048)]] | None = Field(
        default=None,
        max_length=20,
        description="User metadata (x-amz-meta-…) of every object.",
        json_schema_extra={
            "x-kubernetes-validations": [
                rule(
                    f"self.all(key, key.matches('^[-_.a-zA-Z0-9]+$') && key.lowerAscii() != '{_OWN_METADATA}')",
                    f"s3.metadata: names are letters, digits, '-', '_' and '.'; {_OWN_METADATA} is the recorder's own",
                )
            ]
        },
    )
    tagging: str | None = Field(
        default=None,
        max_length=2048,
        description="Tags of every object: key=value&key=value, URL-encoded, at most ten.",
        json_schema_extra={
            "x-kubernetes-validations": [
                rule(
                    "self.matches('^[^=&]+=[^=&]*(&[^=&]+=[^=&]*){0,9}$')",
                    "s3.tagging must be key=value pairs joined by &, at most ten: write for example team=media&env=prod",
                )
            ]
        },
    )
    content_disposition: str | None = Field(
        default=None, max_length=1024, description="Content-Disposition of every object; absent: inline."
    )
    server_side_encryption: Literal["AES256", "aws:kms", "aws:kms:dsse"] | None = Field(
        default=None, description="SSE-S3 (AES256) or SSE-KMS; absent: the bucket's default."
    )
    sse_kms_key_id: str | None = Field(
        default=None, min_length=1, max_length=2048, description="KMS key; absent: the account's aws/s3 key."
    )
    proxy: ProxyConfig | None = Field(default=None, description="HTTP proxy; absent: HTTPS_PROXY of the pod.")
    access_key: SecretText = Field(
        default=None, alias="access_key", description="Refused: " + _KEYS_HINT + "."
    )
    access_key_camel: SecretText = Field(
        default=None, alias="accessKey", description="Refused, as access_key."
    )
    secret: SecretText = Field(default=None, description="Refused, as access_key.")
    session_token: SecretText = Field(
        default=None, alias="session_token", description="Refused, as access_key."
    )
    session_token_camel: SecretText = Field(
        default=None, alias="sessionToken", description="Refused, as access_key."
    )
