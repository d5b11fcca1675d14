"""A key's limits are used up and not exceeded: 10,000 callers wait for it, and the service counts exactly."""

from __future__ import annotations

import pytest

from asyncapi import Endpoint, Key, Timeout
from asyncapi.testing.simulation import Load, LogNormal, Poisson, Result, Scenario, Service, simulate
from asyncapi.testing.simulation.history import RequestArrived, RequestEnded

CALLERS = 10_000


def crowd(callers: int, requests: float, tokens: float, max_tokens: int, used: LogNormal) -> Scenario:
    """All of them come within some seconds; the service has the limits that the key is said to have."""
    key = Key("sk-a", name="a", requests_per_minute=requests, tokens_per_minute=tokens)
    endpoint = Endpoint(
        "openai",
        name="main",
        keys=(key,),
        limit=500,
        queue_size=callers,
        timeout=Timeout(total=None, idle=None),
    )
    return Scenario(
        endpoints=(endpoint,),
        services={
            "main": Service(
                first_token=LogNormal(0.3, 0.3, 2.0),
                per_token=0.01,
                requests_per_minute=requests,
                tokens_per_minute=tokens,
                headers=False,
            )
        },
        loads=(
            Load(
                arrivals=Poisson(2000.0),
                calls=callers,
                input_tokens=LogNormal(100.0, 0.3, 1000.0),
                output_tokens=used,
                max_tokens=max_tokens,
                timeout=(1e6,),
            ),
        ),
        duration=100.0,
        recovery=False,
    )


def rates(result: Result) -> tuple[float, float, int]:
    """Requests and tokens that the service counted a minute while callers waited, and how many it refused.

    The first minute aside. A service counts a request's ``max_tokens`` until it knows what was used.
    """
    arrived = {request.number: (at, request.tokens) for at, request in result.history.of(RequestArrived)}
    last = max(at for at, _ in arrived.values())
    ends = result.history.of(RequestEnded)
    used = reserved = count = 0.0
    for ended, end in ends:
        at, charged = arrived[end.number]
        if 60.0 <= at < last:
            count += 1
            used += end.tokens
            reserved += (charged - end.tokens) * (ended - at)
    seconds = last - 60.0
    refused = sum(end.how == "429" for _, end in ends)
    return 60.0 * count / seconds, 60.0 * used / seconds + reserved / seconds, refused


@pytest.mark.slow
def test_requests_per_minute_are_used_up() -> None:
    """98 % or more of them, and none is refused."""
    result = simulate(crowd(3000, 600.0, 1e7, 400, LogNormal(100.0, 0.5, 400.0)), 1)
    requests, _, refused = rates(result)

    print(f"{requests / 600.0:.1%} of the requests per minute, {refused} refused")
    assert result.summary.outcomes == {"ok": 3000}
    assert refused == 0
    assert requests >= 0.98 * 600.0
    assert result.violations == ()


@pytest.mark.slow
def test_tokens_per_minute_are_used_up() -> None:
    """98 % or more of them, and none is refused, though nobody knows before how long an answer will be."""
    result = simulate(crowd(CALLERS, 6000.0, 300_000.0, 400, LogNormal(150.0, 0.6, 400.0)), 1)
    _, tokens, refused = rates(result)

    print(f"{tokens / 300_000.0:.1%} of the tokens per minute, {refused} refused")
    assert result.summary.outcomes == {"ok": CALLERS}
    assert refused == 0
    assert tokens >= 0.98 * 300_000.0
    assert result.violations == ()
