"""ASYNCAPI_* variables: generated from the structs, checked one by one."""

from __future__ import annotations

import pytest

from asyncapi.config import (
    AIMD,
    Batch,
    Breaker,
    Endpoint,
    Fixed,
    Profile,
    Resolved,
    Retry,
    Timeout,
    resolve,
    unknown_variables,
)
from asyncapi.config.environment import WORDS, scope
from asyncapi.errors import ConfigError
from asyncapi.types.wire import Service


def made(service: Service, name: str | None = None, **environment: str) -> Resolved:
    endpoint = Endpoint("openai", name=name, keys=("a",))
    return resolve(endpoint, service, profile="balanced", environment=environment)


def test_every_field_of_every_section_has_a_word() -> None:
    """A field added to a struct gets its variable by itself."""
    sections = {"RETRY": Retry, "BREAKER": Breaker, "BATCH": Batch, "TIMEOUT": Timeout}
    fields = {
        f"{word}_{field.upper()}" for word, struct in sections.items() for field in struct.__struct_fields__
    }
    scalars = {"LIMIT", "TIMEOUT", "QUEUE_SIZE", "STRICT", "REQUESTS_PER_SECOND", "ON_OPEN", "KEYS_STRATEGY"}
    scalars |= {"HEDGE", "SHED"}
    fields |= {"LIMIT_INITIAL", "LIMIT_MAXIMUM", "LIMIT_MINIMUM"}

    assert WORDS.keys() == fields | scalars
    assert {name.upper() for name in Profile.__struct_fields__} <= {
        word.split("_")[0] for word in WORDS
    } | scalars


def test_variables_reach_their_fields(openai: Service) -> None:
    """One of each type."""
    resolved = made(
        openai,
        ASYNCAPI_LIMIT=" 20 ",
        ASYNCAPI_QUEUE_SIZE="7",
        ASYNCAPI_STRICT="yes",
        ASYNCAPI_ON_OPEN="wait",
        ASYNCAPI_TIMEOUT="30",
        ASYNCAPI_TIMEOUT_CONNECT="None",
        ASYNCAPI_RETRY_ATTEMPTS="7",
        ASYNCAPI_BREAKER_RESET_AFTER="12.5",
        ASYNCAPI_BREAKER_ENABLED="off",
        ASYNCAPI_BATCH_SIZE="3",
        ASYNCAPI_REQUESTS_PER_SECOND="2.5",
    )

    assert (resolved.limit, resolved.queue_size, resolved.strict) == (Fixed(20), 7, True)
    assert (resolved.on_open, resolved.requests_per_second) == ("wait", 2.5)
    assert resolved.timeout == Timeout(total=30.0, connect=None)
    assert resolved.retry == Retry(attempts=7)
    assert resolved.breaker == Breaker(reset_after=12.5, enabled=False)
    assert resolved.batch == Batch(size=3)


def test_the_long_word_wins_over_the_short_one(openai: Service) -> None:
    """TIMEOUT is TIMEOUT_TOTAL; the more exact one counts."""
    resolved = made(openai, ASYNCAPI_TIMEOUT_TOTAL="5", ASYNCAPI_TIMEOUT="30")

    assert resolved.timeout == Timeout(total=5.0)


def test_one_endpoint_wins_over_all(openai: Service) -> None:
    """Signs in the endpoint's name become one underscore."""
    environment = {"ASYNCAPI_LIMIT": "2", "ASYNCAPI_OPENAI_MAIN__LIMIT": "3"}

    assert made(openai, "openai--main.", **environment).limit == Fixed(3)
    assert made(openai, "other", **environment).limit == Fixed(2)
    assert made(openai, "日本", **environment).limit == Fixed(2)
    assert (scope("a-b"), scope("日本")) == ("ASYNCAPI_A_B__", "")


def test_blank_counts_as_not_set(openai: Service) -> None:
    """As CI systems leave variables behind."""
    assert made(openai, ASYNCAPI_LIMIT="", ASYNCAPI_PROFILE=" ").limit == Fixed(5)


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("ASYNCAPI_LIMIT", "many", 'expected "adaptive" or an integer of 1 or more, got "many"'),
        ("ASYNCAPI_LIMIT", "0", 'expected "adaptive" or an integer of 1 or more, got "0"'),
        ("ASYNCAPI_LIMIT", "none", 'expected "adaptive" or an integer of 1 or more, got "none"'),
        ("ASYNCAPI_QUEUE_SIZE", "none", 'expected an integer of 0 or more, got "none"'),
        ("ASYNCAPI_QUEUE_SIZE", "null", 'expected an integer of 0 or more, got "null"'),
        ("ASYNCAPI_TIMEOUT", "nan", 'expected a number of seconds above 0 or none, got "nan"'),
        ("ASYNCAPI_OPENAI__TIMEOUT_IDLE", "-1", 'expected a number of seconds above 0 or none, got "-1"'),
        ("ASYNCAPI_STRICT", "maybe", 'expected true or false, got "maybe"'),
        ("ASYNCAPI_ON_OPEN", "stop", 'expected one of "fail", "wait", got "stop"'),
        (
            "ASYNCAPI_LIMIT",
            "sk-hidden",
            'expected "adaptive" or an integer of 1 or more, got a string of 9 characters',
        ),
        ("ASYNCAPI_OPENAI__LIMT", "3", 'no setting is called "LIMT"; did you mean "LIMIT"?'),
        ("ASYNCAPI_OPENAI__XYZ", "3", 'no setting is called "XYZ"; Known: BASE_URL,'),
    ],
)
def test_a_wrong_value_names_its_variable(openai: Service, variable: str, value: str, message: str) -> None:
    """The variable, what was expected, what it got."""
    with pytest.raises(ConfigError) as caught:
        made(openai, **{variable: value})

    assert str(caught.value).startswith(f"{variable}: {message}")


def test_variables_that_set_nothing_can_be_listed() -> None:
    """For doctor; no error, as others may use the prefix."""
    environment = dict.fromkeys(
        [
            "ASYNCAPI_LIMIT",
            "ASYNCAPI_PROFILE",
            "ASYNCAPI_CONFIG",
            "ASYNCAPI_OPENAI__BASE_URL",
            "ASYNCAPI_OPENAI__LIMIT",
            "ASYNCAPI_BASE_URL",
            "ASYNCAPI_OPNAI__LIMIT",
            "ASYNCAPI_LIMT",
            "PATH",
        ],
        "1",
    )

    assert unknown_variables(environment, ["openai", "日本"]) == (
        "ASYNCAPI_BASE_URL",
        "ASYNCAPI_LIMT",
        "ASYNCAPI_OPNAI__LIMIT",
    )


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"ASYNCAPI_LIMIT": "adaptive"}, AIMD()),
        ({"ASYNCAPI_LIMIT_MAXIMUM": "99"}, AIMD(maximum=99)),
        ({"ASYNCAPI_LIMIT": "adaptive", "ASYNCAPI_LIMIT_INITIAL": "2"}, AIMD(initial=2)),
        ({"ASYNCAPI_LIMIT": "7", "ASYNCAPI_OPENAI__LIMIT": "adaptive"}, AIMD()),
        ({"ASYNCAPI_LIMIT": "adaptive", "ASYNCAPI_OPENAI__LIMIT": "7"}, Fixed(7)),
    ],
)
def test_a_limit_that_learns_is_one_word_away(
    openai: Service, variables: dict[str, str], expected: object
) -> None:
    """The kind of limit follows from the word."""
    assert made(openai, **variables).limit == expected
