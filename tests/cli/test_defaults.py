"""What a command wants of its endpoints, below everything that somebody said."""

from collections.abc import Mapping
from typing import Any, cast

import pytest

from asyncapi.abc import ServiceBackend
from asyncapi.backends import get_backend
from asyncapi.cli.defaults import BULK_PROFILE, with_defaults
from asyncapi.config import AIMD, Endpoint, Fixed, Resolved, Settings, read, resolve

KEY = {"OPENAI_API_KEY": "sk-any"}


def resolved(
    table: Mapping[str, Any] | None = None, environment: Mapping[str, str] | None = None, **options: Any
) -> Resolved:
    """The settings of openai, in a file or not, in a run of 64 calls at a time."""
    file = {} if table is None else {"endpoints": {"openai": {"backend": "openai", **table}}}
    settings = read(file) if file else Settings()
    given: dict[str, Any] = {"in_flight": 64, "emulated": False, "profile": None} | options
    variables = with_defaults(settings, KEY | dict(environment or {}), **given)
    [endpoint] = settings.endpoints or (Endpoint("openai"),)
    service = cast(ServiceBackend, get_backend("openai")).service
    return resolve(endpoint, service, profile=given["profile"] or BULK_PROFILE, environment=variables)


@pytest.mark.parametrize("table", [None, {}])
def test_a_bulk_run_wants_calls_in_flight_and_a_breaker_that_comes_back_soon(
    table: Mapping[str, Any] | None,
) -> None:
    """With a file or without."""
    found = resolved(table)

    assert found.limit == Fixed(64)
    assert (found.breaker.reset_after, found.breaker.reset_maximum) == (2.0, 60.0)
    assert (found.breaker.failure_threshold, found.breaker.minimum_calls, found.breaker.window) == (
        21,
        32,
        128,
    )
    assert resolved(table, in_flight=4).breaker.failure_threshold == 5
    assert found.timeout.first_byte == 300.0
    assert found.on_open == "wait"


@pytest.mark.parametrize(
    ("table", "environment"),
    [
        ({"breaker": {"reset_after": 90.0}}, {}),
        ({}, {"ASYNCAPI_BREAKER_RESET_AFTER": "90"}),
        (None, {"ASYNCAPI_OPENAI__BREAKER_RESET_AFTER": "90"}),
    ],
)
def test_a_reset_time_of_the_users_stays(
    table: Mapping[str, Any] | None, environment: Mapping[str, str]
) -> None:
    """With the longest one that belongs to it."""
    breaker = resolved(table, environment).breaker

    assert (breaker.reset_after, breaker.reset_maximum) == (90.0, 120.0)


@pytest.mark.parametrize(
    ("table", "options"), [({}, {"profile": BULK_PROFILE}), ({"profile": BULK_PROFILE}, {})]
)
def test_a_profile_of_the_users_keeps_its_breaker(table: Mapping[str, Any], options: Any) -> None:
    """It was chosen for what it is."""
    assert resolved(table, **options).breaker.reset_after == 15.0


def test_a_limit_of_the_users_stays() -> None:
    """Wherever it was set."""
    assert resolved({"limit": 3}).limit == Fixed(3)
    assert resolved({}, {"ASYNCAPI_LIMIT": "4"}).limit == Fixed(4)
    assert resolved({}, {"ASYNCAPI_LIMIT_MAXIMUM": "9"}).limit == AIMD(maximum=9)
    assert resolved({"limit": {"kind": "aimd", "maximum": 9}}).limit == AIMD(maximum=9)
    assert resolved({"timeout": 7.0}).timeout.first_byte == 300.0


def test_an_emulator_is_not_waited_for_long() -> None:
    """Whatever the command."""
    timeout = resolved(in_flight=None, emulated=True).timeout

    assert (timeout.first_byte, timeout.idle) == (5.0, 5.0)


def test_a_name_that_no_variable_can_be_for() -> None:
    """Is left alone."""
    settings = Settings((Endpoint("openai", name="—"),))

    assert with_defaults(settings, {}, in_flight=1, emulated=False, profile=None) == {}
