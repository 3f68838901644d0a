"""Which URLs of streams are taken, what LiveKit's short forms mean, and that no key is ever shown."""

from __future__ import annotations

import pytest

from egress_recorder.streamurls import redact_key, redact_url, resolve_url, secrets_of

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("url", "resolved", "protocol"),
    [
        ("rtmp://h/app/key", "rtmp://h/app/key", "RTMP"),
        ("rtmps://h:443/a/b/key?x=1", "rtmps://h:443/a/b/key?x=1", "RTMP"),
        ("rtmp://h/app/key live=1", "rtmp://h/app/key", "RTMP"),
        ("mux://abc", "rtmps://global-live.mux.com:443/app/abc", "RTMP"),
        ("twitch://abc", "rtmps://ingest.global-contribute.live-video.net:443/app/abc", "RTMP"),
        ("srt://h:9000?streamid=x", "srt://h:9000?streamid=x", "SRT"),
    ],
)
def test_a_url_is_taken_and_its_short_form_written_out(url: str, resolved: str, protocol: str) -> None:
    assert resolve_url(url) == (resolved, protocol)
    assert resolve_url(url, protocol=protocol) == (resolved, protocol)
    assert resolve_url(url, protocol="DEFAULT_PROTOCOL") == (resolved, protocol)


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("", "begins with one of"),
        ("http://h/app/SECRETKEY", "begins with one of"),
        ("ws://h/SECRETKEY", "begins with one of"),
        ("rtmp://h/SECRETKEY", "stream key is missing"),
        ("rtmp:///app/SECRETKEY", "no host"),
        ("rtmp://h:port/app/SECRETKEY", "cannot be read"),
        ("rtmp://h/app/SECRET KEY", "blanks"),
        ("rtmp://h/app/" + "SECRETKEY" * 300, "2048"),
        ("srt://h?streamid=SECRETKEY", "port"),
        ("srt://h:1?mode=listener&streamid=SECRETKEY", "caller"),
        ("srt://h:1?passphrase=SECRETKEY", "10 to 79"),
        ("srt://h:1?pbkeylen=7&streamid=SECRETKEY", "16, 24 or 32"),
        ("srt://h:1?latency=soon&streamid=SECRETKEY", "milliseconds"),
    ],
)
def test_a_url_that_cannot_be_is_refused_without_a_word_of_its_key(url: str, word: str) -> None:
    with pytest.raises(ValueError, match=word) as refused:
        resolve_url(url)
    assert "SECRET" not in str(refused.value)


def test_a_scheme_that_does_not_fit_the_protocol_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit protocol SRT: use RTMP"):
        resolve_url("rtmp://h/app/key", protocol="SRT")


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("abcdefghi", "{abc...ghi}"),
        ("abcdef", "{ab...ef}"),
        ("abc", "{a...c}"),
        ("ab", "{...}"),
    ],
)
def test_a_key_is_shown_as_livekit_shows_it(key: str, shown: str) -> None:
    assert redact_key(key) == shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtmps://h:443/app/abcdefghijk", "rtmps://h:443/app/{abc...ijk}"),
        ("rtmp://h/a/b/abcdefghijk?token=xyz/uvw", "rtmp://h/a/b/{abc...uvw}"),
        ("rtmp://user:pass@h/app/abcdefghijk", "rtmp://***@h/app/{abc...ijk}"),
        (
            "srt://h:9000?streamid=abcdefghijk&latency=200&passphrase=0123456789",
            "srt://h:9000?streamid={abc...ijk}&latency=200&passphrase={012...789}",
        ),
        ("srt://h:9000", "srt://h:9000"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert redact_url(url) == shown


def test_the_secrets_of_a_url_are_the_whole_of_it_and_each_of_its_keys() -> None:
    assert secrets_of("rtmp://u:pw@h/app/key1?token=abc") == (
        "rtmp://u:pw@h/app/key1?token=abc",
        "key1",
        "abc",
        "pw",
    )
    assert secrets_of("srt://h:1?streamid=a%2Fb&latency=3")[1:] == ("a/b",)
    assert secrets_of("") == ()
