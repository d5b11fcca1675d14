"""The demo from its first to its last second."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import cast

import click

from asyncapi.abc import ServiceBackend
from asyncapi.backends import BACKENDS, get_backend
from asyncapi.cli.demo.account import account
from asyncapi.cli.demo.errands import ERRANDS
from asyncapi.cli.demo.report import page
from asyncapi.cli.demo.scenes import ROUTES, demo_emulator, demo_endpoints, play
from asyncapi.cli.demo.view import View, new_view
from asyncapi.cli.demo.watch import Watch
from asyncapi.cli.demo.work import Work
from asyncapi.client import Client
from asyncapi.emulator import Emulator
from asyncapi.errors import ConfigError

__all__ = ["tour"]

_FRAME = 0.1


async def tour(*, seed: int, seconds: float, report: Path | None) -> int:
    """Run the demo and tell its account; 1 when the counts don't agree.

    Args:
        seed: For answers, faults and traffic.
        seconds: How long new work comes; what is under way is finished after that.
        report: Where to write the page; None for nowhere.
    """
    loop = asyncio.get_running_loop()
    # In its debug mode (-X dev) asyncio logs what took the loop more than 0.1 s: drawing and loading do
    # then, and anything on a busy machine. Into the picture goes none of it; every warning still comes.
    loop.slow_callback_duration = math.inf
    watch = Watch(loop.time)
    async with demo_emulator(seed) as emulator:
        operations = _operations(emulator)
        endpoints = demo_endpoints(emulator, tuple(operations))
        async with Client(endpoints, routes=ROUTES, hooks=[watch], log=False, seed=seed) as client:
            await _warm_up(client, watch)
            work = Work(client, operations, seed)
            with new_view(watch, client, work.ledger, seconds) as view:
                await _perform(work, emulator, client, watch, view, seconds)
            found = account(work.ledger, client.statistics(), emulator.counts(), watch.moved)
    view.conclude(found)
    if report is not None:
        _write(report, page(found, watch, seed))
    return 0 if found.balanced else 1


async def _warm_up(client: Client, watch: Watch) -> None:
    """Let botocore read its description of S3 before the curtain rises: signing a URL sends nothing."""
    await client.objects("s3_kit:bucket").presign("nothing")
    client.reset_statistics()
    watch.begin()


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"can't write the report to {path}: {error.strerror}") from error
    click.echo(f"The report with plots: {path}")


async def _perform(
    work: Work, emulator: Emulator, client: Client, watch: Watch, view: View, seconds: float
) -> None:
    """Traffic, troubles and picture side by side, until the traffic has ended."""

    async def draw() -> None:
        while True:
            watch.sample(client.statistics())
            view.draw()
            await asyncio.sleep(_FRAME)

    async with asyncio.TaskGroup() as group:
        picture = group.create_task(draw())
        group.create_task(play(emulator, client, seconds, lambda text: _tell(watch, view, text)))
        await work.run(seconds)
        picture.cancel()
    watch.sample(client.statistics())


def _tell(watch: Watch, view: View, text: str) -> None:
    watch.scene(text)
    view.scene(text)


def _operations(emulator: Emulator) -> dict[str, frozenset[str]]:
    """What each service offers that both sides speak."""
    shown = {"chat", "object", *(errand.operation for errand in ERRANDS)}
    services = {
        name: cast(ServiceBackend, get_backend(name)).service.operations & shown
        for name in BACKENDS
        if name in emulator.base_urls
    }
    return {name: offered for name, offered in services.items() if offered}
