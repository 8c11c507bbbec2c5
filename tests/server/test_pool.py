"""Where short operations run: a bounded number of threads, the same one for one caller."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from trunkline.server.pool import Pool


def blocking() -> tuple[threading.Event, Callable[[], int]]:
    go_on = threading.Event()

    def work() -> int:
        go_on.wait()
        return threading.get_ident()

    return go_on, work


def test_one_caller_who_asks_again_and_again_has_one_thread() -> None:
    async def ask() -> set[int]:
        pool = Pool("test", 8)
        return {await pool.run(threading.get_ident) for _ in range(50)}

    assert len(asyncio.run(ask())) == 1


def test_no_more_work_is_done_at_a_time_than_there_may_be_threads() -> None:
    async def ask() -> tuple[list[int], list[bool]]:
        pool = Pool("test", 2)
        go_on, work = blocking()
        asked = [asyncio.create_task(pool.run(work)) for _ in range(5)]
        last = asyncio.create_task(pool.run(lambda: 7))
        await asyncio.sleep(0)
        waits = [not task.done() for task in (*asked, last)]
        go_on.set()
        return [await task for task in asked], [*waits, await last == 7]

    threads, seen = asyncio.run(ask())
    assert len(set(threads)) <= 2
    assert all(seen)


def test_who_stops_waiting_before_its_turn_has_nothing_done() -> None:
    async def ask() -> list[str]:
        done: list[str] = []
        pool = Pool("test", 1)
        go_on, work = blocking()
        first = asyncio.create_task(pool.run(work))
        second = asyncio.create_task(pool.run(lambda: done.append("second")))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        go_on.set()
        await first
        await pool.run(lambda: done.append("third"))
        return done

    assert asyncio.run(ask()) == ["third"]


def test_what_work_raises_is_raised_to_its_caller_and_the_thread_goes_on() -> None:
    async def ask() -> str:
        pool = Pool("test", 1)
        with pytest.raises(ZeroDivisionError):
            await pool.run(lambda: 1 // 0)
        return await pool.run(lambda: "well")

    assert asyncio.run(ask()) == "well"


def test_threads_of_a_closed_pool_end_when_they_have_nothing_to_do() -> None:
    async def ask() -> None:
        pool = Pool("ends", 2)
        go_on, work = blocking()
        at_work = asyncio.create_task(pool.run(work))
        await pool.run(lambda: None)
        pool.close()
        go_on.set()
        await at_work
        assert await pool.run(lambda: "still") == "still"

    asyncio.run(ask())
    for thread in threading.enumerate():
        if thread.name == "ends":
            thread.join(timeout=10)
    assert "ends" not in [thread.name for thread in threading.enumerate()]
