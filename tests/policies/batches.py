"""What every test of a batching strategy needs."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import settings
from hypothesis import strategies as st

from asyncapi.errors import AsyncAPIError
from asyncapi.policies.batching import Batching
from asyncapi.types.requests import Request
from asyncapi.types.responses import Response
from asyncapi.types.usage import Usage

COUNTS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
PROPERTY = settings(deadline=None, derandomize=True, max_examples=60)

counts = st.one_of(st.none(), st.integers(0, 10_000))
usages = st.builds(Usage, input_tokens=counts, output_tokens=counts, source=st.just("reported"))


def answered(parts: Sequence[Response | AsyncAPIError]) -> list[Response]:
    """What was shared out, where nothing may have failed."""
    answers = [part for part in parts if isinstance(part, Response)]
    assert len(answers) == len(parts)
    return answers


def check_merged(strategy: Batching, merged: Request, requests: Sequence[Request]) -> None:
    """The sizes of the whole are those of its parts."""
    assert strategy.items(merged) == sum(map(strategy.items, requests))
    assert strategy.chars(merged) == sum(map(strategy.chars, requests))


def check_usage(whole: Usage, answers: Sequence[Response]) -> None:
    """No token is lost or invented."""
    for name in COUNTS:
        if (total := getattr(whole, name)) is not None:
            assert sum(getattr(answer.usage, name) for answer in answers) == total
