"""The stores: what was put is there, within the bound, after a restart, from two sides, and after a crash."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asyncapi import ConfigError
from asyncapi.abc import Store
from asyncapi.caching import MemoryStore, SQLiteStore

Made = Callable[[], Store]


def key(number: int) -> bytes:
    """A key of the usual length."""
    return number.to_bytes(32, "big")


@pytest.fixture(params=["memory", "sqlite"])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Made:
    """Makes a store of one kind, each time the same file."""
    return MemoryStore if request.param == "memory" else lambda: SQLiteStore(tmp_path / "c.db", delay=0.001)


async def test_what_was_put_last_is_there(made: Made) -> None:
    """At once, replaced, and gone once deleted."""
    store = made()

    found = [await store.get(key(1))]
    for value in (b"one", b"two"):
        await store.put(key(1), value, 60.0)
        found.append(await store.get(key(1)))
    await store.delete(key(1))
    found.append(await store.get(key(1)))
    await store.aclose()

    assert found == [None, b"one", b"two", None]


async def test_a_closed_store_opens_again(made: Made) -> None:
    """Two clients, one after the other, may use one store."""
    store = made()
    await store.put(key(1), b"one", 60.0)
    await store.aclose()

    assert await store.get(key(1)) == b"one"
    await store.aclose()


async def test_memory_drops_what_was_not_used_for_longest() -> None:
    """Reading is using."""
    store = MemoryStore(3 * (1000 + 300))
    for number in (1, 2, 3):
        await store.put(key(number), bytes(1000), 60.0)
    await store.get(key(1))

    await store.put(key(4), bytes(1000), 60.0)

    assert [await store.get(key(n)) is not None for n in (1, 2, 3, 4)] == [True, False, True, True]


async def test_memory_keeps_nothing_that_is_larger_than_all_of_it() -> None:
    """And nothing has to go for it."""
    store = MemoryStore(2000)
    await store.put(key(1), b"one", 60.0)

    await store.put(key(2), bytes(2000), 60.0)

    assert await store.get(key(1)) == b"one"
    assert (len(store), await store.get(key(2))) == (1, None)


@pytest.mark.slow
async def test_memory_takes_no_more_than_it_says() -> None:
    """Everything that an entry needs is counted, measured by the allocator."""
    tracemalloc.start()
    try:
        store = MemoryStore(4 << 20)
        for number in range(50_000):
            await store.put(key(number), os.urandom(200), 60.0)
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()

    assert taken <= store.max_bytes
    assert store.bytes == len(store) * 500


@pytest.mark.parametrize("make", [lambda p: MemoryStore(0), lambda p: SQLiteStore(p / "x", max_bytes=0)])
def test_a_store_needs_room(make: Callable[[Path], Any], tmp_path: Path) -> None:
    """Said when it is made."""
    with pytest.raises(ConfigError, match="max_bytes"):
        make(tmp_path)


def test_a_file_needs_a_folder(tmp_path: Path) -> None:
    """Said when the store is made."""
    with pytest.raises(ConfigError, match="no folder"):
        SQLiteStore(tmp_path / "nowhere" / "c.db")


async def test_another_file_is_left_alone(tmp_path: Path) -> None:
    """Neither a text nor another program's database is written to."""
    text, other = tmp_path / "text", tmp_path / "other"
    text.write_text("a text that is long enough to be told from the head of a database, surely" * 9)
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE answers (mine)")
    connection.close()
    before = [text.read_bytes(), other.read_bytes()]

    for path in (text, other):
        with pytest.raises(ConfigError, match="choose another path"):
            await SQLiteStore(path).get(key(1))

    assert [text.read_bytes(), other.read_bytes()] == before


async def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    """It holds answers."""
    store = SQLiteStore(tmp_path / "c.db")
    await store.put(key(1), b"one", 60.0)
    await store.flush()

    modes = {os.stat(entry).st_mode & 0o777 for entry in os.scandir(tmp_path)}
    assert modes == {0o600}
    await store.aclose()


async def test_the_oldest_go_when_the_file_is_full(tmp_path: Path) -> None:
    """The bound is on the pages in use."""
    store = SQLiteStore(tmp_path / "c.db", max_bytes=300_000)
    for number in range(200):
        await store.put(key(number), bytes(10_000), 60.0)
        if number % 10 == 9:
            await store.flush()

    held = [number for number in range(200) if await store.get(key(number)) is not None]
    await store.aclose()

    assert held == list(range(200 - len(held), 200))
    assert 15 <= len(held) <= 30
    assert (tmp_path / "c.db").stat().st_size < 600_000


async def test_what_is_too_old_leaves_the_file(tmp_path: Path) -> None:
    """With the next write."""
    now = [1000.0]
    store = SQLiteStore(tmp_path / "c.db", now=lambda: now[0])
    for number, ttl in enumerate((10.0, 1000.0, float("inf"))):
        await store.put(key(number), b"x", ttl)
    await store.flush()

    now[0] += 100.0
    await store.put(key(9), b"x", 10.0)
    await store.flush()

    assert [await store.get(key(n)) is not None for n in (0, 1, 2, 9)] == [False, True, True, True]
    await store.aclose()


def test_a_store_goes_from_one_loop_to_the_next(tmp_path: Path) -> None:
    """What the first did not come to write, the second does."""
    path = tmp_path / "c.db"
    store = SQLiteStore(path, delay=60.0)

    async def put(number: int) -> None:
        await store.put(key(number), b"x", 60.0)

    async def close() -> None:
        await store.aclose()

    for work in (put(1), put(2), close()):
        asyncio.run(work)

    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM answers").fetchone() == (2,)
    connection.close()


async def test_a_disk_that_can_not_be_written_is_reported(tmp_path: Path) -> None:
    """To the loop, as nobody waits for the write; reading goes on."""
    store = SQLiteStore(tmp_path / "c.db")
    await store.put(key(1), b"one", 60.0)
    await store.flush()
    assert store._writer is not None
    store._writer.execute("PRAGMA query_only = 1")
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))

    await store.put(key(2), b"two", 60.0)
    with pytest.raises(sqlite3.OperationalError):
        await store.flush()

    assert [context["message"] for context in told] == [f"the cache can't write to {tmp_path / 'c.db'}"]
    assert await store.get(key(1)) == b"one"
    await store.aclose()


WRITER = """
import asyncio, itertools, sys, zlib
from asyncapi.caching import SQLiteStore

async def main(path, start):
    store = SQLiteStore(path, delay=0.0)
    for number in itertools.count(start):
        value = number.to_bytes(8, "big") * 400
        await store.put(number.to_bytes(32, "big"), zlib.crc32(value).to_bytes(4, "big") + value, 1e6)
        if number % 20 == 0:
            await store.flush()
            print(number, flush=True)

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


def writer(path: Path, start: int) -> subprocess.Popen[str]:
    """A process that writes for ever, and says how far it is."""
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(start)], stdout=subprocess.PIPE, text=True
    )


def whole(path: Path) -> int:
    """How many answers are in the file, all of which must be what was put."""
    import zlib

    connection = sqlite3.connect(path)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        rows = connection.execute("SELECT key, value FROM answers").fetchall()
    finally:
        connection.close()
    for name, value in rows:
        assert value[:4] == zlib.crc32(value[4:]).to_bytes(4, "big")
        assert value[4:12] == name[-8:]
    return len(rows)


@pytest.mark.slow
def test_a_kill_in_the_middle_of_writing_damages_nothing(tmp_path: Path) -> None:
    """Twenty times, at random moments: the file is sound, and has all that was said to be written."""
    path, rng, start = tmp_path / "c.db", random.Random(5), 0
    for _ in range(20):
        process = writer(path, start)
        assert process.stdout is not None
        told = int(process.stdout.readline())
        time.sleep(rng.uniform(0.0, 0.1))
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().split("\n")[:-1]
        process.wait()
        process.stdout.close()
        told = int(rest[-1]) if rest else told

        assert whole(path) > told
        with sqlite3.connect(path) as connection:
            start = connection.execute("SELECT count(*) FROM answers").fetchone()[0]
        connection.close()


@pytest.mark.slow
async def test_two_processes_share_a_file(tmp_path: Path) -> None:
    """Both write, begun at the same moment; each finds what the other wrote."""
    path = tmp_path / "c.db"
    both = [writer(path, start) for start in (0, 1_000_000)]
    try:
        for process in both:
            assert process.stdout is not None
            process.stdout.readline()
        store = SQLiteStore(path)
        found = [await store.get(key(number)) is not None for number in (0, 1_000_000)]
        await store.put(key(5_000_000), b"mine", 60.0)
        await store.aclose()
    finally:
        for process in both:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()

    assert found == [True, True]
    assert await SQLiteStore(path).get(key(5_000_000)) == b"mine"


async def test_a_flush_in_the_turn_in_which_a_write_ends_comes_back(tmp_path: Path) -> None:
    """The write has ended, and its callback is due in the next turn: the loop must get to it."""
    store = SQLiteStore(tmp_path / "c.db", delay=0.0)
    await store.put(key(1), b"one", 60.0)
    for _ in range(3):  # the thread is given its work in one of these turns
        await asyncio.sleep(0)
    time.sleep(0.2)  # noqa: ASYNC251  the loop hears of the end in its next turn
    await asyncio.sleep(0)

    await store.flush()

    assert await store.get(key(1)) == b"one"
    await store.aclose()
