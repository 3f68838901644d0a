"""What is asked of the SDK beyond its classes: wrong names would be found by a recording only, and as lost pictures."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from livekit import rtc
from livekit.rtc._ffi_client import FfiClient
from livekit.rtc._proto.ffi_pb2 import FfiRequest, FfiResponse

from egress_recorder.sources import sdk

pytestmark = pytest.mark.unit


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[FfiRequest]:
    requests: list[FfiRequest] = []

    class Client:
        queue = SimpleNamespace(subscribe=lambda *_, **__: None, unsubscribe=lambda _: None)

        def request(self, request: FfiRequest) -> FfiResponse:
            requests.append(request)
            return FfiResponse()

    monkeypatch.setattr(FfiClient, "_instance", Client())
    return requests


def test_the_native_queue_holds_more_than_one_picture(asked: list[FfiRequest]) -> None:
    stream = object.__new__(sdk.PictureStream)
    stream._ffi_queue = None  # type: ignore[assignment]
    stream._track = SimpleNamespace(_ffi_handle=SimpleNamespace(handle=7))  # type: ignore[assignment]
    stream._create_owned_stream()
    [request] = [one.new_video_stream for one in asked]
    assert (request.track_handle, request.queue_size_frames) == (7, sdk.QUEUED_PICTURES)
    assert (request.format, request.normalize_stride) == (rtc.VideoBufferType.I420, True)


def test_a_track_is_paused_and_goes_on(asked: list[FfiRequest]) -> None:
    publication = SimpleNamespace(_ffi_handle=SimpleNamespace(handle=9))
    for enabled in (False, True):
        sdk.enable(publication, enabled=enabled)  # type: ignore[arg-type]
    said = [one.enable_remote_track_publication for one in asked]
    assert [(one.track_publication_handle, one.enabled) for one in said] == [(9, False), (9, True)]


def test_a_track_that_went_meanwhile_needs_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    """The statistics go on, and nobody reads of a task that died."""

    def refuse(request: FfiRequest) -> FfiResponse:
        raise AssertionError(request)

    monkeypatch.setattr(FfiClient, "_instance", SimpleNamespace(request=refuse))
    publication = SimpleNamespace(_ffi_handle=SimpleNamespace(handle=9))
    sdk.enable(publication, enabled=True)  # type: ignore[arg-type]
