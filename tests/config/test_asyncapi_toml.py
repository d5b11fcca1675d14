"""asyncapi.toml: what it may hold, and what is said when it holds something else."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import hypothesis
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncapi.config import (
    AIMD,
    Breaker,
    Endpoint,
    Fixed,
    Key,
    KeyPool,
    Retry,
    Route,
    Settings,
    Timeout,
    find,
    load,
    read,
)
from asyncapi.errors import ConfigError

EXAMPLE = """
profile = "high-throughput"

[endpoints.openai-main]
backend = "openai"
limit   = { kind = "fixed", limit = 64 }
retry   = { attempts = 7 }
keys    = { strategy = "least_loaded", pool = [{ env = "KEY_A", weight = 2 }, { env = "KEY_B" }] }

[endpoints.local]
backend  = "vllm"
base_url = "http://localhost:8000/v1"
keys     = ["token", { env = "KEY_C" }]
limit    = 3
timeout  = 30
headers  = { X-Team = "blue" }
profile  = "low-resource"

[routes.smart]
targets = ["openai-main:gpt-5", "claude:claude-sonnet-5"]
"""


def wrong(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(tomllib.loads(text))
    return str(caught.value)


def test_a_file_gives_endpoints_profile_and_routes(tmp_path: Path) -> None:
    """The example of the documentation."""
    path = tmp_path / "asyncapi.toml"
    path.write_text(EXAMPLE)

    settings = load(path)

    main, local = settings.endpoints
    assert settings.profile == "high-throughput"
    assert settings.routes == {"smart": Route(("openai-main:gpt-5", "claude:claude-sonnet-5"))}
    assert (main.name, main.backend, main.limit) == ("openai-main", "openai", Fixed(64))
    assert main.keys == KeyPool((Key(env="KEY_A", weight=2), Key(env="KEY_B")), strategy="least_loaded")
    assert (local.limit, local.base_url, local.headers) == (
        Fixed(3),
        "http://localhost:8000/v1",
        {"X-Team": "blue"},
    )
    assert local.keys == (Key("token"), Key(env="KEY_C"))
    assert isinstance(main, Endpoint)


def test_partial_tables_are_filled_from_the_profile() -> None:
    """retry = { attempts = 7 } keeps the file's profile's base, cap, budget and reserve."""
    settings = read(tomllib.loads(EXAMPLE))

    assert settings.endpoints[0].retry == Retry(attempts=7, base=0.25, budget=0.1, reserve=50)
    assert settings.endpoints[1].timeout == Timeout(total=30.0)


def test_an_array_of_tables_does_as_well() -> None:
    """[[endpoints]] with or without a name."""
    settings = read(tomllib.loads('[[endpoints]]\nbackend="a"\n[[endpoints]]\nbackend="a"\nname="b"\n'))

    assert [endpoint.name for endpoint in settings.endpoints] == [None, "b"]


def test_an_empty_file_says_nothing() -> None:
    """Not an error: everything has a default."""
    assert read({}) == Settings()


@pytest.mark.parametrize("none", ['"none"', "inf"])
def test_no_limit_is_none_or_inf(none: str) -> None:
    """TOML has no null: the environment's word works here too."""
    settings = read(tomllib.loads(f'[endpoints.a]\nbackend="a"\ntimeout={{ connect={none}, total=5 }}'))
    short = read(tomllib.loads(f'[endpoints.a]\nbackend="a"\ntimeout={none}'))

    assert settings.endpoints[0].timeout == Timeout(total=5.0, connect=None)
    assert short.endpoints[0].timeout == Timeout(total=None)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('limit = { limit = "many" }', '.limit.limit: expected an integer of 1 or more, got "many"'),
        ('limit = "many"', '.limit: expected a Fixed table or an AIMD table or "adaptive" or an integer'),
        ('limit = { kind = "vegas" }', '.limit.kind: expected "fixed" or "aimd", got "vegas"'),
        ("limit = { kind = 5 }", '.limit.kind: expected "fixed" or "aimd", got 5'),
        ('limit = { kind = "aimd", limit = 5 }', ".limit.limit: unknown key; Known: initial, kind, maximum,"),
        ("limit = { limit = 5, maximum = 9 }", ".limit.maximum: unknown key; Known: kind, limit"),
        ('limit = { kind = "aimd", maximum = 3 }', ".limit.initial: expected 1 (limit.minimum) to 3"),
        ("limit = 2024-01-01", ".limit: expected a Fixed table or an AIMD table or"),
        ("retry = { atempts = 1 }", '.retry.atempts: unknown key; did you mean "attempts"? Known: attempts,'),
        ("retry = { base = 50 }", ".retry.cap: expected at least retry.base (50.0), got 20.0"),
        ("bacht = 3", '.bacht: unknown key; did you mean "batch"?'),
        ('batch = { size = "none" }', '.batch.size: expected an integer of 1 or more, got "none"'),
        ("requests_per_second = 0", ".requests_per_second: expected a number above 0, got 0"),
        ('base_url = "localhost"', ".base_url: must start with http:// or https://"),
        ('keys = "sk-hidden"', ".keys: expected a KeyPool table or an array of keys, got a string"),
        ("keys = [7]", ".keys[0]: expected a Key table or a string, got a number"),
        ('keys = [{ env = "A", weight = -1 }]', ".keys[0].weight: expected a number above 0, got -1"),
        ('keys = [{ env = "A", value = "B" }]', ".keys[0]: expected either a value or env, got both"),
        ("keys = [{ value = 5 }]", ".keys[0].value: expected a string, got a number"),
        ('keys = ["a", "b c"]', ".keys[1].value: has a space or a line break in it"),
        ('keys = { pool = [{ nv = "A" }] }', '.keys.pool[0].nv: unknown key; did you mean "env"?'),
        ('keys = [{ env = "A", users = [1] }]', ".keys[0].users[0]: expected a string, got 1"),
        ("headers = { a = 1 }", ".headers: expected a table of strings, got a table"),
        ('profile = "balancd"', '.profile: unknown profile "balancd"; did you mean "balanced"?'),
        ('name = "y"', ".name: the table's own name is the endpoint's"),
        ('"a b\\u0007" = 1', '."a b\\x07": unknown key'),
    ],
)
def test_what_is_wrong_in_an_endpoint_is_named_with_its_place(line: str, message: str) -> None:
    """File, path, expectation and value: nobody has to search."""
    said = wrong(f'[endpoints.main]\nbackend = "openai"\n{line}\n')

    assert said.startswith(f"asyncapi.toml: endpoints.main{message}")
    assert "hidden" not in said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[endpoints.main]", "endpoints.main: backend is missing; add backend = ... (a string)"),
        ('[endpoints."a:b"]\nbackend="c"', 'endpoints."a:b".name: expected a name without colon and spaces'),
        ("endpoints = 3", "endpoints: expected tables [endpoints.NAME], got 3"),
        ("endpoints = [3]", "endpoints[0]: expected a table, got 3"),
        ("[endpoints]\na = 3", "endpoints.a: expected a table, got 3"),
        ('[[endpoints]]\nbackend="a"\nlimit=0', "endpoints[0].limit: expected"),
        (
            '[[endpoints]]\nbackend="a"\n[[endpoints]]\nbackend="a"',
            "endpoints[1]: a second endpoint named a; give it a name of its own",
        ),
        ("profile = 3", "profile: expected a string, got 3"),
        ('profile = "x"', 'profile: unknown profile "x"; Known: balanced,'),
        ("endpoint = 3", 'endpoint: unknown key; did you mean "endpoints"?'),
        ("routes = 3", "routes: expected tables [routes.NAME], got 3"),
        ("[routes]\na = 3", "routes.a: expected a table with targets"),
        ("[routes.a]", "routes.a: targets is missing; add targets = ..."),
        ("[routes.a]\ntargets = []", "routes.a.targets: expected one target or more, got none"),
        ('[routes.a]\ntargets = ["b"]', 'routes.a.targets: expected "endpoint:model", got "b"'),
        ('[routes.a]\ntargets = "b:c"', 'routes.a.targets: expected an array of "endpoint:model", got "b:c"'),
        ('[routes."a:b"]\ntargets = ["c:d"]', 'routes."a:b": expected a name without a colon'),
    ],
)
def test_what_is_wrong_elsewhere_is_named_with_its_place(text: str, message: str) -> None:
    """Top level, routes, and the shape of the whole."""
    assert wrong(text).startswith(f"asyncapi.toml: {message}")


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    """Missing, a folder, not text, not TOML (with the line)."""
    binary, broken, huge = tmp_path / "binary", tmp_path / "broken", tmp_path / "huge"
    binary.write_bytes(b"\xff")
    broken.write_text('a = 1\nb = "x')
    huge.write_text("a = " + "1" * 5000)

    for path, message in [
        (tmp_path / "absent", "there is no such file"),
        (tmp_path, "can't be read"),
        (binary, "is not UTF-8 text (byte 0)"),
        (broken, "is not valid TOML: Unterminated string (at end of document)"),
        (huge, "is not valid TOML: holds a value that is too large"),
    ]:
        with pytest.raises(ConfigError) as caught:
            load(path)

        assert str(caught.value).startswith(f"{path}: {message}")


def test_syntax_errors_have_their_line(tmp_path: Path) -> None:
    """Line and column, as the parser saw them."""
    path = tmp_path / "asyncapi.toml"
    path.write_text("a = 1\nb = = 2")

    with pytest.raises(ConfigError, match="line 2, column 5"):
        load(path)


def test_find_looks_in_the_folder_and_at_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """$ASYNCAPI_CONFIG wins over the folder; nothing there is no error."""
    assert find(tmp_path, {}) is None

    here, other = tmp_path / "asyncapi.toml", tmp_path / "other.toml"
    here.touch()
    other.touch()
    assert find(tmp_path, {}) == here
    assert find(tmp_path, {"ASYNCAPI_CONFIG": str(other)}) == other

    monkeypatch.setenv("ASYNCAPI_CONFIG", str(other))
    assert find(tmp_path) == other


def test_find_refuses_a_variable_that_names_no_file(tmp_path: Path) -> None:
    """Falling back in silence would run with other settings than were asked for."""
    with pytest.raises(ConfigError, match="ASYNCAPI_CONFIG: there is no file"):
        find(tmp_path, {"ASYNCAPI_CONFIG": "/nowhere/x.toml"})


def test_a_loaded_endpoint_is_like_any_other() -> None:
    """It prints as an Endpoint, hides literal secrets, and can be changed with replace."""
    (endpoint,) = read({"endpoints": [{"backend": "openai", "keys": ["sk-hidden"], "limit": 3}]}).endpoints

    changed = msgspec.structs.replace(endpoint, keys=("sk-hidden-too",), breaker=Breaker(probes=2))

    assert repr(endpoint).startswith("Endpoint(backend='openai', keys=(Key('***'")
    assert "hidden" not in repr(changed)
    assert changed.breaker == Breaker(probes=2)


OTHERS = ["endpoints", "routes", "targets", "pool", "strategy", "kind", "total", "openai", "none", "a:b"]
WORDS = st.sampled_from([*OTHERS, *Endpoint.__struct_fields__, *Key.__struct_fields__])
SCALARS = st.one_of(
    st.booleans(),
    st.integers(),
    st.floats(),
    WORDS,
    st.text(max_size=8),
    st.just(date(2024, 1, 1)),
    st.just(10**400),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)
ENDPOINTS: st.SearchStrategy[dict[str, Any]] = st.dictionaries(WORDS, VALUES, max_size=5).map(
    lambda table: {"backend": "openai"} | table
)
FILES = st.one_of(
    st.dictionaries(WORDS, VALUES, max_size=4),
    st.builds(lambda e, r: {"endpoints": e, "routes": r}, st.lists(ENDPOINTS, max_size=2), VALUES),
    st.builds(lambda e: {"endpoints": e}, st.dictionaries(st.text(max_size=4), ENDPOINTS, max_size=2)),
)


def settings_or_error(make: Callable[[], Settings]) -> Settings | str:
    try:
        return make()
    except ConfigError as error:
        return str(error)


@pytest.mark.slow
@hypothesis.settings(deadline=None)
@given(FILES)
def test_any_data_gives_settings_or_a_config_error(data: dict[str, Any]) -> None:
    """Whatever nested data comes in, nothing else comes out."""
    outcome = settings_or_error(lambda: read(data))

    assert isinstance(outcome, Settings) or outcome.startswith("asyncapi.toml: ")


@pytest.mark.slow
@hypothesis.settings(deadline=None)
@given(st.text(max_size=60) | st.lists(st.sampled_from(EXAMPLE.splitlines())).map("\n".join))
def test_any_text_gives_settings_or_a_config_error(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    """Also before it is TOML."""
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_text(text, encoding="utf-8", errors="replace")

    outcome = settings_or_error(lambda: load(path))

    assert isinstance(outcome, Settings) or outcome.startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ('{ kind = "aimd", initial = 5, maximum = 64 }', AIMD(initial=5, maximum=64)),
        ('{ kind = "aimd" }', AIMD()),
        ("{ maximum = 99 }", AIMD(maximum=99)),
        ('"adaptive"', AIMD()),
        ('{ kind = "fixed", limit = 7 }', Fixed(7)),
        ("{ limit = 7 }", Fixed(7)),
        ("7", Fixed(7)),
    ],
)
def test_a_limit_is_of_one_of_two_kinds(written: str, expected: object) -> None:
    """Named, or told by the words that only one of them has."""
    settings = read(tomllib.loads(f'[endpoints.a]\nbackend = "a"\nlimit = {written}'))

    assert settings.endpoints[0].limit == expected
