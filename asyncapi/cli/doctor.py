"""``asyncapi doctor``."""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

import click
import msgspec

from asyncapi.cli.options import Where, client_options

__all__ = ["command"]

_LIBRARIES = (
    "aiohttp",
    "aiobotocore",
    "aiolimiter",
    "click",
    "msgspec",
    "orjson",
    "rich",
    "structlog",
    "uvloop",
)

#: A name that no bucket has, to ask a store for when the user names none.
_NO_BUCKET = "asyncapi-doctor-asks-for-no-bucket"


class Answer(msgspec.Struct, frozen=True):
    """What an endpoint said to a ping. Units: seconds."""

    endpoint: str
    ok: bool
    latency_s: float
    detail: str


@click.command(
    "doctor",
    epilog="""\b
Examples:
  asyncapi doctor
  asyncapi doctor --ping --json
  asyncapi doctor --ping --bucket backups""",
)
@click.option("--ping", is_flag=True, help="Ask each endpoint for its models or its health; costs nothing.")
@click.option("--bucket", metavar="NAME", help="Which one an object store is asked for.")
@click.option(
    "--timeout", type=click.FloatRange(0, min_open=True), default=10.0, show_default=True, help="Of a ping."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@client_options
def command(where: Where, ping: bool, bucket: str | None, timeout: float, as_json: bool) -> int:
    """Show what is installed, configured and found. Names of variables only, never their values."""
    from asyncapi.cli.session import execute

    report = _report(where)
    looked_for = bucket or ("bucket" if where.emulate else _NO_BUCKET)
    answers = execute(_ping(where, report["endpoints"], looked_for, timeout)) if ping else []
    report["ping"] = [msgspec.to_builtins(answer) for answer in answers]
    if as_json:
        click.echo(msgspec.json.encode(report).decode())
    else:
        _print(report, pinged=ping)
    bad = bool(report["problems"]) or any(service["problem"] for service in report["services"])
    return 2 if bad else 1 if any(not answer.ok for answer in answers) else 0


def _report(where: Where) -> dict[str, Any]:
    from asyncapi._version import __version__
    from asyncapi.backends import BACKENDS, get_backend
    from asyncapi.cli.session import settings_of
    from asyncapi.config import find, survey, unknown_variables

    services = [get_backend(name).service for name in sorted(BACKENDS)]  # type: ignore[attr-defined]
    found = survey(services, os.environ)
    problems = clashes()
    path, settings = where.config or find(), None
    try:
        settings = settings_of(where)
    except ValueError as error:  # a ConfigError; the rest of the report is still of use
        problems.append(str(error))
    configured = [endpoint.name or endpoint.backend for endpoint in settings.endpoints] if settings else []
    names = configured or [row.service for row in found if row.found or where.emulate]
    problems += [
        f"{name} sets nothing: no setting is called so" for name in unknown_variables(os.environ, names)
    ]
    return {
        "version": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "location": str(Path(__file__).parents[1]),
        "libraries": {name: _version(name) for name in _LIBRARIES},
        "config": str(path) if path else None,
        "configured": configured,
        "endpoints": names,
        "services": [msgspec.to_builtins(row) for row in found],
        "problems": problems,
    }


def clashes() -> list[str]:
    """Signs of the PyPI package ``asyncapi``, which owns the same import name: no two can be installed."""
    found = []
    foreign = _version("asyncapi")
    if foreign is not None:
        found.append(
            f"the PyPI package asyncapi {foreign} is installed too and overwrites this one: "
            "pip uninstall asyncapi, then pip install --force-reinstall asyncapi-inference"
        )
    spec = importlib.util.find_spec("asyncapi")
    origin = Path(spec.origin).parent if spec and spec.origin else None
    here = Path(__file__).parents[1]
    if origin is not None and origin.resolve() != here.resolve():
        found.append(f"import asyncapi finds {origin}, but this program is {here}")
    return found


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


async def _ping(where: Where, names: list[str], bucket: str, timeout: float) -> list[Answer]:
    from asyncapi.cli.session import open_client, settings_of

    if "s3_kit" in {*names, *(endpoint.backend for endpoint in settings_of(where).endpoints)}:
        pass
    async with open_client(where, names if where.emulate else ()) as client:
        return list(await asyncio.gather(*(_ask(client, name, bucket, timeout) for name in names)))


async def _ask(client: Any, name: str, bucket: str, timeout: float) -> Answer:
    """One endpoint's answer to the cheapest thing that it can be asked."""
    from asyncapi.errors import AsyncAPIError, ProviderError

    begun = time.perf_counter()
    try:
        ok, detail = True, await _asked(client, name, bucket, timeout)
    except ProviderError as error:
        ok, detail = False, f"answers, with an error: {error.message}"
    except AsyncAPIError as error:
        ok, detail = False, str(error)
    return Answer(name, ok, time.perf_counter() - begun, detail)


async def _asked(client: Any, name: str, bucket: str, timeout: float) -> str:
    """What it said: its models, or that it is well where it has no list of them."""
    from asyncapi.errors import UnsupportedOperationError

    try:
        return f"{len((await client.models(name, timeout=timeout)).models)} models"
    except UnsupportedOperationError:
        pass
    backend = client.statistics().endpoints[name].backend
    if backend == "s3_kit":
        return await _listed(client, name, bucket, timeout)
    await client.native(f"{name}:", "health", timeout=timeout)
    return "is healthy"


async def _listed(client: Any, name: str, bucket: str, timeout: float) -> str:
    """One page of one object. That there is no such bucket is told to those alone whose key is good."""
    from asyncapi.errors import NotFoundError

    try:
        await client.objects(f"{name}:{bucket}", timeout=timeout).page(size=1)
    except NotFoundError:
        if bucket != _NO_BUCKET:
            raise
        return "answers; --bucket NAME looks into one"
    return f"lists the bucket {bucket}"


def _print(report: dict[str, Any], *, pinged: bool) -> None:
    libraries = ", ".join(f"{name} {version or '-'}" for name, version in report["libraries"].items())
    click.echo(f"asyncapi-inference {report['version']} in {report['location']}")
    click.echo(f"python {report['python']} ({sys.executable}) on {report['platform']}")
    click.echo(f"with {libraries}")
    click.echo(f"settings: {report['config'] or 'no asyncapi.toml; the environment decides'}")
    if report["configured"]:
        click.echo(f"endpoints of the file: {', '.join(report['configured'])}")
    click.echo("\nservices in the environment:")
    for row in report["services"]:
        click.echo(f"  {_service(row)}")
    if pinged:
        click.echo("\nanswers:" if report["ping"] else "\nno endpoint to ask")
    for answer in report["ping"]:
        mark = click.style("ok    " if answer["ok"] else "failed", fg="green" if answer["ok"] else "red")
        click.echo(
            f"  {mark} {answer['endpoint']:<10} {answer['latency_s'] * 1000:6.0f} ms  {answer['detail']}"
        )
    for problem in report["problems"]:
        click.echo(click.style(f"\nproblem: {problem}", fg="red"))


def _service(row: dict[str, Any]) -> str:
    mark = click.style("found  ", fg="green") if row["found"] else click.style("missing", dim=True)
    if row["problem"]:
        mark = click.style("wrong  ", fg="red")
    keys = f"{row['keys']} key{'s' * (row['keys'] != 1)}, " if row["keys"] else ""
    told = f"{keys}{row['base_url']} ({', '.join(row['variables'])})" if row["variables"] else row["base_url"]
    return f"{mark} {row['service']:<8} {row['problem'] or (told if row['found'] else row['remedy'])}"
