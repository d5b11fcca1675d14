"""``asyncapi chat``."""

from __future__ import annotations

import sys
from typing import Any

import click

from asyncapi.cli.options import Where, client_options

__all__ = ["command"]


@click.command(
    "chat",
    epilog="""\b
Examples:
  asyncapi chat openai:gpt-5-mini "Say hello in one word."
  git diff | asyncapi chat claude:claude-sonnet-5 - --system "Write a commit message."
  asyncapi chat ollama:llama3.2 "Why is the sky blue?" --emulate --trace""",
)
@click.argument("model", metavar="PROVIDER:MODEL")
@click.argument("text", required=False)
@click.option("--system", help="A system message before it.")
@click.option("--max-tokens", type=click.IntRange(1), help="Stop after so many.")
@click.option("--temperature", type=float, help="0 for the likeliest answer.")
@click.option("--no-stream", is_flag=True, help="Print the answer when it is whole.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object: text, usage, times, raw answer."
)
@click.option("--trace", is_flag=True, help="Print the stations of the call with their times to stderr.")
@click.option(
    "--timeout", type=click.FloatRange(0, min_open=True), metavar="SECONDS", help="For the whole call."
)
@click.option("--cache", metavar="FILE", help="Answer from this cache, and keep answers in it (SQLite).")
@client_options
def command(where: Where, model: str, text: str | None, **options: Any) -> None:
    """Ask a model. TEXT may be - for standard input."""
    from asyncapi.cli.session import execute

    if text is None and sys.stdin.isatty():
        raise click.UsageError("give a TEXT, or - to read it from standard input")
    prompt = sys.stdin.read() if text in (None, "-") else text
    execute(_chat(where, model, str(prompt), **options))


async def _chat(
    where: Where,
    model: str,
    prompt: str,
    *,
    system: str | None,
    no_stream: bool,
    as_json: bool,
    trace: bool,
    cache: str | None,
    **parameters: Any,
) -> None:
    from asyncapi.cli.session import open_client, providers_of
    from asyncapi.cli.trace import Trace
    from asyncapi.types.messages import Message

    messages = ([Message("system", system)] if system else []) + [Message("user", prompt)]
    chosen = {name: value for name, value in parameters.items() if value is not None}
    tracer = Trace() if trace else None
    hooks = [tracer] if tracer else []
    async with open_client(where, providers_of(where, model), hooks=hooks, cache=cache) as client:
        if tracer is not None:
            tracer.start()
        if as_json or no_stream:
            response = await client.chat(model, messages, **chosen)
            click.echo(_as_json(response) if as_json else response.text)
        else:
            await _stream(client.stream(model, messages, **chosen), tracer)


async def _stream(stream: Any, tracer: Any) -> None:
    """Print the chunks as they come; the line is ended even when the stream is not."""
    printed = False
    try:
        async with stream:
            async for chunk in stream:
                if chunk.text:
                    if tracer is not None and not printed:
                        tracer.mark("stream", "first text")
                    printed = True
                    click.echo(chunk.text, nl=False)
    finally:
        if printed:
            click.echo()


def _as_json(response: Any) -> str:
    import orjson

    return orjson.dumps(
        {
            "text": response.text,
            "model": response.model,
            "finish_reason": response.finish_reason,
            "usage": response.usage,
            "request_id": response.request_id,
            "provider_request_id": response.provider_request_id,
            "attempts": response.attempts,
            "timings": response.timings,
            "warnings": response.warnings,
            "raw": response.raw,
        },
        default=_fields,
    ).decode()


def _fields(value: object) -> object:
    import msgspec

    return msgspec.to_builtins(value)
