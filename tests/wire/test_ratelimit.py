"""When to come back, in every form that services use."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncapi.wire.ratelimit import delay, duration, retry_after

NOW = 1795402000.0  # 2026-11-23 02:46:40 UTC
DATE = {"date": "Mon, 23 Nov 2026 02:46:40 GMT"}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        (" 12 ", 12.0),
        ("-3", 0.0),
        ("6m0s", 360.0),
        ("1h0m0s", 3600.0),
        ("12ms", 0.012),
        ("59.7s", 59.7),
        ("2m59.56s", 179.56),
        ("45.837906927s", 45.837906927),
        ("-1.5s", 0.0),
        ("Mon, 23 Nov 2026 02:46:50 GMT", 10.0),
        ("Mon, 23 Nov 2026 02:46:30 GMT", 0.0),
        ("2026-11-23T02:46:50Z", 10.0),
        ("2026-11-23T02:46:50.5+00:00", 10.5),
        ("2026-11-23T02:46:50", 10.0),
        ("1795402030", 30.0),
        ("1795402030500", 30.5),
        ("nan", None),
        ("inf", None),
        ("1e999", None),
        ("-", None),
        ("soon", None),
        ("5 parsecs", None),
        ("", None),
        ("Mon, 99 Nov 2026 99:99:99 GMT", None),
    ],
)
def test_a_delay_is_read_in_every_form(text: str, seconds: float | None) -> None:
    """Seconds, durations, dates and Unix times; the past is 0, garbage is nothing."""
    assert delay(text, NOW) == pytest.approx(seconds) if seconds is not None else delay(text, NOW) is None


@pytest.mark.parametrize(
    ("headers", "body", "message", "seconds"),
    [
        ({"retry-after-ms": "1500", "retry-after": "9"}, None, "", 1.5),
        ({"Retry-After": "7"}, None, "try again in 3s", 7.0),
        ({"retry-after-ms": "nan", "retry-after": "8"}, None, "", 8.0),
        ({"retry-after-ms": "x"}, None, "", None),
        ({**DATE, "retry-after": "Mon, 23 Nov 2026 02:47:00 GMT"}, None, "", 20.0),
        ({"date": "garbage", "retry-after": "Mon, 23 Nov 2026 02:46:41 GMT"}, None, "", 1.0),
        ({}, {"error": {"details": [{}, {"retryDelay": "45.8s"}]}}, "", 45.8),
        ({}, [{"error": {"details": [{"retryDelay": "3s"}]}}], "", 3.0),
        ({}, {"error": {"details": "none"}}, "Please retry in 45.8s.", 45.8),
        (
            {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "7.66s"},
            None,
            "try again in 1s",
            7.66,
        ),
        ({"x-ratelimit-remaining-tokens": "5", "x-ratelimit-reset-tokens": "7.66s"}, None, "", None),
        (
            {
                **DATE,
                "anthropic-ratelimit-requests-remaining": "0",
                "anthropic-ratelimit-requests-reset": "2026-11-23T02:47:40Z",
            },
            None,
            "",
            60.0,
        ),
        ({}, None, "Rate limit reached. Please try again in 7.66s. Visit", 7.66),
        ({}, None, "Please try again in 2m59.56s", 179.56),
        ({}, None, "retry after 20 seconds", 20.0),
        ({}, None, "wait 1 minute and 5 seconds", 65.0),
        ({}, None, "try again in 350ms", 0.35),
        ({}, None, "try again in 250 milliseconds", 0.25),
        ({}, None, "try again later, or wait 2 hours", 7200.0),
        ({}, None, "try again later", None),
    ],
)
def test_the_best_source_of_a_delay_wins(
    headers: dict[str, str], body: Any, message: str, seconds: float | None
) -> None:
    """Milliseconds, Retry-After, RetryInfo, exhausted limits, and prose last."""
    found = retry_after(headers, body, message, now=NOW)

    assert found == (None if seconds is None else pytest.approx(seconds))


def test_without_any_clock_the_wall_clock_counts() -> None:
    """A date in the past is 0 whatever the clock says."""
    assert retry_after({"retry-after": "Mon, 23 Nov 2020 03:00:00 GMT"}) == 0.0


@given(st.text(max_size=40), st.text(max_size=80))
def test_any_text_gives_a_finite_delay_or_none(value: str, message: str) -> None:
    """Never an exception, never NaN, never negative."""
    for found in (
        retry_after({"retry-after": value, "date": value}, value, f"try again in {message}", now=NOW),
        delay(value, NOW),
        duration(value),
    ):
        assert found is None or (math.isfinite(found) and found >= 0)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"X-RateLimit-Remaining-Requests": "0", "X-RateLimit-Reset-Requests": "2m59.56s"}, 179.56),
        ({"x-ratelimit-remaining-requests": "1", "x-ratelimit-reset-requests": "2m59.56s"}, None),
        (
            {
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": "1s",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "7.66s",
            },
            7.66,
        ),
        ({"x-ratelimit-remaining-tokens": "none", "x-ratelimit-reset-tokens": "7.66s"}, None),
        (
            {
                "date": "Thu, 21 Aug 2025 12:40:45 GMT",
                "anthropic-ratelimit-input-tokens-remaining": "0",
                "anthropic-ratelimit-input-tokens-reset": "2025-08-21T12:41:00Z",
            },
            15.0,
        ),
    ],
)
def test_limits_that_are_used_up_say_when_to_come_back(
    headers: dict[str, str], seconds: float | None
) -> None:
    """The last of them; those of Anthropic are read against the reply's date."""
    assert retry_after(headers, now=NOW) == (seconds if seconds is None else pytest.approx(seconds))
