"""doctor: what is installed, configured, found and reachable."""

import importlib.machinery
import importlib.metadata
import importlib.util
import json
from pathlib import Path

import pytest

from asyncapi.cli import doctor
from asyncapi.cli.emulated import fake_keys
from asyncapi.client import Client
from asyncapi.config import Endpoint, Key
from asyncapi.emulator import DIALECTS, Emulator
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


def test_ping_truly_asks_every_endpoint(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """For its models; where there is no list of them, for its health or for an object."""
    served: list[Emulator] = []
    start = Emulator.start

    async def noted(emulator: Emulator) -> None:
        served.append(emulator)
        await start(emulator)

    monkeypatch.setattr(Emulator, "start", noted)
    ran = run("doctor", "--ping", "--emulate")
    lines = {line.split()[1]: line for line in ran.out.partition("answers:")[2].splitlines() if line.strip()}

    assert (ran.code, ran.err) == (0, "")
    assert lines.keys() == DIALECTS.keys() == {record.service for record in served[0].records}
    assert all(line.split()[0] == "ok" for line in lines.values())
    assert "models" in lines["openai"]
    assert lines["opea"].endswith("is healthy")
    assert lines["s3_kit"].endswith("lists the bucket bucket")


def test_ping_of_a_bucket_that_is_not_there(run: Run) -> None:
    """Fails when it was named; the store itself answers when none was."""
    ran = run("doctor", "--ping", "--emulate", "--bucket", "nix")

    assert ran.code == 1
    assert "The specified bucket does not exist" in ran.out


async def test_ping_of_a_store_whose_buckets_are_not_known() -> None:
    """That it has no such bucket is an answer that only a good key gets."""
    async with Emulator(services=["s3_kit"]) as emulator:
        for keys, ok, words in (
            (fake_keys("s3_kit"), True, "answers; --bucket NAME looks into one"),
            ((Key("id:wrong"),), False, "The request signature we calculated does not match"),
        ):
            store = Endpoint("s3_kit", base_url=emulator.base_urls["s3_kit"], keys=keys)
            async with Client([store], log=False) as client:
                answer = await doctor._ask(client, "s3_kit", doctor._NO_BUCKET, 5.0)
            assert answer.ok is ok
            assert words in answer.detail


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

    answer = await doctor._ask(Failing(), "x", "bucket", 1.0)

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
