"""Scheduling alone: queue, fairness, breaker, limit, keys, deadline, statistics, without any I/O."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

import asyncapi
from asyncapi.types.messages import as_messages
from asyncapi.types.wire import Outgoing, Service, WireRequest, WireResponse
from benchmarks.measure import Result

__all__ = ["cancelling", "scheduling"]

_ANSWER = WireResponse(status=200, headers={}, body=b"")


class _Null:
    """A backend that does nothing and a transport that yields once."""

    name = "null"
    service = Service(name="null", operations=frozenset({"chat"}), base_url="http://null", needs_key=False)

    def encode(self, request: asyncapi.Request, /) -> WireRequest:
        return WireRequest(path="/")

    def authorize(self, secret: str, /) -> Mapping[str, str]:
        return {}

    def decode(self, request: asyncapi.Request, reply: WireResponse, /) -> asyncapi.Response:
        return asyncapi.Response()

    async def send(self, request: Outgoing, /) -> WireResponse:
        await asyncio.sleep(0)
        return _ANSWER

    async def open(self, request: Outgoing, /) -> asyncapi.abc.WireStream:
        raise AssertionError("not used")

    async def aclose(self) -> None:
        """Nothing to close."""


def _client(limit: int, queue_size: int) -> asyncapi.Client:
    null = _Null()
    endpoint = asyncapi.Endpoint("null", limit=limit, queue_size=queue_size)
    return asyncapi.Client([endpoint], backends=[null], transport=null)


_REQUEST = asyncapi.ChatRequest(model="null:m", messages=as_messages("hi"))


async def scheduling(queued: int, rounds: int) -> Result:
    """CPU per call with so many calls handed in at once."""
    samples = []
    for _ in range(rounds):
        async with _client(64, queued) as client:
            repeats = max(1, 20_000 // queued)
            await asyncio.gather(*(client.call(_REQUEST) for _ in range(min(queued, 1000))))
            started = time.process_time()
            for _ in range(repeats):
                await asyncio.gather(*(client.call(_REQUEST) for _ in range(queued)))
            samples.append((time.process_time() - started) / (queued * repeats) * 1e6)
    return _result(f"scheduling alone, {queued:,} at once", samples)


async def cancelling(queued: int, rounds: int) -> Result:
    """CPU per call to cancel so many queued calls, newest first."""
    samples = []
    for _ in range(rounds):
        async with _client(1, queued) as client:
            tasks = [asyncio.ensure_future(client.call(_REQUEST)) for _ in range(queued)]
            await asyncio.sleep(0)
            started = time.process_time()
            for task in reversed(tasks):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            samples.append((time.process_time() - started) / queued * 1e6)
    return _result(f"cancel {queued:,} queued", samples)


def _result(setting: str, samples: list[float]) -> Result:
    ordered = sorted(samples)
    return Result(
        setting=setting,
        name="asyncapi",
        micros=ordered[len(ordered) // 2],
        ratio=1.0,
        low=ordered[0] / ordered[len(ordered) // 2],
        high=ordered[-1] / ordered[len(ordered) // 2],
        rounds=len(samples),
    )
