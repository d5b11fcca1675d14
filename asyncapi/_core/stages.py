"""The stations of a call in order. Events, statistics, metrics and docs use these words."""

from __future__ import annotations

__all__ = ["STAGES"]

STAGES = (
    "cache",  # above flight because an answer that is there needs no company
    "flight",  # above route because those who ask the same want one answer, from whichever target
    "route",  # above batch because only calls for the same endpoint can travel together
    "batch",  # above queue because gathered calls take one place and one lease together
    "hedge",  # above queue because a copy takes a lease of its own; below batch as it copies a whole one
    "queue",  # above limit because who goes next is decided before whether one may go
    "limit",  # above breaker because a permit is the commonest thing to wait for and the cheapest to test
    "breaker",  # above rate because an open breaker must not spend rate on calls that won't be sent
    "rate",  # above key because an endpoint that cools down makes every key wait
    "key",  # last of the lease because choosing one counts it in flight
    "transport",  # only a lease may send
    "decode",  # above verdict because an answer that can't be read is a failure
    "verdict",  # above stats because one verdict feeds breaker, limit, key and retry alike
    "stats",  # the end: every call is counted exactly once
)
