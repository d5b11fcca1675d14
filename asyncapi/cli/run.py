"""``asyncapi run``."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from asyncapi.cli.options import Where, client_options

if TYPE_CHECKING:
    from asyncapi.cli.rehearsal import Seen
    from asyncapi.jobs import Reporter, RunSettings, Stop, Summary

__all__ = ["command"]


@click.command(
    "run",
    epilog="""\b
Examples:
  asyncapi run batch.jsonl -o results.jsonl --model openai:gpt-5-mini
  asyncapi run questions.csv -o answers.jsonl --model claude:claude-sonnet-5 \\
      --prompt "Answer in one sentence: {question}" --id "{id}" --max-tokens 200
  zcat rows.jsonl.gz | asyncapi run - -o out.jsonl --model ollama:llama3.2 --prompt "{text}" --emulate

The same command again continues after any crash and sends nothing twice. Exit codes: 0 all
answered, 1 some items failed, 2 wrong usage or unable to go on, 130 interrupted.""",
)
@click.argument("input", metavar="IN")
@click.option("-o", "--output", required=True, metavar="OUT.jsonl", help="OpenAI Batch result lines.")
@click.option(
    "--model", default="", metavar="P:M", help="Or a route. For all lines; P: completes their bare names."
)
@click.option("--prompt", metavar="TEMPLATE", help="For lines that are no Batch lines: '{question}'.")
@click.option("--system", metavar="TEMPLATE", help="A system message, with fields too.")
@click.option("--id", "id_", metavar="TEMPLATE", help="The custom_id; default request-<line number>.")
@click.option("--max-tokens", type=click.IntRange(1), metavar="N", help="Of every answer.")
@click.option("--temperature", type=float, metavar="X", help="0 for the likeliest answers.")
@click.option("--param", multiple=True, metavar="KEY=JSON", help="Any other parameter; may be repeated.")
@click.option("--format", "form", type=click.Choice(["auto", "jsonl", "csv"]), default="auto", help="Of IN.")
@click.option("--concurrency", type=click.IntRange(1), default=64, show_default=True, help="Calls in flight.")
@click.option("--passes", type=click.IntRange(1), default=2, show_default=True, help="Tries over the file.")
@click.option("--timeout", type=click.FloatRange(0, min_open=True), metavar="SECONDS", help="For one item.")
@click.option(
    "--grace", type=click.FloatRange(0), default=30.0, show_default=True, help="After Ctrl-C, seconds."
)
@click.option(
    "--priority", type=click.Choice(["high", "normal", "low"]), default="normal", help="In the queue."
)
@click.option("--retry-failed", is_flag=True, help="Send the failed lines of OUT again.")
@click.option("--overwrite", is_flag=True, help="Throw away what is in OUT.")
@click.option("--keep-going", is_flag=True, help="Even when everything fails.")
@click.option("--ask-repeats", is_flag=True, help="Send a line that asks the same as an earlier one, too.")
@click.option("--cache", metavar="FILE", help="Answer from this cache, and keep answers in it (SQLite).")
@click.option("--quiet", is_flag=True, help="No progress, no notes.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as a JSON object to stdout.")
@client_options
def command(where: Where, quiet: bool, as_json: bool, cache: str | None, **options: Any) -> int:
    """Send every line of IN (JSONL or CSV, .gz too, - for standard input) and write the results.

    A line is an OpenAI Batch line (custom_id, method, url, body), or anything with fields that
    --prompt makes a question of.
    """
    from asyncapi.cli.session import execute, settings_of

    settings = _settings(prices=settings_of(where).prices, **options)
    summary, emulator = execute(_run(where, settings, cache, quiet=quiet))
    if as_json:
        click.echo(_as_json(summary, emulator))
    if not quiet:
        _tell(summary, emulator, settings)
    return summary.exit_code


def _settings(
    *, id_: str | None, param: tuple[str, ...], form: Any, output: str, priority: str, **options: Any
) -> RunSettings:
    from asyncapi.jobs import RunSettings
    from asyncapi.types.requests import Priority

    return RunSettings(
        id=id_,
        parameters=dict(_parameter(text) for text in param),
        format=form,
        output=Path(output),
        priority=Priority[priority.upper()],
        **options,
    )


def _parameter(text: str) -> tuple[str, Any]:
    """Name and value of "name=json"; what is no JSON is a text."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.BadParameter(f"expected KEY=JSON, such as top_p=0.9, got {text!r}", param_hint="--param")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


async def _run(
    where: Where, settings: RunSettings, cache: str | None, *, quiet: bool
) -> tuple[Summary, Seen | None]:
    from asyncapi import jobs
    from asyncapi.cli.emulated import EVERY_FAULT
    from asyncapi.cli.rehearsal import Rehearsal, seen
    from asyncapi.cli.reporters import new_reporter
    from asyncapi.cli.session import open_both, providers_of

    model, stop = settings.model, jobs.Stop()
    providers = providers_of(where, model) if model else []
    rehearsal = Rehearsal() if where.faults == EVERY_FAULT else None
    hooks = [rehearsal] if rehearsal is not None else []
    bulk = open_both(where, providers, hooks=hooks, in_flight=settings.concurrency, cache=cache)
    async with bulk as (client, emulator):
        reporter = new_reporter(client, quiet=quiet)
        if rehearsal is not None and emulator is not None:
            rehearsal.direct(emulator, reporter)
            reporter = rehearsal
        with _stopped_by_signals(stop, reporter, settings.grace):
            summary = await jobs.run(client, settings, reporter=reporter, stop=stop)
        return summary, seen(emulator) if emulator is not None else None


@contextlib.contextmanager
def _stopped_by_signals(stop: Stop, reporter: Reporter, grace: float) -> Iterator[None]:
    loop = asyncio.get_running_loop()

    def request() -> None:
        stop.request()
        if stop.requested == 1:
            reporter.note(
                f"stopping: waiting up to {grace:g} s for what is in flight; Ctrl-C again ends it now"
            )
        else:
            listen_no_more()  # a third one does not wait for the output to be whole

    def listen_no_more() -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, request)
    try:
        yield
    finally:
        listen_no_more()


def _as_json(summary: Summary, emulator: Seen | None) -> str:
    import msgspec

    extra: dict[str, Any] = {"complete": summary.complete, "exit_code": summary.exit_code}
    if emulator is not None:
        extra["emulator"] = msgspec.to_builtins(emulator)
    return msgspec.json.encode(msgspec.to_builtins(summary) | extra).decode()


def _tell(summary: Summary, emulator: Seen | None, settings: RunSettings) -> None:
    """The end of a run for a person, with what to do next."""
    from asyncapi.cli.reporters import counted, seconds

    s = summary
    parts = [
        f"{s.sent:,} sent",
        f"{s.succeeded:,} answered",
        f"{s.failed:,} failed",
        f"{s.retries:,} retries",
    ]
    parts += [f"{s.done_before:,} done before"] * (s.done_before > 0)
    parts += [f"{counted(s.bad, 'bad line')}"] * (s.bad > 0)
    parts += [f"{counted(s.duplicates, 'repeated id')}"] * (s.duplicates > 0)
    lines = [f"{counted(s.rows, 'line')}: {', '.join(parts)}"]
    lines.append(
        f"tokens {s.input_tokens:,} in, {s.output_tokens:,} out; {seconds(s.wall_s)}, "
        f"{s.rate:,.1f} answers/s; latency p50 {seconds(s.latency_p50_s)}, p95 {seconds(s.latency_p95_s)}"
    )
    lines += _savings(s)
    if emulator is not None:
        each = f" ({emulator.received / s.sent:.2f} for each line sent)" if s.sent else ""
        lines.append(
            f"the emulator received {counted(emulator.received, 'request')}{each}, "
            f"{emulator.spoilt:,} spoilt, {emulator.early:,} too early"
        )
    lines += _advice(summary, settings)
    click.echo("\n".join(lines), err=True)


def _savings(s: Summary) -> list[str]:
    """What was not sent because the answer was there."""
    from asyncapi.cli.reporters import counted

    parts = [f"{counted(s.repeated, 'line')} asked what another one asks"] * (s.repeated > 0)
    parts += [f"{counted(s.cached, 'answer')} from the cache"] * (s.cached > 0)
    if not parts:
        return []
    money = "" if s.saved_money is None else f", {s.saved_money:,.2f} in money"
    tokens = f"{s.saved_input_tokens:,} tokens in, {s.saved_output_tokens:,} out"
    requests = counted(s.repeated + s.cached, "request")
    return [f"saved {requests}, {tokens}{money}: {' and '.join(parts)}"]


def _advice(s: Summary, settings: RunSettings) -> list[str]:
    from asyncapi.cli.reporters import counted

    lines = []
    if s.stopped:
        lines.append(f"asyncapi: error: stopped: {s.stopped}")
    if s.lost:
        lines.append(f"{s.lost:,} answers arrived and could not be written; they will be asked for again")
    if s.remaining:
        lines.append(
            f"{settings.output} is safe and holds {s.rows - s.remaining - s.duplicates:,} of "
            f"{s.rows:,} lines: the same command continues"
        )
    elif s.failed_in_output:
        lines.append(
            f"{settings.output} is whole; {counted(s.failed_in_output, 'line')} of it failed: "
            "the same command with --retry-failed sends them again"
        )
    else:
        lines.append(f"{settings.output} is whole")
    return lines
