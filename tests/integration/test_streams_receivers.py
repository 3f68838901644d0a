"""Streams against real receivers, nginx with its rtmp module and an SRT listener: decoded where they arrive."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.certificates import Certificate
from devstack.streamservers import (
    MISSING_RTMP,
    MISSING_SRT,
    Receiver,
    RtmpReceiver,
    SrtReceiver,
    free_port,
    has_rtmp,
    has_srt,
)
from devstack.tlsfront import TlsFront
from egress_recorder.outputs.stream_feed import Patience
from support.realtime import REALTIME
from support.streaming import LiveMedia, decoded, target

pytestmark = [pytest.mark.integration, REALTIME]
needs_rtmp = pytest.mark.skipif(not has_rtmp(), reason=MISSING_RTMP)
needs_srt = pytest.mark.skipif(not has_srt(), reason=MISSING_SRT)


@contextlib.contextmanager
def receiver(directory: Path, kind: str) -> Iterator[Receiver]:
    place = directory / kind
    place.mkdir()
    made: Receiver = (
        RtmpReceiver(place, free_port())
        if kind == "rtmp"
        else SrtReceiver(place, free_port(socket.SOCK_DGRAM))
    )
    made.start()
    try:
        yield made
    finally:
        made.kill()


def url_of(one: Receiver, key: str) -> str:
    assert isinstance(one, RtmpReceiver | SrtReceiver)
    return one.url(key)


@pytest.mark.parametrize(
    "kind", [pytest.param("rtmp", marks=needs_rtmp), pytest.param("srt", marks=needs_srt)]
)
def test_a_receiver_that_dies_and_returns_is_streamed_to_again(kind: str, tmp_path: Path) -> None:
    with receiver(tmp_path, kind) as one:
        media = LiveMedia(tmp_path)
        media.streams.want([target(url_of(one, "secret-key"))])
        media.until(lambda reports: reports[0].started_at is not None)
        connected_at = media.frames
        media.until(lambda _: media.frames > connected_at + 60)
        one.kill()
        media.until(lambda reports: reports[0].retries >= 1)
        one.start()
        media.until(lambda _: len(one.recordings()) > 1 and one.recordings()[-1].stat().st_size > 1_000_000)
        [report] = media.close()
        media.until(lambda _: decoded(one.recordings()[-1])[0] > 0)
    assert report.status == "FINISHED", report
    assert report.last_retry_at is not None
    for file in one.recordings():
        pictures, sound = decoded(file)
        assert pictures >= 30
        assert abs(sound - pictures / 30) < 1.0
    assert decoded(media.file)[0] == media.frames


@needs_rtmp
def test_a_receiver_that_stops_reading_costs_neither_the_file_nor_another_stream_a_frame(
    tmp_path: Path,
) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.mkdir()
    second.mkdir()
    with receiver(first, "rtmp") as stalled, receiver(second, "rtmp") as healthy:
        media = LiveMedia(tmp_path, Patience(stall=2.0))
        media.streams.want(
            [target(url_of(stalled, "one-key"), "0/stalled"), target(url_of(healthy, "two-key"), "0/healthy")]
        )
        media.until(lambda reports: all(report.started_at for report in reports))
        stalled.pause()
        # Socket buffers take some megabytes before anything is noticed.
        media.until(lambda reports: reports[0].retries >= 1 or reports[0].dropped > 0, timeout=90)
        media.until(lambda reports: reports[0].retries >= 1, timeout=90)
        stalled.resume()
        reports = media.close()
        healthy.kill()
        [arrived] = healthy.recordings()
    assert reports[1].status == "FINISHED"
    assert reports[1].dropped == 0
    assert decoded(media.file)[0] == media.frames
    # It began with a key frame, at most an interval (and the start of a process) after the file.
    assert media.frames - decoded(arrived)[0] < 150


@needs_rtmp
def test_a_stream_that_cannot_begin_has_failed_and_the_others_go_on(tmp_path: Path) -> None:
    with receiver(tmp_path, "rtmp") as one:
        media = LiveMedia(tmp_path)
        bad = target(f"rtmp://127.0.0.1:{free_port()}/live/hidden-key", "0/bad")
        media.streams.want([target(url_of(one, "good-key"), "0/good"), bad])
        reports = media.until(lambda reports: reports[0].started_at and reports[1].status == "FAILED")
        assert "Connection refused" in reports[1].error
        assert "hidden-key" not in str(reports)
        media.streams.want([bad])
        removed = media.until(lambda reports: reports[0].status == "FINISHED")
        assert removed[0].ended_at is not None
        assert media.close()[1].status == "FAILED"


@needs_rtmp
def test_rtmps_goes_only_to_a_server_whose_certificate_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = Certificate(tmp_path / "tls")
    with receiver(tmp_path, "rtmp") as one, TlsFront(certificate, one.port) as front:
        media = LiveMedia(tmp_path)
        media.streams.want([target(f"rtmps://localhost:{front.port}/live/some-key", "0/unknown")])
        [refused] = media.until(lambda reports: reports[0].status == "FAILED")
        assert not one.recordings()
        assert refused.started_at is None
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate.certificate))
        media.streams.want([target(f"rtmps://localhost:{front.port}/live/some-key", "0/known")])
        media.until(lambda reports: reports[-1].started_at is not None)
        media.until(lambda _: one.recordings() and one.recordings()[0].stat().st_size > 500_000)
        reports = media.close()
    assert reports[-1].status == "FINISHED", reports
