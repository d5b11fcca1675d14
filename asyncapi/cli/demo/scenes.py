"""What goes wrong in the demo, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
from msgspec.structs import replace

from asyncapi.cli.demo.work import ROUTE
from asyncapi.cli.emulated import fake_keys
from asyncapi.client import Client
from asyncapi.config import Batch, Breaker, Endpoint, Fixed, Key, KeyPool, Retry
from asyncapi.emulator import Emulator, Fault, Faults, Limits, Timing

__all__ = ["ROUTES", "Scene", "demo_emulator", "demo_endpoints", "play"]

_REVOKED, _SLOW = "demo-key-b", "demo-key-c"
_KINDS = (
    Fault.RATE_LIMIT_SECONDS,
    Fault.RATE_LIMIT_MS,
    Fault.SERVER_ERROR,
    Fault.OVERLOADED,
    Fault.CUT_BODY,
    Fault.CUT_STREAM,
)
_DOWN = ("claude", "groq")
#: What the route tries in order: its first target will be down.
ROUTES = {ROUTE: ["claude:demo-model", "openai:demo-model"]}


class Scene(msgspec.Struct, frozen=True):
    """Something that happens at a time. Units: seconds since the start."""

    at: float
    text: str


def demo_emulator(seed: int) -> Emulator:
    """Services of some speed; one key of a pool is slow."""
    return Emulator(
        seed,
        timing=Timing(first_token=0.15, per_token=0.008, jitter=0.15),
        limits={_SLOW: Limits(requests_per_minute=15)},
    )


def demo_endpoints(emulator: Emulator, names: tuple[str, ...]) -> list[Endpoint]:
    """Every service with settings that show their work within seconds."""
    return [
        Endpoint(
            name,
            base_url=emulator.base_urls[name],
            keys=_pool() if name == "openai" else (replace(fake_keys(name)[0], name="team-a"),),
            limit=Fixed(5),
            queue_size=100,
            retry=Retry(attempts=6, base=0.1, cap=1.0, budget=0.5, reserve=50),
            breaker=Breaker(failure_threshold=4, reset_after=0.7, reset_maximum=1.5, successes=1),
            batch=Batch(size=8, wait=0.02),
        )
        for name in names
    ]


def _pool() -> KeyPool:
    names = {"team-a": "demo-key-a", "team-b": _REVOKED, "team-c": _SLOW}
    return KeyPool(tuple(Key(value, name=name) for name, value in names.items()), "least_loaded")


async def play(emulator: Emulator, client: Client, seconds: float, tell: Callable[[str], None]) -> None:
    """Let things go wrong, and right again, over so many seconds."""
    acts: list[tuple[float, str, Callable[[], Awaitable[None] | None]]] = [
        (0.0, "steady traffic: chats, streams, vectors, tensors, guards, speech, objects", lambda: None),
        (
            0.10,
            "small troubles: 429 with Retry-After, 500, 529, cut bodies and streams",
            lambda: _mild(emulator),
        ),
        (0.22, "a burst of unhurried work: 20 calls at once for every chat service", lambda: None),
        (0.38, "one of three OpenAI keys is revoked, another one is slow", lambda: emulator.revoke(_REVOKED)),
        (0.50, f"an outage: {' and '.join(_DOWN)} answer 503; a route goes on", lambda: _outage(emulator)),
        (0.70, "the outage ends, the key is restored", lambda: _recovery(emulator, client)),
        (0.85, "all quiet: the faults end", lambda: setattr(emulator, "faults", Faults())),
    ]
    loop = asyncio.get_running_loop()
    begun = loop.time()
    for share, text, act in acts:
        await asyncio.sleep(max(0.0, begun + share * seconds - loop.time()))
        tell(text)
        act()


def _mild(emulator: Emulator) -> None:
    emulator.faults = Faults(rate=0.08, kinds=_KINDS, seed=1, retry_after=0.4)


def _outage(emulator: Emulator) -> None:
    for name in _DOWN:
        emulator.script([Fault.UNAVAILABLE] * 1000, path=f"/{name}/")


def _recovery(emulator: Emulator, client: Client) -> None:
    _mild(emulator)  # new faults: what was left of the script is gone
    emulator.restore(_REVOKED)
    client.keys("openai").restore("team-b")
