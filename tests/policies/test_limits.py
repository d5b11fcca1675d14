"""How many attempts may be in flight."""

from __future__ import annotations

import pytest

from asyncapi.config import Fixed
from asyncapi.policies.limits import FixedLimit, Limit
from asyncapi.policies.verdict import Verdict


@pytest.mark.parametrize("verdict", Verdict)
def test_a_fixed_limit_learns_nothing(verdict: Verdict) -> None:
    """Whatever the service answers, the number stays."""
    limit: Limit = FixedLimit(Fixed(7))
    for in_flight in range(20):
        limit.settle(verdict, in_flight=in_flight, started=0.0, now=1.0)

    assert limit.value == 7
