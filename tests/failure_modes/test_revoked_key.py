"""A key that is revoked in the middle: every fourth call fails, for as long as the key is in the pool.

Pools that go round give each key its turn, also the one that is refused every time.
"""

from __future__ import annotations

import asyncio

import pytest

from asyncapi import AuthenticationError, Key, NoKeyAvailableError
from asyncapi.emulator import Emulator, Timing
from tests.failure_modes.worlds import MODEL, assert_all_given_back, client_of

KEYS = tuple(Key(f"sk-{name}", name=name) for name in "abcd")


async def _many(client: object, number: int = 100) -> list[object]:
    calls = (client.chat(MODEL, str(i)) for i in range(number))  # type: ignore[attr-defined]
    return list(await asyncio.gather(*calls, return_exceptions=True))


@pytest.mark.slow
@pytest.mark.parametrize(("take", "reason"), [("revoke", "authentication"), ("exhaust", "quota_exhausted")])
async def test_one_of_four_keys_is_lost_under_load_and_nobody_notices(take: str, reason: str) -> None:
    """Calls that meet its refusal go on with another key at once; it is not asked again."""
    async with (
        Emulator(timing=Timing(first_token=0.002)) as emulator,
        client_of(emulator.base_urls["openai"], keys=KEYS, limit=8, queue_size=200) as client,
    ):
        before = asyncio.ensure_future(_many(client))
        await asyncio.sleep(0.01)
        getattr(emulator, take)("sk-b")
        results = [*await before, *await _many(client)]
        refused = [record for record in emulator.records if record.status in (401, 429)]

        assert [result for result in results if isinstance(result, BaseException)] == []
        assert 1 <= len(refused) <= 8  # those that were in flight with it
        states = {name: key.state for name, key in client.statistics().endpoints["openai"].keys.items()}
        assert states.pop("b") == reason
        assert set(states.values()) == {"ready"}
        await assert_all_given_back(client, emulator)


async def test_the_last_key_says_so_and_a_new_one_is_enough() -> None:
    """The service's refusal first, then ours without asking; a key that is added is used at once."""
    async with (
        Emulator(timing=Timing.instant()) as emulator,
        client_of(emulator.base_urls["openai"], keys=KEYS[:1]) as client,
    ):
        assert (await client.chat(MODEL, "x")).text
        emulator.revoke("sk-a")
        with pytest.raises(AuthenticationError):
            await client.chat(MODEL, "x")
        with pytest.raises(NoKeyAvailableError):
            await client.chat(MODEL, "x")
        assert len(emulator.records) == 2

        client.keys("openai").add(Key("sk-new", name="new"))
        assert (await client.chat(MODEL, "x")).text
        await assert_all_given_back(client, emulator)
