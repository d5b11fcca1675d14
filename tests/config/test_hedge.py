"""Hedging in Python, in TOML and in the environment, with the same words."""

from __future__ import annotations

import pytest

from asyncapi import ConfigError, Endpoint, Hedge, Route
from asyncapi.backends import get_backend
from asyncapi.config import read, resolve

KEY = {"OPENAI_API_KEY": "sk-abc"}


def resolved(endpoint: Endpoint, environment: dict[str, str] | None = None) -> Hedge | None:
    """What an endpoint has in the end."""
    service = get_backend("openai").service  # type: ignore[attr-defined]
    return resolve(endpoint, service, profile="balanced", environment=KEY | (environment or {})).hedge


@pytest.mark.parametrize(
    ("given", "hedge"),
    [
        (None, None),
        (False, None),
        (True, Hedge()),
        (Hedge(after=2), Hedge(after=2.0)),
    ],
)
def test_off_unless_it_is_asked_for(given: Hedge | bool | None, hedge: Hedge | None) -> None:
    """True is the usual settings."""
    assert resolved(Endpoint("openai", hedge=given)) == hedge


@pytest.mark.parametrize(("text", "hedge"), [("true", Hedge()), ("false", None), ("none", None)])
def test_the_environment_switches_it(text: str, hedge: Hedge | None) -> None:
    """On or off; the numbers are for Python and TOML."""
    assert resolved(Endpoint("openai"), {"ASYNCAPI_HEDGE": text}) == hedge


def test_python_wins_over_the_file() -> None:
    """Also to switch it off."""
    tables = {"endpoints": {"openai": {"backend": "openai", "hedge": {"after": "p90", "budget": 0.05}}}}
    (endpoint,) = read(tables).endpoints

    assert resolved(endpoint) == Hedge(after="p90", budget=0.05)
    assert resolved(endpoint, {"ASYNCAPI_HEDGE": "false"}) is None


def test_routes_have_it_too() -> None:
    """In a table of the route."""
    tables = {"routes": {"r": {"targets": ["openai:m"], "hedge": True, "outliers": {"consecutive": 3}}}}
    route = read(tables).routes["r"]

    assert isinstance(route, Route)
    assert route.hedge is True
    assert route.outliers is not None
    assert route.outliers.consecutive == 3


@pytest.mark.parametrize(
    ("hedge", "message"),
    [
        (
            {"after": "p42"},
            r"endpoints.openai.hedge.after: expected one of .* or a number of seconds",
        ),
        ({"afer": 2}, 'endpoints.openai.hedge.afer: unknown key; did you mean "after"'),
        ("fast", "endpoints.openai.hedge: expected a Hedge table or true or false"),
    ],
)
def test_mistakes_are_named_with_their_place(hedge: object, message: str) -> None:
    """File, path, and what would be accepted."""
    with pytest.raises(ConfigError, match=message):
        read({"endpoints": {"openai": {"backend": "openai", "hedge": hedge}}})


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"maximum": 10.0}, "outliers.maximum: expected at least outliers.base"),
        ({"share": 0}, "outliers.share: expected a share above 0"),
        ({"consecutive": 0}, "outliers.consecutive: expected an integer of 1 or more"),
    ],
)
def test_outliers_that_cannot_be_are_refused(rules: dict[str, object], message: str) -> None:
    """As every setting."""
    with pytest.raises(ConfigError, match=message):
        read({"routes": {"r": {"targets": ["openai:m"], "outliers": rules}}})
