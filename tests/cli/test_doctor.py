"""doctor: what is installed, configured, found and reachable."""

import importlib.machinery
import importlib.metadata
import importlib.util
import json
from pathlib import Path

import pytest

from asyncapi.cli import doctor
from asyncapi.errors import ConnectError, ServerError

from .conftest import Run


def test_says_what_is_found_and_what_to_set(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of variables, never their values."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    monkeypatch.setenv("OPENAI_API_KEY_2", "sk-other-secret")
    ran = run("doctor")

    assert ran.code == 0
    assert "found   openai   2 keys, https://api.openai.com/v1 (OPENAI_API_KEY, OPENAI_API_KEY_2)" in ran.out
    assert "missing groq     set GROQ_API_KEY" in ran.out
    assert "aiohttp 3." in ran.out
    assert "secret" not in ran.out + ran.err


def test_as_json(run: Run) -> None:
    """For a program."""
    report = json.loads(run("doctor", "--json").out)

    assert report["problems"] == []
    assert report["config"] is None
    assert {row["service"] for row in report["services"]} >= {"openai", "claude", "ollama"}
    assert report["ping"] == []


def test_wrong_settings_are_told_beside_the_rest(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And end with 2."""
    (tmp_path / "asyncapi.toml").write_text('[endpoints.x]\nbackend = "openai"\nlimit = "many"\n')
    monkeypatch.setenv("ASYNCAPI_NIX", "1")
    ran = run("doctor")

    assert ran.code == 2
    assert "problem: asyncapi.toml: endpoints.x.limit: expected" in ran.out
    assert "problem: ASYNCAPI_NIX sets nothing" in ran.out
    assert "services in the environment" in ran.out


def test_wrong_variables_are_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a service."""
    monkeypatch.setenv("OLLAMA_BASE_URL", "no url at all")
    ran = run("doctor")

    assert ran.code == 2
    assert "wrong   ollama   OLLAMA_BASE_URL:" in ran.out


def test_the_endpoints_of_a_file(run: Run, tmp_path: Path) -> None:
    """By their names."""
    (tmp_path / "asyncapi.toml").write_text('[endpoints.main]\nbackend = "openai"\n')

    assert "endpoints of the file: main" in run("doctor").out


def test_ping_asks_every_endpoint(run: Run) -> None:
    """Emulated ones here; a service without a list of models is not asked."""
    ran = run("doctor", "--ping", "--emulate")
    lines = {line.split()[1]: line for line in ran.out.partition("answers:")[2].splitlines() if line.strip()}

    assert ran.code == 0
    assert "models" in lines["openai"]
    assert lines["openai"].split()[0] == "ok"


def test_ping_without_endpoints(run: Run) -> None:
    """Nothing to ask is no failure."""
    ran = run("doctor", "--ping")

    assert ran.code == 0
    assert "no endpoint to ask" in ran.out


def test_ping_of_a_dead_address(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is a failure."""
    monkeypatch.setenv("OLLAMA_HOST", "http://127.0.0.1:9")
    monkeypatch.setenv("ASYNCAPI_RETRY_ATTEMPTS", "1")
    ran = run("doctor", "--ping", "--timeout", "2")

    assert ran.code == 1
    assert "failed ollama" in ran.out


@pytest.mark.parametrize(
    ("error", "words"),
    [(ServerError("down", status=500), "answers, with an error: down"), (ConnectError("no"), "no")],
)
async def test_what_a_failed_ping_says(error: Exception, words: str) -> None:
    """Whether anyone is there at all."""

    class Failing:
        async def models(self, *_: object, **__: object) -> None:
            raise error

    answer = await doctor._ask(Failing(), "x", 1.0)

    assert (answer.ok, answer.detail) == (False, words)


def test_notices_the_other_package_of_that_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Installed beside this one, or found instead of it."""
    assert doctor.clashes() == []
    real = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda n: "0.15" if n == "asyncapi" else real(n))
    elsewhere = importlib.machinery.ModuleSpec("asyncapi", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: elsewhere)
    found = doctor.clashes()

    assert "the PyPI package asyncapi 0.15 is installed too" in found[0]
    assert "import asyncapi finds" in found[1]
