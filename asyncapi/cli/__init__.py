"""The command line: ``asyncapi`` or ``python -m asyncapi``.

One module a command, imported when it is called, so that ``--help`` is quick. Results go to stdout,
everything else to stderr. Exit codes: 0 done, 1 some items or the call failed, 2 wrong usage or
configuration, 130 interrupted.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

import click

__all__ = ["main"]

#: Command to its module, the command's name there, and what it does.
_COMMANDS = {
    "demo": ("demo", "See it work, without any key: load, faults, recovery, and an account of every call."),
    "run": ("run", "Send a whole file: JSONL or CSV in, OpenAI Batch results out. Continues after a crash."),
    "chat": ("chat", "Ask a model; the answer streams to stdout."),
    "embed": ("embed", "Turn texts into vectors, as JSON lines."),
    "bench": ("bench", "Measure how a service answers under load."),
    "models": ("models", "List the models that a service offers."),
    "doctor": ("doctor", "Show what is configured and found, and whether it answers."),
    "emulate": ("emulate", "Run the pretend services alone, for any client in any language."),
}


class _Commands(click.Group):
    """A group that imports a command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"asyncapi.cli.{_COMMANDS[cmd_name][0]}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


def _version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from asyncapi._version import __version__

        click.echo(f"asyncapi-inference {__version__}")
        ctx.exit()


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Begin with: asyncapi demo",
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Print it."
)
def asyncapi() -> None:
    """One awaitable interface to AI services.

    Models are written provider:model, such as openai:gpt-5-mini. Keys and URLs are found in the
    environment or in asyncapi.toml; --emulate needs neither.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit.

    Args:
        arguments: Those of the process when None.
    """
    sys.exit(_run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    """The exit code of a command; whatever went wrong is said in one line."""
    try:
        code = asyncapi.main(arguments, prog_name="asyncapi", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return 2
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "asyncapi"
        return _failed(f"{error.format_message()} ({path} --help shows how)", 2)
    except click.ClickException as error:
        return _failed(error.format_message(), 2)
    except (KeyboardInterrupt, click.Abort):
        return _failed("interrupted", 130)
    except BrokenPipeError:
        # The reader of stdout left (head, less): nothing is wrong, and the last flush must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # only ours is turned into a line, a bug keeps its traceback
        from asyncapi.errors import AsyncAPIError, ConfigError

        if not isinstance(error, AsyncAPIError):
            raise
        return _failed(str(error), 2 if isinstance(error, ConfigError) else 1)


def _failed(text: str, code: int) -> int:
    click.echo(f"asyncapi: {'' if code == 130 else 'error: '}{text}", err=True)
    return code
