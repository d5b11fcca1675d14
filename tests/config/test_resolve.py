"""From an endpoint as written to one with every value concrete."""

from __future__ import annotations

import msgspec
import pytest

from asyncapi.config import (
    AIMD,
    Batch,
    Breaker,
    Endpoint,
    Fixed,
    Key,
    KeyPool,
    Resolved,
    ResolvedKey,
    Retry,
    Timeout,
    profile,
    read,
    resolve,
)
from asyncapi.errors import ConfigError, MissingKeyError
from asyncapi.types.wire import Service

KEY = {"OPENAI_API_KEY": "sk-env"}


def made(endpoint: Endpoint, service: Service, **environment: str) -> Resolved:
    return resolve(endpoint, service, profile="balanced", environment=KEY | environment)


def refusal(endpoint: Endpoint, service: Service, **environment: str) -> str:
    with pytest.raises(ConfigError) as caught:
        made(endpoint, service, **environment)
    return str(caught.value)


def from_file(**fields: object) -> Endpoint:
    return read({"endpoints": {"main": {"backend": "openai", **fields}}}).endpoints[0]


def test_without_a_word_everything_is_the_profiles(openai: Service) -> None:
    """Name, URL and keys come from the service and the environment."""
    resolved = made(Endpoint("openai"), openai)
    balanced = profile("balanced")

    assert (resolved.name, resolved.backend, resolved.profile) == ("openai", "openai", "balanced")
    assert resolved.base_url == "https://api.openai.com/v1"
    assert resolved.keys == (ResolvedKey(name="OPENAI_API_KEY", secret="sk-env"),)
    assert (resolved.strategy, resolved.strict, resolved.requests_per_second) == ("round_robin", False, None)
    assert (resolved.limit, resolved.queue_size, resolved.retry) == (Fixed(5), 100, balanced.retry)
    assert (resolved.breaker, resolved.batch, resolved.timeout) == (Breaker(), Batch(), Timeout())
    assert (resolved.headers, resolved.on_open) == ({}, "fail")


def test_short_forms_are_expanded(openai: Service) -> None:
    """A number is a limit or a total timeout; the other timeouts are the profile's."""
    endpoint = Endpoint("openai", limit=20, timeout=2.0, keys=("sk-a",), profile="high-reliability")

    resolved = made(endpoint, openai)

    assert resolved.limit == Fixed(20)
    assert resolved.timeout == Timeout(total=2.0, connect=10.0, idle=120.0)
    assert resolved.keys == (ResolvedKey(name="key-1", secret="sk-a"),)
    assert (resolved.profile, resolved.on_open) == ("high-reliability", "wait")


def test_python_wins_over_environment_over_toml_over_profile(openai: Service) -> None:
    """Value by value: one table may come from four sources."""
    loaded = from_file(retry={"attempts": 7, "cap": 30}, queue_size=7, timeout={"connect": 7, "idle": 7})
    changed = msgspec.structs.replace(loaded, timeout=3.0)

    resolved = made(
        changed,
        openai,
        ASYNCAPI_RETRY_ATTEMPTS="8",
        ASYNCAPI_QUEUE_SIZE="8",
        ASYNCAPI_TIMEOUT="8",
        ASYNCAPI_TIMEOUT_IDLE="8",
        ASYNCAPI_MAIN__QUEUE_SIZE="9",
    )

    assert resolved.retry == Retry(attempts=8, cap=30)
    assert resolved.queue_size == 9
    assert resolved.timeout == Timeout(total=3.0, connect=7.0, idle=8.0)


def test_a_struct_in_python_is_explicit_as_a_whole(openai: Service) -> None:
    """Retry(attempts=7) says every retry value, so neither variables nor the profile change them."""
    endpoint = Endpoint("openai", retry=Retry(attempts=7), on_open="fail", profile="high-reliability")

    resolved = made(endpoint, openai, ASYNCAPI_RETRY_BASE="1")

    assert resolved.retry == Retry(attempts=7)
    assert resolved.on_open == "fail"


def test_a_file_follows_a_profile_chosen_later(openai: Service) -> None:
    """What the file left out comes from the profile in force, not from the one at reading."""
    loaded = from_file(retry={"attempts": 7})

    resolved = made(loaded, openai, ASYNCAPI_PROFILE="high-reliability")

    assert resolved.retry == Retry(attempts=7, cap=60.0, budget=0.5, reserve=50)


@pytest.mark.parametrize(
    ("endpoint", "environment", "chosen"),
    [
        (Endpoint("openai"), {}, "balanced"),
        (Endpoint("openai"), {"ASYNCAPI_PROFILE": "low-resource"}, "low-resource"),
        (
            Endpoint("openai"),
            {"ASYNCAPI_PROFILE": "low-resource", "ASYNCAPI_OPENAI__PROFILE": "high-throughput"},
            "high-throughput",
        ),
        (
            Endpoint("openai", profile="high-reliability"),
            {"ASYNCAPI_OPENAI__PROFILE": "low-resource"},
            "high-reliability",
        ),
        (from_file(profile="high-reliability"), {}, "high-reliability"),
        (from_file(profile="high-reliability"), {"ASYNCAPI_PROFILE": "low-resource"}, "low-resource"),
    ],
)
def test_the_profile_follows_the_same_order(
    openai: Service, endpoint: Endpoint, environment: dict[str, str], chosen: str
) -> None:
    """Python, the endpoint's variable, everyone's variable, TOML, the client's."""
    assert made(endpoint, openai, **environment).profile == chosen


def test_the_address_follows_the_same_order(openai: Service, tgi: Service) -> None:
    """Python, the endpoint's variable, TOML, the service's variables, its usual address."""
    ours, sdk = {"ASYNCAPI_OPENAI__BASE_URL": "http://ours/"}, {"OPENAI_API_BASE": "http://sdk//"}
    written = from_file(base_url="http://file/v1/")

    assert made(Endpoint("openai", base_url="http://python/"), openai, **ours).base_url == "http://python"
    assert made(Endpoint("openai"), openai, **ours, **sdk).base_url == "http://ours"
    assert made(written, openai, ASYNCAPI_MAIN__BASE_URL="http://ours").base_url == "http://ours"
    assert made(written, openai, **sdk).base_url == "http://file/v1"
    assert made(Endpoint("openai"), openai, **sdk).base_url == "http://sdk"
    assert made(Endpoint("hf_tgi", name="日本"), tgi, TGI_URL="http://tgi").base_url == "http://tgi"


def test_a_service_without_an_address_says_what_to_set(tgi: Service) -> None:
    """Two remedies, or one when it has no variable."""
    bare = Service(name="mine", operations=frozenset(), needs_key=False)

    assert refusal(Endpoint("hf_tgi"), tgi) == (
        "hf_tgi has no address of its own; set TGI_URL, or give Endpoint.base_url [endpoint hf_tgi]"
    )
    assert refusal(Endpoint("mine"), bare).startswith(
        "mine has no address of its own; give Endpoint.base_url"
    )


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("localhost:8000", "must start with http:// or https://"),
        ("ftp://host", "must start with http:// or https://"),
        ("https://user:hidden@host", "holds credentials"),
        ("user:hidden@host", "holds credentials"),
        ("https://host/v1?key=hidden", "must have no query"),
        ("https://host/#hidden", "must have no query"),
        ("https://", "names no host"),
        ("https://host:hidden", "is no URL"),
        ("https://[hidden", "is no URL"),
        ("https://ho st", "has a space"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_unseen(openai: Service, url: str, problem: str) -> None:
    """From Python and from a variable; whatever secret it holds is not repeated."""
    with pytest.raises(ConfigError) as caught:
        Endpoint("openai", base_url=url)
    said = refusal(Endpoint("openai"), openai, OPENAI_BASE_URL=url)

    assert f"endpoint.base_url: {problem}" in str(caught.value)
    assert said.startswith(f"OPENAI_BASE_URL: {problem}")
    assert "hidden" not in said + str(caught.value)


def test_numbered_keys_are_all_taken_in_numeric_order(openai: Service) -> None:
    """NAME, NAME_2, NAME_10 of every name; gaps are fine, blanks don't count, copies are dropped."""
    resolved = made(
        Endpoint("openai"),
        openai,
        OPENAI_API_KEY_10="sk-10",
        OPENAI_API_KEY_2="sk-2",
        OPENAI_API_KEY_3="",
        OPENAI_API_KEY_4="sk-2",
        OPENAI_API_KEY_X="no",
        OAI_KEY="sk-oai",
        OAI_KEY_1="sk-env",
    )

    assert [(key.name, key.secret) for key in resolved.keys] == [
        ("OPENAI_API_KEY", "sk-env"),
        ("OPENAI_API_KEY_2", "sk-2"),
        ("OPENAI_API_KEY_10", "sk-10"),
        ("OAI_KEY", "sk-oai"),
    ]


def test_keys_keep_what_was_said_of_them(openai: Service) -> None:
    """Name, weight, rate and users; the pool's strategy is the endpoint's."""
    pool = KeyPool(
        (Key(env="A", weight=2, requests_per_minute=60, users=("ann",)), Key("sk-b"), Key("sk-c", name="c")),
        strategy="weighted",
    )

    resolved = made(Endpoint("openai", keys=pool), openai, A="sk-a")

    assert resolved.strategy == "weighted"
    assert resolved.keys == (
        ResolvedKey(name="A", secret="sk-a", weight=2.0, requests_per_minute=60.0, users=("ann",)),
        ResolvedKey(name="key-2", secret="sk-b"),
        ResolvedKey(name="c", secret="sk-c"),
    )


def test_an_empty_pool_chooses_among_the_keys_of_the_environment(openai: Service) -> None:
    """keys = { strategy = ... } alone is enough."""
    resolved = made(Endpoint("openai", keys=KeyPool(strategy="least_loaded")), openai)

    assert (resolved.strategy, len(resolved.keys)) == ("least_loaded", 1)


def test_the_strategy_of_a_file_yields_to_the_environment(openai: Service) -> None:
    """As every value does."""
    loaded = from_file(keys={"strategy": "weighted"})

    assert made(loaded, openai).strategy == "weighted"
    assert made(loaded, openai, ASYNCAPI_KEYS_STRATEGY="least_loaded").strategy == "least_loaded"


def test_no_keys_means_none_where_none_is_needed(tgi: Service) -> None:
    """keys=() ignores what the environment holds."""
    environment = {"HF_TOKEN": "hf-a", "TGI_URL": "http://tgi"}

    assert len(made(Endpoint("hf_tgi"), tgi, **environment).keys) == 1
    assert made(Endpoint("hf_tgi", keys=()), tgi, **environment).keys == ()


@pytest.mark.parametrize(
    ("keys", "environment", "message"),
    [
        (
            None,
            {"OPENAI_API_KEY": ""},
            "looked for OPENAI_API_KEY, OPENAI_API_KEY_1 to OPENAI_API_KEY_n, OAI_KEY",
        ),
        (None, {"OPENAI_API_KEY": " "}, "(OPENAI_API_KEY is set but empty); export one of them"),
        ((), {}, "openai needs an API key, and keys is empty"),
        ((Key(env="A"),), {}, "keys: the variable A is not set; export it"),
        ((Key(env="A"),), {"A": "\t"}, "keys: the variable A is set but empty"),
    ],
)
def test_a_missing_key_names_the_variables(
    openai: Service, keys: tuple[Key, ...] | None, environment: dict[str, str], message: str
) -> None:
    """What was looked for, and what was wrong with it."""
    with pytest.raises(MissingKeyError) as caught:
        made(Endpoint("openai", keys=keys), openai, **environment)

    assert message in str(caught.value)
    assert caught.value.endpoint == "openai"


def test_a_service_without_key_variables_asks_for_keys() -> None:
    """There is no name to suggest."""
    service = Service(name="mine", operations=frozenset(), base_url="http://mine")

    assert "mine needs an API key; give one in keys" in refusal(Endpoint("mine"), service)


@pytest.mark.parametrize("secret", ["hid den", "hidden\n", "hidden\r\nX: y", "hiddén", "hid\x00den"])
def test_a_key_that_cannot_be_one_names_its_variable_only(openai: Service, secret: str) -> None:
    """A line end copied along is found here, not as a 401."""
    said = refusal(Endpoint("openai"), openai, OPENAI_API_KEY_2=secret)

    assert said.startswith("keys: the value of OPENAI_API_KEY_2 has a ")
    assert "hid" not in said


def test_two_keys_of_one_name_are_refused(openai: Service) -> None:
    """Statistics could not tell them apart."""
    endpoint = Endpoint("openai", keys=(Key("a", name="x"), Key("b", name="x")))

    assert "keys: two are named x" in refusal(endpoint, openai)


def test_errors_of_a_loaded_endpoint_name_its_place(openai: Service) -> None:
    """File and table."""
    said = refusal(from_file(keys=[{"env": "NOPE"}]), openai)

    assert said.startswith("asyncapi.toml: endpoints.main: keys: the variable NOPE is not set")


def test_values_that_do_not_fit_together_name_the_variables(openai: Service) -> None:
    """Each alone was fine: the message says which were set."""
    said = refusal(Endpoint("openai"), openai, ASYNCAPI_RETRY_BASE="50", ASYNCAPI_OPENAI__RETRY_CAP="40")

    assert said.startswith(
        "retry.cap: expected at least retry.base (50.0), got 40.0 (set: ASYNCAPI_RETRY_BASE, "
    )


def test_a_later_profile_may_not_fit_a_file(openai: Service) -> None:
    """No variable to blame: none is named."""
    loaded = from_file(retry={"base": 50}, profile="high-reliability")

    assert made(loaded, openai).retry.base == 50
    assert "(set:" not in refusal(loaded, openai, ASYNCAPI_PROFILE="balanced")


def test_unknown_profiles_name_their_source(openai: Service) -> None:
    """The variable, or the endpoint."""
    by_variable = refusal(Endpoint("openai"), openai, ASYNCAPI_PROFILE="fast")

    assert by_variable.startswith('ASYNCAPI_PROFILE: unknown profile "fast"')
    assert refusal(Endpoint("openai", profile="fast"), openai).startswith('unknown profile "fast"')


def test_reprs_hide_secrets_and_header_values(openai: Service) -> None:
    """Printing what was resolved is safe."""
    resolved = made(Endpoint("openai", headers={"X-Token": "hidden"}, keys=("hidden",)), openai)

    assert "hidden" not in repr(resolved) + str(resolved.__rich_repr__()) + str(
        resolved.keys[0].__rich_repr__()
    )
    assert "secret='***'" in repr(resolved)
    assert resolved.headers == {"X-Token": "hidden"}


def test_another_kind_of_limit_replaces_the_one_below_whole(openai: Service) -> None:
    """Only tables of the same kind are merged."""
    loaded = from_file(limit={"kind": "aimd", "initial": 3, "maximum": 9})

    assert made(loaded, openai).limit == AIMD(initial=3, maximum=9)
    assert made(loaded, openai, ASYNCAPI_LIMIT_MAXIMUM="8").limit == AIMD(initial=3, maximum=8)
    assert made(loaded, openai, ASYNCAPI_LIMIT="6").limit == Fixed(6)
    assert made(msgspec.structs.replace(loaded, limit=7), openai).limit == Fixed(7)
    assert made(msgspec.structs.replace(loaded, limit="adaptive"), openai).limit == AIMD(initial=3, maximum=9)
    assert made(Endpoint("openai", limit="adaptive"), openai).limit == AIMD()
    assert made(Endpoint("openai", limit=AIMD(maximum=7)), openai, ASYNCAPI_LIMIT="6").limit == AIMD(
        maximum=7
    )


def test_a_paced_endpoint_needs_a_place_to_wait(openai: Service) -> None:
    """Every call of it waits for its moment in the queue: without a place none would ever go."""
    with pytest.raises(ConfigError, match=r"queue_size: expected 1 or more with requests_per_second, got 0"):
        made(Endpoint("openai", queue_size=0, requests_per_second=5.0), openai, **KEY)
