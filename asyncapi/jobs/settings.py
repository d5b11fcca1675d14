"""What a run is asked to do, and what it did."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from asyncapi.config import Price
from asyncapi.errors import ConfigError
from asyncapi.types.requests import Priority

__all__ = ["RunSettings", "Summary"]


class RunSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One bulk run.

    ``input`` is a path or "-" for standard input. Without ``prompt`` its lines are OpenAI Batch
    lines; with it they are any JSONL or CSV and ``prompt``, ``system`` and ``id`` are templates
    over their fields. ``model`` is "provider:model", or a route of the client, or "provider:" to
    complete the bare model names of Batch lines; empty takes the lines' own names. ``parameters`` go
    into every request, those that the normal form doesn't know into the service's body as they are.

    ``passes``: lines that fail with an error that may pass (see ``AsyncAPIError.retryable``) are
    tried again after the end of the file, until they have been tried ``passes`` times; only then
    is their failure written. ``retry_failed`` takes the failed lines out of the output and sends
    them again. Lines that make the same request as an earlier one are answered with its answer, unless
    ``ask_repeats``. ``overwrite`` throws away what is there. ``keep_going`` turns off the fuse that
    stops a run in which everything fails. ``prices`` (by model) say what was saved in money.

    Units: ``grace`` and ``timeout`` in seconds. ``grace`` is how long a stopped run waits for what
    is in flight; ``timeout`` bounds one item, waiting and retries included.
    """

    input: str
    output: Path
    model: str = ""
    prompt: str | None = None
    system: str | None = None
    id: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    parameters: Mapping[str, Any] = {}
    format: Literal["auto", "jsonl", "csv"] = "auto"
    concurrency: int = 64
    passes: int = 2
    retry_failed: bool = False
    overwrite: bool = False
    keep_going: bool = False
    ask_repeats: bool = False
    prices: Mapping[str, Price] = {}
    priority: Priority = Priority.NORMAL
    grace: float = 30.0
    timeout: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("concurrency", self.concurrency), ("passes", self.passes)):
            if value < 1:
                raise ConfigError(f"{name}: expected an integer of 1 or more, got {value!r}")
        if self.grace < 0:
            raise ConfigError(f"grace: expected seconds of 0 or more, got {self.grace!r}")
        if self.prompt is None and self.system is not None:
            raise ConfigError(
                "system: needs prompt; the lines of an OpenAI Batch file have their own messages"
            )
        if self.prompt is not None and (not self.model or self.model.endswith(":")):
            raise ConfigError("model: needed with prompt, as provider:model (such as openai:gpt-5-mini)")

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the requests: a run continues only where all of it is the same."""
        return {
            "model": self.model,
            "prompt": self.prompt,
            "system": self.system,
            "id": self.id,
            "max-tokens": self.max_tokens,
            "temperature": self.temperature,
            "param": dict(self.parameters),
            "format": self.format,
        }


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What a run did.

    ``rows`` are the lines of the input, blank ones left out. Every one of them is in exactly one of:
    ``succeeded`` and ``failed`` (this run's), ``done_before`` (in the output already), ``bad`` (can't
    be sent; in the output as failed), ``duplicates`` (of an earlier id; not sent), ``remaining`` (not
    done: run again to continue). ``failed_in_output`` counts failed lines of this run and earlier
    ones, bad lines included. ``lost`` are answers that arrived and could not be written to a full
    disk. ``stopped`` says why a run ended early by itself, ``interrupted`` that it was asked to.

    ``repeated`` are those of ``succeeded`` and ``failed`` that were not sent because an earlier line asks
    the same, ``cached`` those that the client's cache answered; the ``saved_`` tokens and money (of models
    that have a price) are what they did not take.

    Units: seconds.
    """

    rows: int = 0
    sent: int = 0
    succeeded: int = 0
    failed: int = 0
    done_before: int = 0
    bad: int = 0
    duplicates: int = 0
    remaining: int = 0
    failed_in_output: int = 0
    lost: int = 0
    repeated: int = 0
    cached: int = 0
    retries: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    saved_input_tokens: int = 0
    saved_output_tokens: int = 0
    saved_money: float | None = None
    wall_s: float = 0.0
    rate: float = 0.0
    latency_p50_s: float | None = None
    latency_p95_s: float | None = None
    interrupted: bool = False
    stopped: str = ""

    @property
    def complete(self) -> bool:
        """Whether every line of the input has its line in the output."""
        return not self.remaining

    @property
    def exit_code(self) -> int:
        """0 all done, 1 some items failed, 2 the run could not go on, 130 interrupted."""
        if self.stopped:
            return 2
        if self.interrupted:
            return 130
        return 1 if self.failed_in_output or self.remaining else 0
