"""Rate limits: the buckets' arithmetic, and the headers and refusals of each service."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncapi.emulator import Emulator, Limits, Timing, parse_limits
from asyncapi.emulator.headers import go_duration, iso_micros, rfc3339, wait_headers
from asyncapi.emulator.limits import Account, Bucket, Ledger

from .wire import Wire


@asynccontextmanager
async def limited(
    limits: Limits | dict[str, Limits], timing: Timing | None = None
) -> AsyncIterator[tuple[Emulator, Wire]]:
    """An emulator with limits and a client for it."""
    async with (
        Emulator(timing=timing or Timing.instant(), limits=limits) as emulator,
        aiohttp.ClientSession() as session,
    ):
        yield emulator, Wire(session, emulator.url)


def test_a_bucket_refills_evenly_and_never_overflows() -> None:
    """60 a minute is one a second, and a full bucket stays full."""
    bucket = Bucket(60, 60.0, now=0.0)

    bucket.take(60, 0.0)

    assert bucket.wait(1, 0.0) == pytest.approx(1.0, abs=1e-5)
    assert bucket.wait(1, 1.0) == 0.0
    assert bucket.level(1000.0) == 60
    assert bucket.wait(61, 0.0) is None


@given(st.integers(1, 1000), st.lists(st.tuples(st.floats(0, 5), st.integers(1, 50)), max_size=50))
def test_a_bucket_never_gives_more_than_its_rate(limit: int, steps: list[tuple[float, int]]) -> None:
    """In any time t at most limit + t * rate is taken, and waiting as told is enough."""
    account = Account(Limits(tokens_per_minute=limit), 0.0)
    now, taken = 0.0, 0
    for pause, amount in steps:
        now += pause
        excess = account.charge(amount, 0, now)
        if excess is not None and excess.wait is not None:
            now += excess.wait
            assert account.charge(amount, 0, now) is None
        taken += amount if excess is None or excess.wait is not None else 0

        assert taken <= limit + now * limit / 60 + 1e-4


def test_a_refused_charge_costs_nothing() -> None:
    """All buckets are charged or none; the longest wait is told."""
    account = Account(Limits(requests_per_minute=60, tokens_per_minute=60), 0.0)
    assert account.charge(50, 10, 0.0) is None

    excess = account.charge(20, 10, 0.0)

    assert excess is not None
    assert (excess.dimension, round(excess.wait or 0, 3)) == ("tokens", 30.0)
    assert account.readings(0.0)["requests"].remaining == 59


def test_limits_are_found_by_key_before_service() -> None:
    """A key's own limits win; others get the service's; the rest none."""
    ledger = Ledger({"openai": Limits(requests_per_minute=5), "vip": Limits(requests_per_minute=50)})

    def limit(service: str, key: str) -> int | None:
        account = ledger.account(service, key, 0.0)
        return None if account is None else account.readings(0.0)["requests"].limit

    assert limit("openai", "anyone") == 5
    assert limit("openai", "vip") == 50
    assert limit("groq", "anyone") is None
    assert Ledger(None).account("openai", "k", 0.0) is None


async def test_openai_tells_its_limits_on_every_reply() -> None:
    """Limit, remaining and a Go duration, on good replies and bad ones."""
    async with limited(Limits(requests_per_minute=100, tokens_per_minute=10_000)) as (_, wire):
        good = await wire.chat("openai")
        bad = await wire.chat("openai", max_tokens=0)

    assert good.headers["x-ratelimit-limit-requests"] == "100"
    assert good.headers["x-ratelimit-remaining-requests"] == "99"
    assert int(good.headers["x-ratelimit-remaining-tokens"]) < 10_000
    assert good.headers["x-ratelimit-reset-requests"].endswith("ms")
    assert bad.headers["x-ratelimit-remaining-requests"] == "98"


async def test_openai_refuses_above_its_rate() -> None:
    """429 with seconds and milliseconds; the record knows until when."""
    async with limited(Limits(requests_per_minute=2)) as (emulator, wire):
        await wire.chat("openai")
        await wire.chat("openai")
        got = await wire.chat("openai")
        last = emulator.records[-1]

    assert got.status == 429
    assert got.json["error"]["code"] == "rate_limit_exceeded"
    assert got.json["error"]["type"] == "requests"
    assert "Please try again in" in got.json["error"]["message"]
    assert 29_000 < int(got.headers["retry-after-ms"]) <= 30_000
    assert got.headers["retry-after"] == "30"
    assert last.retry_after_until == pytest.approx(last.time + 30, abs=0.5)


async def test_waiting_as_told_is_enough() -> None:
    """A client that comes back when told is let in."""
    async with limited(Limits(requests_per_minute=3000)) as (_, wire):
        answers = await asyncio.gather(*(wire.chat("openai", str(n)) for n in range(10)))
    async with limited({"openai": Limits(tokens_per_minute=60_000)}) as (_, wire):
        big = "x" * 4 * 59_900
        await wire.chat("openai", big, max_tokens=5)
        got = await wire.chat("openai", "y" * 4 * 130, max_tokens=5)
        assert got.status == 429
        await asyncio.sleep(int(got.headers["retry-after-ms"]) / 1000)
        again = await wire.chat("openai", "y" * 4 * 130, max_tokens=5)

    assert {answer.status for answer in answers} == {200}
    assert again.status == 200


@pytest.mark.parametrize(("service", "status"), [("openai", 429), ("groq", 413), ("claude", 429)])
async def test_what_never_fits_says_no_time(service: str, status: int) -> None:
    """A request above the whole minute's tokens; Groq calls that 413."""
    async with limited(Limits(tokens_per_minute=10)) as (_, wire):
        got = await wire.chat(service, "x" * 100)

    assert got.status == status
    assert "retry-after" not in got.headers


async def test_groq_counts_requests_by_day() -> None:
    """The request headers are a day's, the minute is enforced all the same."""
    async with limited(Limits(requests_per_minute=1)) as (_, wire):
        first = await wire.chat("groq")
        second = await wire.chat("groq")

    assert first.headers["x-ratelimit-limit-requests"] == "1440"
    assert "retry-after" not in first.headers
    assert second.status == 429
    assert 59 < float(second.headers["retry-after"]) <= 60


async def test_claude_tells_moments_in_rfc_3339() -> None:
    """All four dimensions, input and output apart."""
    limits = Limits(10, 10_000, input_tokens_per_minute=5000, output_tokens_per_minute=5000)
    async with limited(limits) as (_, wire):
        got = await wire.chat("claude")
    async with limited(Limits(requests_per_day=1)) as (_, wire):
        await wire.chat("claude")
        refused = await wire.chat("claude")

    for name in ("requests", "tokens", "input-tokens", "output-tokens"):
        reset = datetime.fromisoformat(got.headers[f"anthropic-ratelimit-{name}-reset"])
        assert reset.tzinfo is not None
    assert got.headers["anthropic-ratelimit-requests-remaining"] == "9"
    assert refused.json["error"]["type"] == "rate_limit_error"
    assert refused.headers["retry-after"] == "86400"


@pytest.mark.parametrize(
    ("service", "status"), [("vllm", 503), ("ollama", 503), ("opea", 503), ("hf_tei", 429)]
)
async def test_local_servers_say_that_they_are_full(service: str, status: int) -> None:
    """No headers, no time: a queue is full."""
    async with limited(Limits(requests_per_minute=1)) as (_, wire):
        for _ in range(2):
            if service == "hf_tei":
                got = await wire.post("/hf_tei/embed", {"inputs": "a"})
            else:
                got = await wire.chat(service)

    assert got.status == status
    assert not [name for name in got.headers if "retry" in name.lower() or "ratelimit" in name.lower()]


@pytest.mark.parametrize(("service", "status"), [("openai", 429), ("vllm", 503)])
async def test_too_many_at_a_time_are_refused(service: str, status: int) -> None:
    """The second of two at once finds the place taken, and a later one finds it free."""
    async with limited(Limits(concurrent=1), Timing(0.05, 0)) as (_, wire):
        both = await asyncio.gather(wire.chat(service), wire.chat(service))
        later = await wire.chat(service)

    assert sorted(got.status for got in both) == [200, status]
    assert later.status == 200


async def test_limits_can_be_replaced(emulator: Emulator, wire: Wire) -> None:
    """Buckets start full again."""
    emulator.set_limits(Limits(requests_per_minute=1))
    statuses = [(await wire.chat("openai")).status for _ in range(2)]
    emulator.set_limits(None)

    assert statuses == [200, 429]
    assert (await wire.chat("openai")).status == 200


def test_limits_are_parsed_from_a_command_line() -> None:
    """Short names, commas, blanks."""
    parsed = parse_limits("rpm=500, tpm=200000,concurrent=8")

    assert parsed == Limits(requests_per_minute=500, tokens_per_minute=200_000, concurrent=8)
    assert parse_limits("") == Limits()


@pytest.mark.parametrize(
    ("text", "words"),
    [("speed=1", "unknown word 'speed'"), ("rpm=0", "1 or more"), ("rpm=x", "got 'x'"), ("rpm", "got ''")],
)
def test_bad_limits_are_named(text: str, words: str) -> None:
    """The error says which word and what would be right."""
    with pytest.raises(ValueError, match=words):
        parse_limits(text)


def test_limits_are_positive() -> None:
    """Zero would be a switch, not a limit."""
    with pytest.raises(ValueError, match=r"Limits\.concurrent: expected an integer of 1 or more, got 0"):
        Limits(concurrent=0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.012, "12ms"), (7.66, "7.66s"), (360, "6m0s"), (179.56, "2m59.56s"), (3600, "1h0m0s")],
)
def test_go_durations_look_like_the_services(seconds: float, text: str) -> None:
    """The examples of the API references."""
    assert go_duration(seconds) == text


def test_moments_are_rounded_up_or_exact() -> None:
    """Anthropic's have whole seconds, Ollama's have microseconds."""
    assert rfc3339(0.2) == "1970-01-01T00:00:01Z"
    assert iso_micros(0.5) == "1970-01-01T00:00:00.500000Z"


@pytest.mark.parametrize(
    ("form", "headers", "seconds"),
    [
        ("seconds", {"retry-after": "1"}, 1),
        ("float", {"retry-after": "0.3"}, 0.3),
        ("ms", {"retry-after-ms": "300"}, 0.3),
        ("both", {"retry-after": "1", "retry-after-ms": "300"}, 0.3),
        ("date", {"retry-after": "Thu, 01 Jan 1970 00:00:11 GMT"}, 0.5),
        ("bare", {}, None),
    ],
)
def test_waits_are_told_in_many_forms(form: str, headers: dict[str, str], seconds: float | None) -> None:
    """What is promised is what a client that reads the header exactly would wait."""
    wait = wait_headers(form, 0.3, now=10.5)

    assert wait.headers == headers
    assert wait.seconds == pytest.approx(seconds)
