"""Streams against real receivers, nginx with its rtmp module and an SRT listener: decoded where they arrive."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from devstack.certificates import Certificate
from devstack.mediacheck import check
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
from egress_recorder.outputs.srt import CHUNK, SrtSocket
from egress_recorder.outputs.stream_feed import Patience
from support.realtime import REALTIME
from support.streaming import SPEC, LiveMedia, decoded, shade_of, shades, skipped, sound_times, target

pytestmark = [pytest.mark.integration, REALTIME]
needs_rtmp = pytest.mark.skipif(not has_rtmp(), reason=MISSING_RTMP)
needs_srt = pytest.mark.skipif(not has_srt(), reason=MISSING_SRT)
every_receiver = pytest.mark.parametrize(
    "kind", [pytest.param("rtmp", marks=needs_rtmp), pytest.param("srt", marks=needs_srt)]
)


@contextlib.contextmanager
def receiver(directory: Path, kind: str, parameters: str = "") -> Iterator[Receiver]:
    place = directory / kind
    place.mkdir()
    made: Receiver = (
        RtmpReceiver(place, free_port())
        if kind == "rtmp"
        else SrtReceiver(place, free_port(socket.SOCK_DGRAM), parameters)
    )
    made.start()
    try:
        yield made
    finally:
        made.kill()


def arrived_at(one: Receiver) -> Path:
    """End the receiver; return its only recording, when it grows no more."""
    size = -1
    while size != (size := sum(path.stat().st_size for path in one.recordings())):
        time.sleep(0.5)
    one.finish()
    [file] = one.recordings()
    return file


def assert_gapless(file: Path, within: float = 0.0011) -> None:
    """Each packet of AAC follows the one before, to so many seconds: RTMP's times are whole milliseconds."""
    assert np.diff(sound_times(file)) == pytest.approx(1024 / 48_000, abs=within)


def assert_whole(file: Path) -> None:
    """Pictures and sound of a second at least, none missing in between."""
    seen, (pictures, sound) = shades(file), decoded(file)
    assert (len(seen), skipped(seen)) == (pictures, 0)
    assert pictures >= 30
    assert sound == pytest.approx(pictures / 30, abs=0.3)
    assert_gapless(file)


def url_of(one: Receiver, key: str) -> str:
    assert isinstance(one, RtmpReceiver | SrtReceiver)
    return one.url(key)


@every_receiver
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


@pytest.mark.parametrize("alone", ["audio", "video"])
@every_receiver
def test_a_stream_of_one_kind_alone_arrives_whole(kind: str, alone: str, tmp_path: Path) -> None:
    spec = replace(SPEC, video=alone == "video", audio=alone == "audio")
    with receiver(tmp_path, kind) as one:
        media = LiveMedia(tmp_path, spec=spec)
        media.streams.want([target(url_of(one, "secret-key"))])
        media.until(lambda reports: reports[0].started_at is not None)
        connected_at = media.frames
        media.until(lambda _: media.frames > connected_at + 75)
        [report] = media.close()
        file = arrived_at(one)
    assert (report.status, report.retries, report.dropped) == ("FINISHED", 0, 0)
    arrived = check(file)
    assert arrived.errors == []
    assert (arrived.video_codec, arrived.audio_codec) == (("h264", "") if spec.video else ("", "aac"))
    if spec.video:
        seen = shades(file)
        # From the key frame with which it was connected to the end.
        assert (skipped(seen), seen[-1]) == (0, shade_of(media.frames - 1))
        assert len(seen) >= 75
    else:
        assert_gapless(file)
        assert decoded(file)[1] >= 2.4
        assert len(arrived.beeps) >= 2
        assert np.diff(arrived.beeps) == pytest.approx(1, abs=0.003)
        # Behind the last beep, which was sent at a whole second, is all that was sent, but what is in the encoder:
        # two packets and a part of the next one. A beep is found to 3 ms.
        late = media.frames / 30 - (arrived.duration - arrived.beeps[-1])
        assert late == pytest.approx(round(late), abs=3 * 1024 / 48_000 + 0.003)


@needs_rtmp
@every_receiver
def test_a_receiver_that_stops_reading_costs_neither_files_nor_segments_nor_another_stream_a_frame(
    kind: str, tmp_path: Path
) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.mkdir()
    second.mkdir()
    with receiver(first, kind) as stalled, receiver(second, "rtmp") as healthy:
        media = LiveMedia(tmp_path, Patience(stall=2.0))
        media.streams.want(
            [target(url_of(stalled, "one-key"), "0/stalled"), target(url_of(healthy, "two-key"), "0/healthy")]
        )
        media.until(lambda reports: all(report.started_at for report in reports))
        stalled.pause()
        # Socket buffers take some megabytes before RTMP notices anything; SRT hears nothing of its peer for 5 s.
        media.until(lambda reports: reports[0].retries >= 1 or reports[0].dropped > 0, timeout=90)
        media.until(lambda reports: reports[0].retries >= 1, timeout=90)
        stalled.resume()
        reports = media.close()
        healthy.kill()
        [arrived] = healthy.recordings()
    assert reports[1].status == "FINISHED"
    assert reports[1].dropped == 0
    # A stall that anybody waits for is one of seconds.
    assert media.slowest < 1.0
    every = [shade_of(number) for number in range(media.frames)]
    assert shades(media.file) == every
    segments = media.segments(tmp_path / "segments.ts")
    assert shades(segments) == every
    assert_gapless(segments, within=1e-4)
    # It began with a key frame, at most an interval (and the start of a process) after the file.
    seen = shades(arrived)
    assert skipped(seen) == 0
    assert media.frames - len(seen) < 150


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


@needs_srt
def test_the_end_of_an_srt_stream_arrives_whatever_latency_the_receiver_asks_for(tmp_path: Path) -> None:
    sent = [bytes([number]) * CHUNK for number in range(50)]
    with receiver(tmp_path, "srt", "latency=600") as one:
        connection = SrtSocket(url_of(one, ""))
        for piece in sent:
            connection.write(piece)
            time.sleep(0.005)
        connection.close()
        file = arrived_at(one)
    assert file.read_bytes() == b"".join(sent)


@needs_srt
def test_an_srt_receiver_with_a_passphrase_gets_a_stream_encrypted_with_it_and_no_other(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with receiver(tmp_path, "srt", "passphrase=correct-horse&pbkeylen=16") as one:
        media = LiveMedia(tmp_path)
        url = url_of(one, "hidden-stream")
        media.streams.want([target(f"{url}&passphrase=wrong-battery", "0/wrong"), target(url, "0/without")])
        wrong, without = media.until(lambda reports: all(report.status == "FAILED" for report in reports))
        assert wrong.error.endswith("connection rejected: the passphrase is not the receiver's")
        assert "the receiver wants a passphrase" in without.error
        assert not one.recordings()
        media.streams.want([target(f"{url}&passphrase=correct-horse&pbkeylen=32", "0/right")])
        connected_at = media.until(lambda reports: reports[-1].started_at is not None) and media.frames
        media.until(lambda _: media.frames > connected_at + 45)
        reports = media.close()
        file = arrived_at(one)
    assert reports[-1].status == "FINISHED"
    assert_whole(file)
    text = capfd.readouterr().err
    # libsrt's own words on the two lengths of the key.
    assert "PBKEYLEN conflict - keep 32" in text
    text += str(reports) + str([vars(record) for record in caplog.records])
    assert not [secret for secret in ("correct-horse", "wrong-battery", "hidden-stream") if secret in text]


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
        file = arrived_at(one)
    assert reports[-1].status == "FINISHED", reports
    assert_whole(file)


@needs_rtmp
def test_rtmps_refuses_a_trusted_certificate_of_another_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = Certificate(tmp_path / "tls", names=("localhost.example", "other"))
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.certificate))
    with receiver(tmp_path, "rtmp") as one, TlsFront(certificate, one.port) as front:
        media = LiveMedia(tmp_path)
        media.streams.want([target(f"rtmps://localhost:{front.port}/live/hidden-key")])
        [refused] = media.until(lambda reports: reports[0].ended_at or reports[0].started_at)
        media.close()
        assert not one.recordings()
    assert (refused.status, refused.started_at) == ("FAILED", None)
    assert "does not match" in refused.error
    assert "hidden-key" not in str(refused)
