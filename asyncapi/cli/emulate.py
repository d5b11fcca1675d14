"""``asyncapi emulate``."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING

import click

from asyncapi.cli.options import Where

if TYPE_CHECKING:
    from asyncapi.emulator import Emulator

__all__ = ["command"]

_VARIABLES = {
    "openai": "OPENAI_BASE_URL",
    "groq": "GROQ_BASE_URL",
    "claude": "ANTHROPIC_BASE_URL",
    "ollama": "OLLAMA_HOST",
}


@click.command(
    "emulate",
    epilog="""\b
Examples:
  asyncapi emulate --port 8080
  asyncapi emulate --faults rate=0.1,kinds=429_seconds+500 --limits rpm=500,tpm=200000
Then, in another shell:
  OPENAI_API_KEY=any OPENAI_BASE_URL=http://127.0.0.1:8080/openai/v1 asyncapi chat openai:any "hello" """,
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="0, the default, takes a free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--faults", metavar="SPEC", help="Such as rate=0.1,kinds=500+429_seconds,outage=10:5.")
@click.option("--limits", metavar="SPEC", help="Such as rpm=500,tpm=200000,concurrent=8.")
@click.option("--seed", type=int, default=0, help="The same seed gives the same answers and faults.")
def command(port: int, host: str, faults: str | None, limits: str | None, seed: int) -> None:
    """Run pretend AI services until Ctrl-C: no model, no key, no cost.

    Any client in any language can use them at the printed addresses, with any key.
    """
    from asyncapi.cli.session import execute, new_emulator

    where = Where(faults=faults, limits=limits, seed=seed)
    execute(_serve(new_emulator(where, host=host, port=port)))


async def _serve(emulator: Emulator) -> None:
    from asyncapi.errors import ConfigError

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def end() -> None:
        stop.set()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)  # a second one ends it now

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end)
    try:
        await emulator.start()
    except OSError as error:
        raise ConfigError(f"can't listen on port {emulator.port}: {error.strerror or error}") from error
    async with contextlib.aclosing(emulator):
        _introduce(emulator)
        await stop.wait()
        counts = emulator.counts()
        click.echo(f"\n{counts.received} requests received{_listed(counts.by_service)}", err=True)


def _introduce(emulator: Emulator) -> None:
    width = max(map(len, emulator.base_urls))
    for name, url in emulator.base_urls.items():
        variable = f"  # {_VARIABLES[name]}" if name in _VARIABLES else ""
        click.echo(f"{name:<{width}}  {url}{variable}")
    urls = emulator.base_urls
    click.echo(
        "\nGive an SDK one of these as its base URL, with any key, for example:\n"
        f'  openai.OpenAI(api_key="any", base_url="{urls["openai"]}")\n'
        f"  OPENAI_API_KEY=any OPENAI_BASE_URL={urls['openai']} asyncapi chat openai:any hello\n"
        f"What it has received: {emulator.url}/__emulator__/stats. Ctrl-C ends it.",
        err=True,
    )


def _listed(counts: dict[str, int]) -> str:
    parts = [f"{name} {count}" for name, count in counts.items()]
    return f": {', '.join(parts)}" if parts else ""
