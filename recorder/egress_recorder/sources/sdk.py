"""Owns the two requests of LiveKit's FFI protocol that the Python SDK's classes do not make (livekit 1.2; `video_frame.proto`,
`track_publication.proto` of livekit/rust-sdks): a queue of more than one decoded picture, and pausing a subscribed track.
"""

from __future__ import annotations

import contextlib
from typing import Any

from livekit import rtc
from livekit.rtc._ffi_client import FfiClient
from livekit.rtc._proto.ffi_pb2 import FfiRequest
from livekit.rtc._proto.video_frame_pb2 import VideoStreamType

QUEUED_PICTURES = 16
"""Decoded pictures that may wait on either side of the FFI, the oldest goes first: half a second at 30 per second (22 MB at
720p). What a retransmission held back comes out of the decoder at once; the SDK's own queue of one picture lost 14 % of
all pictures at 2 % packet loss, and one whenever its thread had to wait for a CPU."""


class PictureStream(rtc.VideoStream):  # type: ignore[misc]  # the SDK is untyped here
    """The SDK's `VideoStream` of I420 pictures, with a queue of `QUEUED_PICTURES`."""

    def __init__(self, track: rtc.RemoteTrack) -> None:
        super().__init__(track, capacity=QUEUED_PICTURES, format=rtc.VideoBufferType.I420)

    def _create_owned_stream(self) -> Any:
        """As the SDK's own, which leaves `queue_size_frames` at its default of one."""
        assert self._track is not None
        request = FfiRequest()
        wanted = request.new_video_stream
        wanted.track_handle = self._track._ffi_handle.handle  # noqa: SLF001 - the SDK's own requests do so
        wanted.type = VideoStreamType.VIDEO_STREAM_NATIVE
        wanted.format = rtc.VideoBufferType.I420
        wanted.normalize_stride = True
        wanted.queue_size_frames = QUEUED_PICTURES
        return FfiClient.instance.request(request).new_video_stream.stream


def enable(publication: rtc.RemoteTrackPublication, *, enabled: bool) -> None:
    """Let the server forward a subscribed track or not (UpdateTrackSettings.disabled); it begins with a key frame again."""
    request = FfiRequest()
    handle = publication._ffi_handle.handle  # noqa: SLF001 - the SDK's own requests do so
    request.enable_remote_track_publication.track_publication_handle = handle
    request.enable_remote_track_publication.enabled = enabled
    # The SDK asserts that the publication is still there; one that went meanwhile needs neither.
    with contextlib.suppress(AssertionError):
        FfiClient.instance.request(request)
