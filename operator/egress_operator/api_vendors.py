"""Owns the destinations of a spec that are neither S3 nor a volume: GCS, Azure, AliOSS, an HTTP server. Pure."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from egress_operator.api_s3 import ProxyConfig, SecretRef, SecretText, http_url, refused
from egress_operator.schema import ApiModel, rule

AZURE_SECRETS = ("accountKey", "account_key", "sasToken", "sas_token")
_AZURE_HINT = "put the key account_key or sas_token into a Secret of this namespace and name it in azure.credentialsSecretRef.name"


class Azure(ApiModel):
    """LiveKit's AzureBlobUpload; the key comes from a Secret or from the pod's workload identity."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                refused(AZURE_SECRETS, "azure.accountKey must not stand in a manifest: " + _AZURE_HINT),
                http_url("azure.endpoint", "https://account.blob.core.windows.net"),
                rule(
                    "has(self.accountName) || has(self.endpoint)",
                    "azure.accountName is required where no azure.endpoint is given: name the storage account",
                ),
            ]
        }
    )

    account_name: str | None = Field(
        default=None,
        max_length=64,
        description="Storage account.",
        json_schema_extra={
            "x-kubernetes-validations": [
                rule(
                    "self.matches('^[a-z0-9]{3,24}$')",
                    "azure.accountName must be 3 to 24 lower case letters and digits",
                )
            ]
        },
    )
    container_name: str = Field(min_length=1, max_length=63, description="Container; it must exist.")
    endpoint: str | None = Field(
        default=None,
        min_length=1,
        max_length=1024,
        description="URL of another blob service (sovereign clouds, Azurite); absent: Azure's public one.",
    )
    credentials_secret_ref: SecretRef | None = Field(
        default=None,
        description="Secret with the key account_key or sas_token (or AZURE_STORAGE_KEY, AZURE_STORAGE_SAS_TOKEN)."
        " Absent: the workload identity of the pod's service account.",
    )
    proxy: ProxyConfig | None = Field(default=None, description="HTTP proxy; absent: HTTPS_PROXY of the pod.")
    account_key: SecretText = Field(default=None, description="Refused: " + _AZURE_HINT + ".")
    account_key_snake: SecretText = Field(
        default=None, alias="account_key", description="Refused, as accountKey."
    )
    sas_token: SecretText = Field(default=None, description="Refused, as accountKey.")
    sas_token_snake: SecretText = Field(
        default=None, alias="sas_token", description="Refused, as accountKey."
    )


GCP_SECRETS = ("credentials",)
_GCP_HINT = "put the key file into a Secret of this namespace, key credentials, and name it in gcp.credentialsSecretRef.name"


class Gcp(ApiModel):
    """LiveKit's GCPUpload; the key file comes from a Secret, or the pod's workload identity is used."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                refused(GCP_SECRETS, "gcp.credentials must not stand in a manifest: " + _GCP_HINT),
                http_url("gcp.endpoint", "https://storage.googleapis.com"),
            ]
        }
    )

    bucket: str = Field(min_length=1, max_length=222, description="Bucket; it must exist.")
    endpoint: str | None = Field(
        default=None,
        min_length=1,
        max_length=1024,
        description="URL of another endpoint of the XML API (private access); absent: Google's public one.",
    )
    credentials_secret_ref: SecretRef | None = Field(
        default=None,
        description="Secret with the key credentials: the JSON key file of a service account. Absent: the workload"
        " identity of the pod's service account.",
    )
    proxy: ProxyConfig | None = Field(default=None, description="HTTP proxy; absent: HTTPS_PROXY of the pod.")
    credentials: Annotated[str | None, Field(default=None, max_length=16384)] = Field(
        default=None, description="Refused: " + _GCP_HINT + "."
    )


ALI_OSS_SECRETS = ("access_key", "accessKey", "secret")
_ALI_OSS_HINT = "put the keys access_key and secret into a Secret of this namespace and name it in aliOSS.credentialsSecretRef.name"


class AliOss(ApiModel):
    """LiveKit's AliOSSUpload; the keys come from a Secret."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                refused(
                    ALI_OSS_SECRETS,
                    "aliOSS.access_key and aliOSS.secret must not stand in a manifest: " + _ALI_OSS_HINT,
                ),
                http_url("aliOSS.endpoint", "https://oss-cn-hangzhou.aliyuncs.com"),
                rule(
                    "has(self.region) || (has(self.endpoint) && self.endpoint.contains('.aliyuncs.com'))",
                    "aliOSS.region is required where aliOSS.endpoint does not say it: write for example cn-hangzhou",
                ),
            ]
        }
    )

    bucket: str = Field(min_length=3, max_length=63, description="Bucket; it must exist.")
    region: str | None = Field(
        default=None,
        max_length=64,
        description="Region, for example cn-hangzhou; absent: that of the endpoint.",
        json_schema_extra={
            "x-kubernetes-validations": [
                rule(
                    "self.matches('^[a-z]{2,}-[a-z0-9-]+$')",
                    "aliOSS.region must be the name of a region: write for example cn-hangzhou",
                )
            ]
        },
    )
    endpoint: str | None = Field(
        default=None,
        min_length=1,
        max_length=1024,
        description="URL of the region's endpoint; absent: the public one of the region.",
    )
    credentials_secret_ref: SecretRef = Field(
        description="Secret with the keys access_key, secret and optionally session_token (or OSS_ACCESS_KEY_ID,"
        " OSS_ACCESS_KEY_SECRET, OSS_SESSION_TOKEN)."
    )
    proxy: ProxyConfig | None = Field(default=None, description="HTTP proxy; absent: HTTPS_PROXY of the pod.")
    access_key: SecretText = Field(
        default=None, alias="access_key", description="Refused: " + _ALI_OSS_HINT + "."
    )
    access_key_camel: SecretText = Field(
        default=None, alias="accessKey", description="Refused, as access_key."
    )
    secret: SecretText = Field(default=None, description="Refused, as access_key.")


_SECRET_HEADERS = ("authorization", "proxy-authorization", "cookie", "x-api-key")
_OWN_HEADERS = ("content-length", "content-type", "host", "if-none-match", "transfer-encoding", "connection")


class Http(ApiModel):
    """A server that takes PUT: each object at the URL and its name."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [http_url("http.url", "https://media.example.com/in", optional=False)]
        }
    )

    url: str = Field(
        min_length=1,
        max_length=2048,
        description="Base URL that the object's name is appended to, or one with {filepath} in its path; a query stays.",
    )
    headers: dict[str, Annotated[str, Field(max_length=2048)]] | None = Field(
        default=None,
        max_length=20,
        description="Headers of every request that are no secret.",
        json_schema_extra={
            "x-kubernetes-validations": [
                rule(
                    "self.all(name, name.matches('^[-_a-zA-Z0-9]+$')"
                    f" && !(name.lowerAscii() in {list(_OWN_HEADERS)}))",
                    f"http.headers: names are letters, digits, '-' and '_', and none of {', '.join(_OWN_HEADERS)}",
                ),
                rule(
                    f"self.all(name, !(name.lowerAscii() in {list(_SECRET_HEADERS)}))",
                    "http.headers must hold no secret: put Authorization and the like into a Secret of this namespace,"
                    " one key per header, and name it in http.credentialsSecretRef.name",
                ),
            ]
        },
    )
    credentials_secret_ref: SecretRef | None = Field(
        default=None, description="Secret whose keys are headers of every request, for example Authorization."
    )
    proxy: ProxyConfig | None = Field(default=None, description="HTTP proxy; absent: HTTPS_PROXY of the pod.")
