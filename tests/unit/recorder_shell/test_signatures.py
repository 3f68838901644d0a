"""Our signatures beside other people's code: RS256 by cryptography, OSS by the vendor's SDK, Azure by the documents."""

from __future__ import annotations

from datetime import UTC, datetime

import alibabacloud_oss_v2 as oss
import pytest
from alibabacloud_oss_v2.signer.v4 import SignerV4
from alibabacloud_oss_v2.types import HttpRequest, SigningContext
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from egress_recorder.storage import alioss, azure_auth, gcs_auth

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("size", [2048, 3072])
def test_rs256_is_what_a_library_makes(size: int) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=size)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()

    made = gcs_auth.sign(b"header.claims", *gcs_auth.rsa_numbers(pem))

    assert made == key.sign(b"header.claims", padding.PKCS1v15(), hashes.SHA256())


@pytest.mark.parametrize(
    "pem", ["", "hush", "-----BEGIN PRIVATE KEY-----\n!!\n-----END PRIVATE KEY-----", "a\nb\nc"]
)
def test_what_is_no_key_is_an_error_without_its_text(pem: str) -> None:
    with pytest.raises((ValueError, IndexError)) as caught:
        gcs_auth.rsa_numbers(pem)
    assert "hush" not in str(caught.value)


def test_numbers_that_are_no_key_sign_nothing() -> None:
    with pytest.raises(ValueError, match="no RSA key"):
        gcs_auth.sign(b"x", (1 << 1023) + 1, 65537, 3)


@pytest.mark.parametrize(
    ("method", "key", "query", "headers"),
    [
        ("PUT", "a/b.mp4", {}, {"Content-Type": "video/mp4", "x-oss-meta-egress-upload": "00"}),
        ("POST", "with space+plus/äöü*~.mp4", {"uploads": ""}, {"Content-Type": "video/mp4"}),
        ("PUT", "a.mp4", {"partNumber": "3", "uploadId": "A/B+C="}, {}),
        ("GET", "a.mp4", {"uploadId": "u", "part-number-marker": "7"}, {}),
    ],
)
def test_the_oss_signature_is_the_vendors(
    method: str, key: str, query: dict[str, str], headers: dict[str, str]
) -> None:
    at = datetime(2026, 11, 26, 14, 0, 0, tzinfo=UTC)
    from egress_recorder.storage.xml_multipart import path_of, query_of  # noqa: PLC0415

    url = f"https://bucket.oss-cn-hangzhou.aliyuncs.com/{path_of(key)}{query_of(query)}"
    context = SigningContext(
        product="oss",
        region="cn-hangzhou",
        bucket="bucket",
        key=key,
        request=HttpRequest(method, url, headers=dict(headers)),
        credentials=oss.credentials.Credentials("id", "secret"),
        signing_time=at,
    )
    SignerV4().sign(context)
    sent = {**headers, "x-oss-date": "20261126T140000Z", "x-oss-content-sha256": "UNSIGNED-PAYLOAD"}

    made = alioss.authorization(
        method, f"/bucket/{key}", query, sent, region="cn-hangzhou", access_key="id", secret="secret"
    )

    assert made == context.request.headers["Authorization"]


def test_what_azure_signs_is_laid_out_as_its_document_says() -> None:
    """The layout of "Constructing the signature string" for Put Block; Azurite's verdict is in the integration tests."""
    text = azure_auth.string_to_sign(
        "PUT",
        "https://media.blob.core.windows.net/c/a%20b.mp4?comp=block&blockid=QUE%3D",
        {
            "x-ms-version": "2021-12-02",
            "x-ms-date": "Thu, 26 Nov 2026 14:00:00 GMT",
            "Content-Type": "video/mp4",
        },
        5,
        account="media",
    )

    assert text.split("\n") == [
        "PUT", "", "", "5", "", "video/mp4", "", "", "", "", "", "",
        "x-ms-date:Thu, 26 Nov 2026 14:00:00 GMT", "x-ms-version:2021-12-02",
        "/media/c/a%20b.mp4", "blockid:QUE=", "comp:block",
    ]  # fmt: skip
