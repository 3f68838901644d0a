"""Nothing secret leaves in text."""

from __future__ import annotations

import io
import json
import logging

import pytest

from egress_recorder.redact import HumanFormatter, JsonFormatter, redact, remember

pytestmark = pytest.mark.unit

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJkZXZrZXkifQ.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"connecting to wss://h/rtc?access_token={JWT}&sdk=1", JWT),
        (f"cut off: {JWT[:25]}", JWT[:25]),
        (f"Authorization: Bearer {JWT}", JWT),
        ("Authorization: Bearer opaque-token-value", "opaque-token-value"),
        ("key AKIAIOSFODNN7EXAMPLE refused", "AKIAIOSFODNN7EXAMPLE"),
        ("https://h/b/k?X-Amz-Signature=abcdef0123&X-Amz-Date=1", "abcdef0123"),
        ("AWS4-HMAC-SHA256 Credential=ABC/2026, Signature=f00dfeed", "f00dfeed"),
        ("https://user:pass-word@host/path", "pass-word"),
        ("aws_secret_access_key=wJalrXUtnFEMI", "wJalrXUtnFEMI"),
        ('{"api_secret": "hush-hush"}', "hush-hush"),
        ("{'password': 'hush-hush'}", "hush-hush"),
    ],
)
def test_what_looks_like_a_secret_is_masked(text: str, secret: str) -> None:
    assert secret not in redact(text)
    assert "***" in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "token is missing in /config: --config-dir must name a directory",
        "control-token: not found",
        "wss://livekit.example.com/rtc?sdk=python&protocol=15",
        "part 2 of EG_abcDEF123456 uploaded to https://b.s3.amazonaws.com/a/b.mp4",
        "fileOutputs[0].s3.bucket 'x' does not exist: create it or name another bucket",
        "me@example.com joined",
    ],
)
def test_plain_words_stay(text: str) -> None:
    assert redact(text) == text


def test_a_remembered_value_is_masked_wherever_it_is() -> None:
    remember("p1nk-elephant")
    assert redact("xxp1nk-elephantyy") == "xx***yy"


def test_short_values_are_not_remembered() -> None:
    remember("abc")
    assert redact("abcdef") == "abcdef"


@pytest.mark.parametrize("formatter", [JsonFormatter(), HumanFormatter()])
def test_log_lines_with_fields_and_tracebacks_are_clean(formatter: logging.Formatter) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    logger = logging.getLogger("test_redact")
    logger.handlers[:] = [handler]
    logger.propagate = False
    try:
        int(JWT)
    except ValueError:
        fields = {"url": f"ws://h?access_token={JWT}", "nested": {"a": [JWT]}}
        logger.exception("failed %s", JWT, extra=fields)
    assert JWT not in stream.getvalue()
    assert "ValueError" in stream.getvalue()
    if isinstance(formatter, JsonFormatter):
        assert json.loads(stream.getvalue())["level"] == "error"
