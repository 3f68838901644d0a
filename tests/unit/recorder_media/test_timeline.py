"""The file's time axis as a whole: its length is the wall clock's, whatever tracks do."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from egress_recorder.media.lipsync import SOUND_LAG
from egress_recorder.media.timeline import Timeline

pytestmark = pytest.mark.unit
FPS = 30
RATE = 48_000
START = 1000.0


@dataclass
class Film:
    """Drives a timeline in steps of 10 ms and keeps what it returns."""

    video: bool = True
    audio: bool = True
    now: float = START
    shown: list[int | None] = field(default_factory=list)
    indices: list[int] = field(default_factory=list)
    sound: list[tuple[int, int]] = field(default_factory=list)
    ready: int = 0
    off: float | None = None
    """How late pictures were after their ticks when the first sound got its place."""

    def __post_init__(self) -> None:
        self.timeline: Timeline[int, int] = Timeline(FPS, video=self.video, audio=self.audio)
        self.numbers = itertools.count()

    def run(self, seconds: float, *, camera: str = "", microphone: str = "", late: float = 0.0) -> None:
        for _ in range(round(seconds * 100)):
            step = round(self.now * 100)
            if camera and step * FPS // 100 != (step - 1) * FPS // 100:
                self.timeline.picture(camera, next(self.numbers), self.now - late)
            if microphone and step % 5 == 0:
                self.place(self.timeline.samples(microphone, 0, 2400, self.now))
            self.place(self.timeline.begin(self.now))
            self.take(self.timeline.advance(self.now))
            ready = self.timeline.audio_ready(self.now)
            assert ready >= self.ready
            self.ready = ready
            self.now = round(self.now + 0.01, 2)

    def take(self, ticks: list) -> None:
        self.shown += [tick.picture for tick in ticks]
        self.indices += [tick.index for tick in ticks]

    def place(self, placements: list) -> None:
        self.sound += [(item.position, item.length) for item in placements]

    def end(self) -> int:
        ticks, waiting, samples = self.timeline.finish(self.now)
        self.take(ticks)
        for _, placements in waiting:
            self.place(placements)
        assert self.indices == list(range(len(self.indices)))
        return samples


@pytest.mark.parametrize("sent", [True, False])
def test_a_picture_that_cannot_be_decoded_stands_still_and_one_that_is_not_sent_is_black(sent: bool) -> None:
    film = Film(audio=False)
    film.timeline.opened("camera", "video")
    film.run(2, camera="camera")
    for _ in range(10):
        film.run(0.4)
        if sent:
            film.timeline.held("camera", film.now)
    film.run(1, camera="camera")
    film.end()
    assert (None in film.shown) is not sent
    assert film.shown[-1] == next(film.numbers) - 1


def test_the_length_of_the_file_is_the_wall_clocks() -> None:
    film = Film()
    film.timeline.opened("cam", "video")
    film.timeline.opened("mic", "audio")
    film.run(5, camera="cam", microphone="mic")
    samples = film.end()
    assert film.timeline.origin is not None
    length = film.now - film.timeline.origin
    assert len(film.shown) == pytest.approx(length * FPS, abs=1)
    assert samples == pytest.approx(length * RATE, abs=1)
    assert film.timeline.lane.dropped <= 1


def test_nothing_is_written_before_the_first_media() -> None:
    film = Film()
    film.timeline.opened("cam", "video")
    film.run(10)
    assert film.timeline.origin is None
    assert film.end() == 0
    assert film.shown == []


def test_a_microphone_alone_makes_black_pictures() -> None:
    film = Film()
    film.timeline.opened("mic", "audio")
    film.run(3, microphone="mic")
    film.end()
    assert set(film.shown) == {None}
    assert len(film.shown) == pytest.approx(3 * FPS, abs=3)


def test_a_muted_microphone_is_not_the_first_media() -> None:
    film = Film()
    film.timeline.opened("mic", "audio")
    film.timeline.muted("mic", muted=True, at=START)
    film.run(2, microphone="mic")
    assert film.timeline.origin is None
    film.timeline.muted("mic", muted=False, at=film.now)
    film.run(1, microphone="mic")
    assert film.timeline.origin == pytest.approx(START + 2, abs=0.1)


def test_a_camera_alone_leaves_silence_that_keeps_up() -> None:
    film = Film()
    film.timeline.opened("cam", "video")
    film.run(3, camera="cam")
    assert film.sound == []
    assert film.ready / RATE == pytest.approx(3 - 0.3, abs=0.1)


def test_mute_shows_black_at_once_and_unmute_the_picture_again() -> None:
    film = Film()
    film.timeline.opened("cam", "video")
    film.run(1, camera="cam")
    film.timeline.muted("cam", muted=True, at=film.now)
    film.run(1)
    film.timeline.muted("cam", muted=False, at=film.now)
    film.run(1, camera="cam")
    film.end()
    black = [index for index, picture in enumerate(film.shown) if picture is None]
    assert black[0] == pytest.approx(30, abs=2)
    assert len(black) == pytest.approx(30, abs=3)
    assert black == list(range(black[0], black[0] + len(black)))


def test_pictures_of_a_muted_camera_are_not_shown() -> None:
    film = Film()
    film.timeline.opened("cam", "video")
    film.run(1, camera="cam")
    film.timeline.muted("cam", muted=True, at=film.now)
    film.run(1, camera="cam")
    film.end()
    assert film.shown[-1] is None


def test_a_camera_that_stops_is_black_after_two_seconds_and_a_shared_screen_is_not() -> None:
    for still, last_is_black in ((False, True), (True, False)):
        film = Film()
        film.timeline.opened("cam", "video", still=still)
        film.run(1, camera="cam")
        film.run(4)
        film.end()
        assert (film.shown[-1] is None) == last_is_black
        assert film.shown[80] is not None


def test_the_newest_camera_is_shown_and_the_older_one_when_it_ends() -> None:
    film = Film()
    film.timeline.opened("one", "video")
    film.run(1, camera="one")
    film.timeline.opened("two", "video")
    for _ in range(100):
        film.run(0.01, camera="one")
        film.timeline.picture("two", 10_000 + next(film.numbers), film.now)
    film.timeline.closed("two", film.now)
    film.run(1, camera="one")
    film.end()
    second = film.shown[36:58]
    assert all(picture is not None and picture >= 10_000 for picture in second)
    assert all(picture is not None and picture < 10_000 for picture in film.shown[-20:])
    assert None not in film.shown


def test_a_picture_is_moved_by_the_difference_of_the_delays() -> None:
    film = Film()
    film.timeline.opened("cam", "video")
    film.timeline.opened("mic", "audio")
    film.timeline.delay("cam", 0.010, START)
    film.timeline.delay("mic", 0.210, START)
    film.run(2, camera="cam", microphone="mic")
    film.end()
    # The first picture, captured at 0, belongs to the sound that arrived 0.2 s later.
    assert film.shown.index(30) == pytest.approx(30 + 0.2 * FPS, abs=2)


def test_lip_sync_follows_a_changing_delay_without_a_jump() -> None:
    film = Film()
    film.timeline.opened("cam", "video")
    film.timeline.opened("mic", "audio")
    for tenth in range(100):
        delay = 0.05 if tenth < 40 else 0.25
        film.timeline.delay("cam", 0.0, film.now)
        film.timeline.delay("mic", delay, film.now)
        film.run(0.1, camera="cam", microphone="mic")
    film.end()
    steps = [b - a for a, b in itertools.pairwise(film.shown) if a is not None and b is not None]
    assert set(steps) <= {0, 1, 2}
    assert None not in film.shown[3:]


@pytest.mark.parametrize("stall", [0.2, 1.0, 8.0])
def test_a_stalled_loop_loses_no_time(stall: float) -> None:
    film = Film()
    film.timeline.opened("cam", "video")
    film.timeline.opened("mic", "audio")
    film.run(2, camera="cam", microphone="mic")
    film.now = round(film.now + stall, 2)
    film.run(2, camera="cam", microphone="mic")
    ticks, _, samples = film.timeline.finish(film.now)
    last = ticks[-1].index if ticks else film.indices[-1]
    assert film.timeline.origin is not None
    length = film.now - film.timeline.origin
    assert last + 1 == pytest.approx(length * FPS, abs=1)
    assert samples == pytest.approx(length * RATE, abs=1)


def test_tracks_alone_have_no_other_lane() -> None:
    film = Film(video=False)
    film.timeline.opened("mic", "audio")
    film.run(2, microphone="mic")
    film.end()
    assert film.shown == []
    film = Film(audio=False)
    film.timeline.opened("cam", "video")
    film.timeline.opened("mic", "audio")
    film.run(2, camera="cam", microphone="mic")
    film.end()
    assert film.sound == []


def test_a_microphone_that_comes_back_is_anchored_anew() -> None:
    film = Film()
    film.timeline.opened("cam", "video")
    film.timeline.opened("mic", "audio")
    film.run(2, camera="cam", microphone="mic")
    film.timeline.closed("mic", film.now)
    film.run(3, camera="cam")
    film.timeline.opened("mic", "audio")
    film.run(2, camera="cam", microphone="mic")
    film.end()
    position, _ = next(item for item in film.sound if item[0] > 3 * RATE)
    assert position / RATE == pytest.approx(5, abs=0.1)


def test_a_microphone_silent_for_long_is_reported_as_lost() -> None:
    film = Film()
    film.timeline.opened("mic", "audio")
    film.run(1, microphone="mic")
    assert not film.timeline.lost("mic", film.now + 1.5)
    assert film.timeline.lost("mic", film.now + 2.5)


ACTIONS = st.sampled_from(["open", "close", "mute", "unmute", "picture", "sound", "wait", "stall"])


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(ACTIONS, st.sampled_from(["a", "b"]), st.floats(0, 0.2)), max_size=120), st.integers()
)
def test_whatever_happens_every_tick_and_every_sample_comes_once(
    actions: list[tuple[str, str, float]], seed: int
) -> None:
    rng = random.Random(seed)
    timeline: Timeline[int, int] = Timeline(FPS)
    now, last_tick, ready = START, -1, 0
    for action, name, step in actions:
        now += step
        match action:
            case "open":
                timeline.opened(f"v{name}", "video")
                timeline.opened(f"m{name}", "audio")
            case "close":
                timeline.closed(f"v{name}", now)
                timeline.closed(f"m{name}", now)
            case "mute" | "unmute":
                timeline.muted(f"v{name}", action == "mute", now)
            case "picture":
                timeline.picture(f"v{name}", 1, now - rng.random() * 0.3)
            case "sound":
                timeline.samples(f"m{name}", 1, 2400, now)
                timeline.delay(f"m{name}", rng.random(), now)
                timeline.delay(f"v{name}", rng.random(), now)
            case "stall":
                now += rng.random() * 12
        timeline.begin(now)
        for tick in timeline.advance(now):
            assert tick.index > last_tick
            last_tick = tick.index
        assert timeline.audio_ready(now) >= ready
        ready = timeline.audio_ready(now)
    ticks, _, samples = timeline.finish(now)
    for tick in ticks:
        assert tick.index == last_tick + 1
        last_tick = tick.index
    if timeline.origin is not None and now > timeline.origin:
        assert last_tick + 1 >= (now - timeline.origin) * FPS - 1
        assert samples >= (now - timeline.origin) * RATE - 1


def filmed(
    *, camera_at: float, rate: int = FPS, change: float = 0.0, change_at: float = 0.6, seconds: float = 2.5
) -> Film:
    """A microphone from the start on and a camera, of whose pictures the phase may change, in steps of 1 ms."""
    film = Film()
    film.timeline.opened("mic", "audio")
    film.timeline.opened("cam", "video")
    number = 0
    for step in range(1, round(seconds * 1000) + 1):
        film.now = START + step / 1000
        if step % 50 == 0:
            film.place(film.timeline.samples("mic", 0, 2400, film.now))
        due = START + camera_at + number / rate
        if film.now >= due:
            film.timeline.picture("cam", number, due + (change if due > START + change_at else 0.0))
            number += 1
        film.place(film.timeline.begin(film.now))
        film.take(film.timeline.advance(film.now))
        ready = film.timeline.audio_ready(film.now)
        assert ready >= film.ready
        film.ready = ready
        if step < 1400:  # up to two ticks less than SOUND_BEGIN: the origin was moved
            assert (film.sound, ready) == ([], 0)
        if film.sound and film.off is None:
            film.off = film.timeline.lane.lateness
    return film


@pytest.mark.parametrize("phase", [0.003, 0.010, 0.0166, 0.020, 0.030])
def test_the_axis_moves_until_pictures_are_shown_when_they_are_due(phase: float) -> None:
    film = filmed(camera_at=phase, seconds=12)
    film.end()
    origin = film.timeline.origin
    assert origin is not None
    # From the very first one: the axis was moved before anything was written.
    for index, picture in [item for item in enumerate(film.shown) if item[1] is not None]:
        assert picture is not None
        due = START + phase + picture / FPS - origin
        assert due == pytest.approx(index / FPS, abs=0.004)
    # Sound stays on the same axis: the last chunk ends where it arrived.
    position, length = film.sound[-1]
    assert (position + length) / RATE == pytest.approx(START + 12 - origin, abs=0.001)
    assert film.timeline.lane.dropped <= 1


def test_sound_that_came_first_is_not_cut_when_the_axis_moves_to_the_pictures() -> None:
    film = Film()
    film.timeline.opened("mic", "audio")
    film.timeline.opened("cam", "video")
    for step in range(1, 3001):
        film.now = START + step / 1000
        if step % 50 == 0:
            film.place(film.timeline.samples("mic", 0, 2400, film.now))
        if step > 300 and (step * FPS) // 1000 != ((step - 1) * FPS) // 1000:
            film.timeline.picture("cam", step, film.now + 0.010)
        film.place(film.timeline.begin(film.now))
        film.take(film.timeline.advance(film.now))
    film.end()
    assert film.timeline.origin is not None
    assert film.timeline.origin <= START
    assert film.sound[0][0] == pytest.approx((START - film.timeline.origin) * RATE, abs=1)
    shown = [index for index, picture in enumerate(film.shown) if picture is not None]
    assert shown[0] == pytest.approx(0.3 * FPS, abs=2)


@pytest.mark.parametrize("camera_at", [0.0, 0.21])
@pytest.mark.parametrize("change", [0.012, -0.012, 0.016])
def test_the_axis_follows_at_once_while_no_sound_has_its_place(change: float, camera_at: float) -> None:
    film = filmed(camera_at=camera_at, change=change)

    origin = film.timeline.origin
    assert origin is not None
    assert film.off is not None
    assert abs(film.off) < 0.003
    position, length = film.sound[-1]
    assert (position + length) / RATE == pytest.approx(START + 2.5 - origin, abs=0.001)
    if camera_at:
        assert origin <= START, "the sound that came first is not cut"
    film.end()
    assert film.timeline.lane.dropped == 0


def test_what_changes_once_there_is_sound_is_followed_slowly() -> None:
    film = filmed(camera_at=0.0, change=0.012, change_at=1.6)
    assert 0.004 < film.timeline.lane.lateness < 0.012


@pytest.mark.parametrize("rate", [10, 25, 50, 60])
def test_a_camera_of_another_rate_loses_nothing_to_the_axis_that_looks_for_its_place(rate: int) -> None:
    film = filmed(camera_at=0.0, rate=rate)
    lane = film.timeline.lane
    film.end()
    assert lane.dropped - lane.surplus <= 1
    assert lane.surplus <= max(0, 2.5 * (rate - FPS)) + 1


@pytest.mark.parametrize("rate", [25, 50, 60])
def test_a_camera_of_another_rate_has_no_phase_to_move_to(rate: int) -> None:
    film = Film(audio=False)
    film.timeline.opened("cam", "video")
    for number in range(rate):
        at = START + number / rate
        film.timeline.picture("cam", number, at)
        film.timeline.begin(at)
        film.take(film.timeline.advance(at))
        film.now = at
    assert film.timeline.origin is not None
    assert abs(film.timeline.origin - START) < 0.005


@pytest.mark.parametrize("waits", [False, True])
def test_a_file_that_ends_before_it_began_has_all_its_sound(waits: bool) -> None:
    film = Film()
    film.timeline.opened("mic", "audio")
    film.run(0.3, microphone="mic")
    assert film.sound == []
    if waits:
        film.place(film.timeline.closed("mic", film.now))
    samples = film.end()
    assert sum(length for _, length in film.sound) == pytest.approx(0.3 * RATE, abs=2400)
    assert samples >= film.sound[-1][0] + film.sound[-1][1] - 2400


@pytest.mark.parametrize("change", [0.012, 0.016, -0.014])
def test_pictures_that_come_at_another_phase_are_due_at_their_ticks_again_within_seconds(
    change: float,
) -> None:
    film = Film(audio=False)
    film.timeline.opened("cam", "video")
    for number in range(60 * FPS):
        at = START + number / FPS + (change if number > 30 * FPS else 0.0)
        film.timeline.picture("cam", number, at)
        film.place(film.timeline.begin(at))
        film.take(film.timeline.advance(at))
        film.now = at
        if number == 37 * FPS:
            assert abs(film.timeline.lane.lateness) < 0.004
    assert film.timeline.lane.dropped <= 1


def test_the_axis_moves_by_at_most_a_tick_even_when_a_camera_drifts() -> None:
    film = Film()
    film.timeline.opened("cam", "video")
    origin = None
    for number in range(20 * FPS):
        at = START + number / FPS * (1 + 2000e-6)
        film.timeline.picture("cam", number, at)
        film.place(film.timeline.begin(at + 0.01))
        film.take(film.timeline.advance(at + 0.01))
        if number == FPS:
            # The file has begun; what is moved from here on is heard.
            origin = film.timeline.origin
        film.now = at
    film.end()
    assert origin is not None
    assert film.timeline.origin is not None
    assert abs(film.timeline.origin - origin) <= 1 / FPS + 1e-9


@settings(max_examples=300, deadline=None)
@given(
    phase=st.floats(0, 1 / FPS),
    sound_delay=st.floats(0.0, 0.4),
    picture_delay=st.floats(0.0, 0.15),
    camera_ppm=st.floats(-100, 100),
    jitter=st.floats(0, 0.004),
    seed=st.integers(),
)
def test_what_was_captured_together_lies_together_whatever_the_receivers_delays(
    phase: float, sound_delay: float, picture_delay: float, camera_ppm: float, jitter: float, seed: int
) -> None:
    rng = random.Random(seed)
    film = Film()
    film.timeline.opened("mic", "audio")
    film.timeline.opened("cam", "video")
    captured = [START + phase + number / FPS * (1 + camera_ppm * 1e-6) for number in range(15 * FPS)]
    events = [(at + sound_delay, "sound", at) for at in (START + n * 0.05 for n in range(1, 15 * 20))]
    events += [(at + picture_delay, "picture", at) for at in captured]
    events += [(START + n * 0.5, "delay", 0.0) for n in range(30)]
    last = 0.0
    for at, what, sent in sorted(events):
        film.now = at
        match what:
            case "sound":
                film.place(film.timeline.samples("mic", 0, 2400, at + rng.random() * jitter))
                last = sent
            case "picture":
                film.timeline.picture("cam", captured.index(sent), at + rng.gauss(0, jitter / 2))
            case "delay":
                film.timeline.delay("mic", sound_delay, at - 0.25)
                film.timeline.delay("cam", picture_delay, at - 0.25)
        film.take(film.timeline.advance(at))
    film.end()
    position, length = film.sound[-1]
    sound_at_zero = last - (position + length) / RATE
    pairs = [(index, picture) for index, picture in enumerate(film.shown) if picture is not None][-90:]
    offsets = [index / FPS + sound_at_zero - captured[picture] - SOUND_LAG for index, picture in pairs]
    assert sum(offsets) / len(offsets) == pytest.approx(0, abs=0.008)
