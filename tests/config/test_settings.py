"""The frozen settings check themselves when they are made in Python."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

import asyncapi.config
from asyncapi.config import AIMD, Batch, Breaker, Endpoint, Fixed, Key, KeyPool, Retry, Timeout
from asyncapi.errors import ConfigError


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Fixed(0), "limit: expected an integer of 1 or more, got 0"),
        (lambda: Fixed(True), "limit: expected an integer of 1 or more, got true"),
        (lambda: Timeout(total=0), "timeout.total: expected a number of seconds above 0, got 0"),
        (lambda: Timeout(idle=math.nan), "timeout.idle: expected a number of seconds above 0, got a number"),
        (lambda: Retry(attempts=0), "retry.attempts: expected an integer of 1 or more, got 0"),
        (lambda: Retry(base=-1), "retry.base: expected a number of seconds of 0 or more, got -1"),
        (lambda: Retry(base=9, cap=3), "retry.cap: expected at least retry.base (9.0), got 3.0"),
        (lambda: Retry(budget=-0.1), "retry.budget: expected a share of 0 or more, got -0.1"),
        (lambda: Retry(reserve=-1), "retry.reserve: expected an integer of 0 or more, got -1"),
        (
            lambda: Breaker(failure_rate=1.5),
            "breaker.failure_rate: expected a share above 0, at most 1, got 1.5",
        ),
        (
            lambda: Breaker(reset_after=400),
            "breaker.reset_maximum: expected at least breaker.reset_after (400.0), got 300.0",
        ),
        (lambda: Batch(size=0), "batch.size: expected an integer of 1 or more, got 0"),
        (lambda: Key(), "key: expected either a value or env, got neither"),
        (lambda: Key("a", env="B"), "key: expected either a value or env, got both"),
        (lambda: Key("a", weight=0), "key.weight: expected a number above 0, got 0"),
        (lambda: KeyPool(strategy=_any("random")), "keys.strategy: expected one of"),
        (lambda: Endpoint("a:b"), 'endpoint.backend: expected a name without colon and spaces, got "a:b"'),
        (lambda: Endpoint("a", name=""), 'endpoint.name: expected a name without colon and spaces, got ""'),
        (
            lambda: Endpoint("a", queue_size=-1),
            "endpoint.queue_size: expected an integer of 0 or more, got -1",
        ),
        (
            lambda: Endpoint("a", requests_per_second=0),
            "endpoint.requests_per_second: expected a number above 0, got 0",
        ),
        (lambda: Endpoint("a", limit=0), "endpoint.limit: expected a Fixed table or an AIMD table or"),
        (
            lambda: AIMD(initial=9, maximum=8),
            "limit.initial: expected 1 (limit.minimum) to 8 (limit.maximum), got 9",
        ),
        (lambda: AIMD(initial=2, minimum=3), "limit.initial: expected 3 (limit.minimum) to 64"),
        (lambda: AIMD(minimum=0), "limit.minimum: expected an integer of 1 or more, got 0"),
        (lambda: Endpoint("a", on_open=_any("stop")), 'endpoint.on_open: expected one of "fail", "wait"'),
        (lambda: Endpoint("a", retry=_any(object())), "endpoint.retry: expected a Retry table, got a object"),
        (lambda: Endpoint("a", limit=_any(10**5000 * -1)), "got a number"),
        (lambda: Endpoint("a", headers={"b c": "d"}), "endpoint.headers: expected header names"),
        (
            lambda: Endpoint("a", headers={"b": "c\r\nd"}),
            "endpoint.headers.b: has a line break",
        ),
        (lambda: Endpoint("a", keys=("b c",)), "endpoint.keys[0].value: has a space or a line break in it"),
        (lambda: Endpoint("a", timeout=_any([1])), "got an array"),
        (lambda: Endpoint("a", strict=_any(None)), "got nothing"),
        (lambda: Endpoint("a", name=_any({"b": 1})), "got a table"),
    ],
)
def test_wrong_values_are_refused_with_place_expectation_and_value(
    make: Callable[[], object], message: str
) -> None:
    """Whatever is wrong, the message says where, what was expected, and what it got."""
    with pytest.raises(ConfigError) as caught:
        make()

    assert message in str(caught.value)


def _any(value: object) -> Any:
    return value


def test_what_was_given_is_kept_in_its_types() -> None:
    """Lists become tuples, bare strings keys, and a mapping changed later changes nothing."""
    headers = {"X-Team": "blue"}
    endpoint = Endpoint("openai", keys=_any(["sk-a", Key(env="B")]), timeout=2, headers=headers)
    headers["X-Team"] = "red"

    assert endpoint.keys == (Key("sk-a"), Key(env="B"))
    assert endpoint.timeout == 2.0
    assert endpoint.headers == {"X-Team": "blue"}


def test_an_infinite_timeout_is_none() -> None:
    """TOML can say inf but not None: both are no limit."""
    assert Timeout(total=math.inf) == Timeout(total=None)


def test_a_queue_may_hold_nothing() -> None:
    """queue_size=0 refuses every call that can't start at once, and is not taken for 'not given'."""
    assert "queue_size=0" in repr(Endpoint("openai", queue_size=0))


@pytest.mark.parametrize(
    "env", ["sk-abc", "A KEY", "1KEY", "gsk_abcdEFGH12345678", "deadbeef0123456789abcdef"]
)
def test_a_key_given_as_a_variable_name_is_refused_unseen(env: str) -> None:
    """The commonest slip, env="sk-...", neither passes nor is repeated."""
    with pytest.raises(ConfigError, match="name of an environment variable") as caught:
        Key(env=env)

    assert env not in str(caught.value)


@pytest.mark.parametrize(
    "env", ["OPENAI_API_KEY", "my_key", "_K2", "company_openai_api_key_1", "HF_TOKEN_12345"]
)
def test_ordinary_variable_names_pass(env: str) -> None:
    """Lower case and digits are fine in a variable's name."""
    assert Key(env=env).env == env


def test_a_key_is_not_named_after_its_secret() -> None:
    """Names are shown everywhere."""
    with pytest.raises(ConfigError, match=r"key\.name: holds the secret"):
        Key("abc", name="my-abc")


def test_a_key_of_spaces_is_empty() -> None:
    """Said as it is, not as a space inside."""
    with pytest.raises(ConfigError, match=r"key\.value: is empty"):
        Key(" ")


def test_reprs_hide_secrets() -> None:
    """Also for pretty printers, which ask __rich_repr__."""
    endpoint = Endpoint("openai", keys=("sk-hidden",), headers={"Authorization": "hidden"})

    assert repr(endpoint) == (
        "Endpoint(backend='openai', keys=(Key('***', weight=1.0, requests_per_minute=None),), "
        "headers={'Authorization': '***'})"
    )
    assert "hidden" not in str(endpoint.__rich_repr__())
    assert Key("sk-hidden").__rich_repr__() == [("env", "***"), ("name", "")]
    assert repr(Key(env="A", name="b")) == "Key(env='A', name='b', weight=1.0, requests_per_minute=None)"


def test_msgspec_reports_the_checks_with_their_path() -> None:
    """The structs can be decoded by msgspec directly: our errors become its own."""
    with pytest.raises(msgspec.ValidationError, match=r"retry\.cap.*\$\.retry"):
        msgspec.convert({"backend": "a", "retry": {"base": 50}}, Endpoint)


def test_all_is_what_is_public() -> None:
    """Every name in __all__ exists."""
    assert all(hasattr(asyncapi.config, name) for name in asyncapi.config.__all__)
