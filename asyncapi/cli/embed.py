"""``asyncapi embed``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from asyncapi.cli.options import Where, client_options

__all__ = ["command"]


@click.command(
    "embed",
    epilog="""\b
Examples:
  asyncapi embed hf_tei:BAAI/bge-m3 "first text" "second text"
  asyncapi embed openai:text-embedding-3-small - < lines.txt > vectors.jsonl""",
)
@click.argument("model", metavar="PROVIDER:MODEL")
@click.argument("texts", nargs=-1, metavar="TEXT...")
@click.option("--dimensions", type=click.IntRange(1), help="Shorter vectors, where the model can.")
@client_options
def command(where: Where, model: str, texts: tuple[str, ...], dimensions: int | None) -> None:
    """Turn texts into vectors: a JSON line each, in order. TEXT may be - for the lines of standard input."""
    from asyncapi.cli.session import execute

    if texts == ("-",):
        texts = tuple(line.rstrip("\n") for line in sys.stdin if line.strip())
    if not texts:
        raise click.UsageError("give a TEXT or more, or - to read lines from standard input")
    execute(_embed(where, model, texts, dimensions))


async def _embed(where: Where, model: str, texts: Sequence[str], dimensions: int | None) -> None:
    import orjson

    from asyncapi.cli.session import open_client, providers_of

    async with open_client(where, providers_of(where, model)) as client:
        response = await client.embed(model, texts, dimensions=dimensions)
    for index, (text, vector) in enumerate(zip(texts, response.vectors, strict=True)):
        line = {"index": index, "text": text, "embedding": vector.tolist()}
        click.echo(orjson.dumps(line).decode())
