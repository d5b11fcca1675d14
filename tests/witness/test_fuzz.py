"""A little of the fuzzing in every run; ``nox -s fuzz`` does it by the hundred thousand."""

from __future__ import annotations

import asyncio
import functools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncapi.backends import known_backends
from asyncapi.errors import AsyncAPIError

from .corpus import Case, record
from .fuzz import Fuzzer


@functools.cache
def cases_of(service: str) -> tuple[Case, ...]:
    """The good answers of a service."""
    return tuple(asyncio.run(record(service)))


@pytest.mark.slow
@pytest.mark.parametrize("service", known_backends())
def test_damaged_answers_are_right_answers_or_our_errors(service: str) -> None:
    """Whatever is lost, doubled or changed on the way; cut ones are never taken for whole."""
    fuzzer = Fuzzer(service, cases_of(service), seed=1)
    fuzzer.run(1000)

    assert not fuzzer.findings
    assert fuzzer.seen["damaged: an answer"]
    assert fuzzer.seen["damaged: an error"]


@pytest.mark.slow
@given(st.sampled_from(known_backends()), st.integers(0, 2**64))
@settings(max_examples=100, deadline=None)
def test_any_seed_finds_nothing(service: str, seed: int) -> None:
    """The same with other seeds in every run."""
    fuzzer = Fuzzer(service, cases_of(service), seed)
    fuzzer.run(10)

    assert not fuzzer.findings


@pytest.mark.slow
@pytest.mark.parametrize("service", known_backends())
def test_the_undamaged_answers_are_answers(service: str) -> None:
    """What is damaged above is good before."""
    cases = cases_of(service)
    fuzzer = Fuzzer(service, cases)

    wrong = [
        f"{case.title}: {answer}"
        for case, answer in zip(cases, fuzzer.whole, strict=True)
        if isinstance(answer, AsyncAPIError) != (case.kind == "error")
    ]
    assert not wrong
