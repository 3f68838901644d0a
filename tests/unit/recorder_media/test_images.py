"""Images as they are made: which tick, size, type, whole files, and what a slow machine costs. Real pictures, decoded."""

from __future__ import annotations

import queue
import threading
from datetime import UTC, datetime
from pathlib import Path

import av
import numpy as np
import pytest

from devstack import testpattern
from devstack.mediacheck import plane_of
from egress_recorder.imaging import IMAGE_KINDS, ImageCodec, ImageRequest, image_key, image_size, output_of
from egress_recorder.media import images as images_module
from egress_recorder.media.images import Images, Made
from egress_recorder.media.values import Picture

pytestmark = pytest.mark.unit

WIDTH, HEIGHT, RATE = 640, 360, 30


def picture(number: int, *, rotation: int = 0) -> Picture:
    return Picture(bytes(testpattern.frame(number, WIDTH, HEIGHT, RATE)), WIDTH, HEIGHT, rotation)


class Scene:
    def __init__(self, directory: Path, *wanted: ImageRequest) -> None:
        self.directory = directory
        self.made: list[Made] = []
        self.images = Images(wanted, directory, framerate=RATE, canvas=(320, 180), made=self.made.append)

    def show(self, seconds: float, *, first: int = 0) -> None:
        """Show the test pattern as fast as the thread takes it."""
        for index in range(first, first + int(seconds * RATE)):
            before = sum(self.images._numbers)
            self.images.offer(index, picture(index) if index % RATE == 0 else PLAIN)
            if sum(self.images._numbers) > before:
                while not self.images._queue.empty():
                    threading.Event().wait(0.005)

    def frames(self, output: int = 0) -> list[av.VideoFrame]:
        frames = []
        for made in self.made:
            if made.output == output:
                with av.open(str(self.directory / made.name)) as container:
                    frames.append(next(container.decode(video=0)))
        return frames


PLAIN = Picture(bytes([90]) * (WIDTH * HEIGHT) + bytes([128]) * (WIDTH * HEIGHT // 2), WIDTH, HEIGHT)


def counter(frame: av.VideoFrame) -> int | None:
    return testpattern.read_counter(plane_of(frame.reformat(format="yuv420p"), 0))


@pytest.mark.parametrize("codec", list(IMAGE_KINDS))
def test_an_image_is_what_is_shown_at_each_multiple_of_the_interval(
    codec: ImageCodec, tmp_path: Path
) -> None:
    scene = Scene(tmp_path, ImageRequest(interval=1, codec=codec))
    scene.images.start()
    scene.show(2.5)
    scene.images.close()
    frames = scene.frames()
    assert [counter(frame) for frame in frames] == [0, 30, 60]
    assert {(frame.width, frame.height) for frame in frames} == {(WIDTH, HEIGHT)}
    assert [made.time for made in scene.made] == [0.0, 1.0, 2.0]
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [f"image-0-00000{n}{IMAGE_KINDS[codec].extension}" for n in range(3)]
    assert [output_of(name) for name in names] == [0, 0, 0], (
        "by its name an image is found again after a kill"
    )
    assert output_of(f"{names[0]}.tmp") is None
    assert [made.size for made in scene.made] == [
        (tmp_path / made.name).stat().st_size for made in scene.made
    ]


def test_several_outputs_have_their_own_interval_and_size(tmp_path: Path) -> None:
    scene = Scene(
        tmp_path,
        ImageRequest(interval=1, width=320),
        ImageRequest(interval=2, width=200, height=200, codec="PNG"),
    )
    scene.images.start()
    scene.show(2.2)
    scene.images.close()
    assert [(frame.width, frame.height) for frame in scene.frames(0)] == [(320, 180)] * 3
    squares = scene.frames(1)
    assert [(frame.width, frame.height) for frame in squares] == [(200, 200)] * 2
    pixels = squares[0].to_ndarray(format="rgb24")
    assert pixels[:30].max() == 0, "the aspect ratio is kept, with black borders of the full range"


def test_a_turned_picture_stands_upright_and_white_stays_white(tmp_path: Path) -> None:
    white = Picture(bytes([235]) * (WIDTH * HEIGHT) + bytes([128]) * (WIDTH * HEIGHT // 2), WIDTH, HEIGHT, 90)
    scene = Scene(tmp_path, ImageRequest())
    scene.images.start()
    scene.images.offer(0, white)
    scene.images.close()
    [frame] = scene.frames()
    assert (frame.width, frame.height) == (HEIGHT, WIDTH)
    assert np.median(frame.to_ndarray(format="rgb24")) >= 253


def test_before_the_first_picture_there_is_nothing_and_a_muted_camera_is_black(tmp_path: Path) -> None:
    scene = Scene(tmp_path, ImageRequest(interval=1))
    scene.images.start()
    scene.images.offer(0, None)
    scene.images.offer(12, PLAIN)
    scene.images.offer(29, PLAIN)
    scene.images.offer(30, None)
    scene.images.close()
    assert [made.time for made in scene.made] == [12 / RATE, 1.0]
    shown, black = (frame.to_ndarray(format="rgb24") for frame in scene.frames())
    assert shown.min() > 60
    assert (black.max(), black.shape) == (0, shown.shape)


def test_a_thread_that_is_behind_costs_images_and_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(tmp_path, ImageRequest(interval=1))
    going, encode = threading.Event(), images_module.encode_image
    entered: queue.Queue[None] = queue.Queue()

    def slow(frame: av.VideoFrame, codec: ImageCodec) -> bytes:
        entered.put(None)
        assert going.wait(30)
        return encode(frame, codec)

    monkeypatch.setattr(images_module, "encode_image", slow)
    scene.images.start()
    scene.images.offer(0, PLAIN)
    entered.get(timeout=30)
    for second in range(1, images_module.WAITING + 4):
        scene.images.offer(second * RATE, PLAIN)
    going.set()
    scene.images.close()
    assert scene.images.dropped == 3
    assert len(scene.made) == images_module.WAITING + 1


def test_a_file_that_cannot_be_written_leaves_no_half_image(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    scene = Scene(gone, ImageRequest(interval=1))
    scene.images.start()
    scene.images.offer(0, PLAIN)
    while not scene.images.dropped:
        threading.Event().wait(0.01)
    gone.mkdir()
    scene.images.offer(RATE, PLAIN)
    scene.images.close()
    assert ([path.name for path in gone.iterdir()], scene.made[0].dropped) == (["image-0-000001.jpeg"], 1)


@pytest.mark.parametrize(
    ("source", "wanted", "size"),
    [
        ((1280, 720), (0, 0), (1280, 720)),
        ((401, 225), (0, 0), (400, 224)),
        ((1280, 720), (640, 0), (640, 360)),
        ((720, 1280), (0, 640), (360, 640)),
        ((1280, 720), (321, 321), (320, 320)),
        ((4000, 30), (20, 0), (20, 16)),
    ],
)
def test_a_side_that_is_not_said_follows(
    source: tuple[int, int], wanted: tuple[int, int], size: tuple[int, int]
) -> None:
    assert image_size(source, wanted) == size


def test_names_are_livekits() -> None:
    at = datetime(2026, 11, 22, 10, 0, 5, 123456, tzinfo=UTC)

    def key(suffix: str) -> str:
        return image_key("a/b", suffix=suffix, codec="JPEG", number=7, at=at)  # type: ignore[arg-type]

    assert key("IMAGE_SUFFIX_INDEX") == "a/b_00007.jpeg"
    assert key("IMAGE_SUFFIX_TIMESTAMP") == "a/b_20261122100005123.jpeg"
    assert key("IMAGE_SUFFIX_NONE_OVERWRITE") == "a/b.jpeg"
