"""The work queue under a simulated clock: each key once, in turn, never twice at work."""

from __future__ import annotations

import asyncio

import pytest

from egress_operator.names import Key
from egress_operator.workqueue import WorkQueue

pytestmark = [pytest.mark.unit, pytest.mark.looptime]

A, B = Key("K", "ns", "a"), Key("K", "ns", "b")


async def test_a_key_that_is_added_twice_is_worked_on_once() -> None:
    queue = WorkQueue()
    queue.add(A)
    queue.add(A)
    queue.add(B)

    assert [await queue.get(), await queue.get()] == [A, B]
    assert len(queue) == 0


async def test_a_key_that_is_added_while_at_work_runs_once_more_afterwards() -> None:
    queue = WorkQueue()
    queue.add(A)
    assert await queue.get() == A
    queue.add(A)
    queue.add(A)
    assert len(queue) == 0
    queue.done(A)

    assert len(queue) == 1
    assert await queue.get() == A
    queue.done(A)
    assert len(queue) == 0


async def test_a_delayed_key_comes_when_it_is_due_and_the_earlier_appointment_wins() -> None:
    queue = WorkQueue()
    loop = asyncio.get_running_loop()
    queue.add_after(A, 30)
    queue.add_after(A, 5)
    queue.add_after(A, 60)
    begun = loop.time()

    assert await queue.get() == A
    assert loop.time() - begun == pytest.approx(5)
    queue.done(A)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(queue.get(), 100)


async def test_an_immediate_add_takes_the_place_of_a_delayed_one() -> None:
    queue = WorkQueue()
    queue.add_after(A, 30)
    queue.add(A)
    assert await queue.get() == A
    queue.done(A)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(queue.get(), 100)


async def test_the_back_off_doubles_to_a_limit_and_begins_anew_after_success() -> None:
    queue = WorkQueue(jitter=lambda: 1.0)
    waits = [queue.retry(A) for _ in range(12)]

    assert waits[:4] == [0.2, 0.4, 0.8, 1.6]
    assert waits[-1] == 60.0
    queue.succeeded(A)
    assert queue.retry(A) == 0.2


async def test_jitter_only_shortens_the_back_off() -> None:
    assert WorkQueue(jitter=lambda: 0.0).retry(A) == 0.1


async def test_closing_lets_every_waiting_worker_go() -> None:
    queue = WorkQueue()
    workers = [asyncio.create_task(queue.get()) for _ in range(3)]
    await asyncio.sleep(1)
    queue.close()

    assert await asyncio.gather(*workers) == [None, None, None]


async def test_two_workers_share_the_keys() -> None:
    queue = WorkQueue()
    workers = [asyncio.create_task(queue.get()) for _ in range(2)]
    await asyncio.sleep(0)
    queue.add(A)
    queue.add(B)

    assert set(await asyncio.gather(*workers)) == {A, B}


async def test_the_age_of_the_oldest_work_is_known_for_the_liveness_probe() -> None:
    queue = WorkQueue()
    assert queue.oldest_busy() == 0
    queue.add(A)
    await queue.get()
    await asyncio.sleep(7)

    assert queue.oldest_busy() == pytest.approx(7)


async def test_a_forgotten_key_is_not_worked_on_later() -> None:
    queue = WorkQueue()
    queue.add_after(A, 5)
    queue.forget(A)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(queue.get(), 100)


async def test_urgent_keys_come_first_but_each_fourth_turn_goes_to_the_others() -> None:
    urgent = [Key("K", "ns", f"urgent-{number}") for number in range(6)]
    queue = WorkQueue(is_urgent=lambda key: key.name.startswith("urgent"))
    for key in (A, B, *urgent):
        queue.add(key)
    assert len(queue) == 8

    order = [await queue.get() for _ in range(8)]
    assert order == [*urgent[:3], A, *urgent[3:6], B]


async def test_one_key_wakes_one_worker_and_none_is_forgotten() -> None:
    queue = WorkQueue()
    workers = [asyncio.create_task(queue.get()) for _ in range(3)]
    await asyncio.sleep(0)
    queue.add(A)
    await asyncio.sleep(0.1)
    assert [worker.done() for worker in workers] == [True, False, False]
    queue.add(B)
    workers[1].cancel()  # its turn had come: the next worker takes the key
    await asyncio.sleep(0.1)

    assert workers[2].result() == B


async def test_an_earlier_appointment_of_another_key_is_not_slept_over() -> None:
    queue = WorkQueue()
    queue.add_after(A, 60)
    queue.add_after(B, 1)
    begun = asyncio.get_running_loop().time()

    assert [await queue.get(), await queue.get()] == [B, A]
    assert asyncio.get_running_loop().time() - begun == pytest.approx(60, abs=0.1)
