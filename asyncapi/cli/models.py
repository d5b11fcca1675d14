"""``asyncapi models``."""

from __future__ import annotations

import click

from asyncapi.cli.options import Where, client_options

__all__ = ["command"]


@click.command(
    "models",
    epilog="""\b
Examples:
  asyncapi models openai
  asyncapi models ollama: --json""",
)
@click.argument("endpoint", metavar="PROVIDER")
@click.option("--json", "as_json", is_flag=True, help="A JSON line each, with all that the service says.")
@client_options
def command(where: Where, endpoint: str, as_json: bool) -> None:
    """List the models that a service offers, one a line."""
    from asyncapi.cli.session import execute

    execute(_models(where, endpoint.partition(":")[0], as_json))


async def _models(where: Where, endpoint: str, as_json: bool) -> None:
    import msgspec

    from asyncapi.cli.session import open_client

    async with open_client(where, [endpoint]) as client:
        response = await client.models(endpoint)
    for model in response.models:
        click.echo(msgspec.json.encode(model).decode() if as_json else f"{endpoint}:{model.id}")
