"""Options that several commands share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click
import msgspec

__all__ = ["Where", "client_options"]


class Where(msgspec.Struct, frozen=True, kw_only=True):
    """Which services a command talks to: configured ones, or the emulator's."""

    config: str | None = None
    profile: str | None = None
    emulate: bool = False
    faults: str | None = None
    limits: str | None = None
    seed: int = 0


_OPTIONS = (
    click.option(
        "--config", metavar="FILE", help="Settings; default $ASYNCAPI_CONFIG, then ./asyncapi.toml."
    ),
    click.option(
        "--profile", metavar="NAME", help="balanced, high-throughput, high-reliability, low-resource."
    ),
    click.option("--emulate", is_flag=True, help="Talk to an emulator in this process: no key, no cost."),
    click.option(
        "--faults", metavar="SPEC", help="Its faults, such as rate=0.1,kinds=500+429_seconds; or all."
    ),
    click.option("--limits", metavar="SPEC", help="Its rate limits, such as rpm=500,tpm=90000."),
    click.option("--seed", type=int, default=0, help="Its seed: the same seed gives the same answers."),
)


def client_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--config``, ``--profile``, ``--emulate`` and its options; the command gets them as ``where``."""

    @functools.wraps(command)
    def gathered(**values: Any) -> Any:
        where = Where(**{name: values.pop(name) for name in Where.__struct_fields__})
        return command(where=where, **values)

    wrapped: Callable[..., Any] = gathered
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped
