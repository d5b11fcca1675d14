"""What may be sent twice, when it is late, and how many copies there are in all."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import asyncapi
from asyncapi import Hedge
from asyncapi.policies.hedging import MOST_KINDS, HedgeBudget, Quantiles, Times, quantile_of, repeatable

EMBED = asyncapi.EmbedRequest(model="m", inputs=("a",))
CHAT = asyncapi.ChatRequest(model="m", messages=(asyncapi.Message("user", "q"),))
STREAM = asyncapi.ChatRequest(model="m", messages=CHAT.messages, stream=True)


def stored(action: str) -> asyncapi.ObjectRequest:
    """A request to an object store."""
    return asyncapi.ObjectRequest(model="bucket", action=action, key="k")


@pytest.mark.parametrize(
    ("request_", "said", "may"),
    [
        (EMBED, None, True),
        (EMBED, False, False),
        (asyncapi.SparseEmbedRequest(model="m", inputs=("a",)), None, True),
        (asyncapi.RerankRequest(model="m", query="q", documents=("a",)), None, True),
        (asyncapi.ScoreRequest(model="m", query="q", documents=("a",)), None, True),
        (asyncapi.ClassifyRequest(model="m", inputs=("a",)), None, True),
        (asyncapi.TokenizeRequest(model="m", inputs=("a",)), None, True),
        (asyncapi.ModerateRequest(model="m", inputs=("a",)), None, True),
        (asyncapi.InferRequest(model="m", inputs={}), None, True),
        (asyncapi.ModelsRequest(), None, True),
        (asyncapi.CountTokensRequest(model="m", messages=CHAT.messages), None, True),
        (stored("get"), None, True),
        (stored("head"), None, True),
        (stored("list"), None, True),
        (stored("put"), None, False),
        (stored("put"), True, True),
        (stored("delete"), None, False),
        (stored("part"), None, False),
        (CHAT, None, False),
        (CHAT, True, True),
        (STREAM, None, False),
        (asyncapi.RespondRequest(model="m", messages=CHAT.messages), None, False),
        (asyncapi.CompleteRequest(model="m", prompts=("a",)), None, False),
        (asyncapi.NativeRequest(model="m", action="pull"), None, False),
        (asyncapi.ImageRequest(model="m", prompt="a"), None, False),
        (asyncapi.SpeechRequest(model="m", text="a", voice="b"), None, False),
        (asyncapi.TranscribeRequest(model="m", audio=b""), None, False),
    ],
    ids=lambda value: getattr(value, "operation", str(value)) + getattr(value, "action", ""),
)
def test_what_only_reads_may_be_sent_twice(request_: asyncapi.Request, said: bool | None, may: bool) -> None:
    """The rest only when its caller says so; and nothing when its caller says no."""
    assert repeatable(request_, said) == may


def test_a_budget_begins_empty_and_saves_a_little() -> None:
    """Fifty calls are worth one copy, a thousand quiet ones ten."""
    budget = HedgeBudget(0.02)
    left = []
    for _ in range(50):
        left.append(budget.left)
        budget.deposit()
    assert (any(left), budget.left) == (False, True)
    for _ in range(10_000):
        budget.deposit()
    copies = 0
    while budget.left:
        budget.withdraw()
        copies += 1

    assert copies == 10


@settings(deadline=None, derandomize=True, max_examples=100)
@given(share=st.floats(0.001, 1.0), wanted=st.lists(st.booleans(), max_size=500))
def test_copies_are_never_more_than_their_share(share: float, wanted: list[bool]) -> None:
    """At any moment of any run."""
    budget, copies = HedgeBudget(share), 0
    for calls, late in enumerate(wanted, 1):
        budget.deposit()
        if late and budget.left:
            budget.withdraw()
            copies += 1
        assert copies <= share * calls + 1e-6


@settings(deadline=None, derandomize=True, max_examples=200)
@given(
    samples=st.lists(st.floats(0.0, 100.0), min_size=1, max_size=60),
    window=st.integers(1, 20),
    share=st.sampled_from([0.5, 0.75, 0.9, 0.95, 0.99]),
)
def test_quantiles_are_those_of_the_latest_samples(samples: list[float], window: int, share: float) -> None:
    """As sorting them anew would give them."""
    quantiles = Quantiles(window)
    for sample in samples:
        quantiles.add(sample)
    latest = sorted(samples[-window:])
    found = quantiles.at(share)

    assert len(quantiles) == len(latest)
    assert found in latest
    assert sum(sample <= found for sample in latest) >= share * len(latest)
    assert sum(sample < found for sample in latest) <= share * len(latest)


def test_a_quantile_follows_a_service_that_changes() -> None:
    """After two hundred answers nothing of the old is left."""
    random, quantiles = Random(1), Quantiles()
    for _ in range(1000):
        quantiles.add(random.uniform(0.1, 0.2))
    assert 0.19 < quantiles.at(0.95) < 0.2
    for _ in range(200):
        quantiles.add(random.uniform(1.0, 2.0))

    assert 1.9 < quantiles.at(0.95) < 2.0


def test_times_are_apart_for_operations_models_and_streams() -> None:
    """A stream's first token is sooner than a whole answer, and one model faster than another."""
    times = Times()
    for request, seconds in ((EMBED, 0.1), (CHAT, 5.0), (STREAM, 0.5)):
        for _ in range(50):
            times.add(request, seconds)

    assert [times.at(r, 0.95, 50) for r in (EMBED, CHAT, STREAM)] == [0.1, 5.0, 0.5]
    assert times.at(EMBED, 0.95, 51) is None
    assert times.at(asyncapi.EmbedRequest(model="other", inputs=("a",)), 0.95, 1) is None


def test_memory_is_bounded_whatever_models_are_asked() -> None:
    """Models beyond the first 64 have no times, and so no copies after a quantile."""
    times = Times()
    requests = [asyncapi.EmbedRequest(model=str(i), inputs=("a",)) for i in range(1000)]
    for request in requests:
        times.add(request, 1.0)

    assert sum(times.at(request, 0.5, 1) is not None for request in requests) == MOST_KINDS


@pytest.mark.parametrize(
    ("after", "share"), [("p50", 0.5), ("p95", 0.95), ("p99", 0.99), (1.5, None), (2, None)]
)
def test_after_is_a_quantile_or_a_time(after: str | float, share: float | None) -> None:
    """In words, or in seconds."""
    assert quantile_of(Hedge(after=after)) == share  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"after": "p42"}, "hedge.after: expected"),
        ({"after": 0}, "hedge.after: expected"),
        ({"budget": 0}, "hedge.budget: expected a share above 0"),
        ({"budget": 1.5}, "hedge.budget: expected a share above 0"),
        ({"minimum": 0}, "hedge.minimum: expected an integer"),
    ],
)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, object], message: str) -> None:
    """Said where, and what would be."""
    with pytest.raises(asyncapi.ConfigError, match=message):
        Hedge(**wrong)  # type: ignore[arg-type]
