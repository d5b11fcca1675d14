"""Write docs/reference/ from docstrings, settings and the command line's own help.

    python docs/build_reference.py           write the pages
    python docs/build_reference.py --check   say which are not up to date, and exit with 1

Only the standard library and the package itself are used.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import msgspec
from describing import describe, first_line, markdown, named, page, table, value_text

import asyncapi
from asyncapi import abc, client, config, emulator, errors, jobs, testing
from asyncapi._core.stages import STAGES
from asyncapi.backends import get_backend, known_backends
from asyncapi.config.environment import WORDS
from asyncapi.config.fields import expected
from asyncapi.policies.verdict import judge
from asyncapi.runtime import CallOptions
from asyncapi.telemetry import stats
from asyncapi.types import events, requests, responses, wire

FOLDER = Path(__file__).parent / "reference"
OPERATIONS = [
    kind.operation
    for name in requests.__all__
    if isinstance(kind := getattr(requests, name), type) and getattr(kind, "operation", "")
]


def linked(name: str) -> str:
    """A link to a name's place on the same page."""
    return f"[`{name}`](#{name.lower()})"


def client_page() -> str:
    things = [asyncapi.Client, asyncapi.Stream, asyncapi.Done, client.Keys, CallOptions]
    intro = (
        "Settings are on the page [configuration](configuration.md), requests and messages on "
        "[requests](requests.md), what comes back on [responses](responses.md)."
    )
    parameters = describe(requests.ChatParameters)
    return page("The client", intro, *(describe(t) for t in things), parameters)


def errors_page() -> str:
    tree = markdown((errors.__doc__ or "").partition("\n\n")[2])
    rows = []
    for thing in named(errors):
        error = thing("")
        meaning = judge(error)
        rows.append(
            (
                linked(thing.__name__),
                f"`{thing.kind}`",
                {True: "yes", False: "no", None: "maybe"}[error.sent],
                "yes" if error.retryable else "no",
                meaning.verdict.value,
                meaning.key.value.replace("none", ""),
                meaning.retry.value + (", free" if meaning.free else ""),
            )
        )
    head = ("error", "kind", "sent", "retryable", "verdict", "key", "retry")
    legend = (
        "**kind** is the word in statistics and logs. **sent** says whether bytes may have left. **verdict** "
        "is what breaker and limit see, **key** what happens to the API key, **retry** how another attempt "
        "may follow (*key*: with another key, or when this one may go again; *free*: outside of the retry "
        "budget)."
    )
    parts = [describe(thing) for thing in named(errors)]
    return page("Errors", tree, "## All errors", legend, table(head, rows), *parts)


def events_page() -> str:
    kinds = [t for t in named(events) if t is not events.Event]
    order = {station: n for n, station in enumerate(STAGES)}

    def station(kind: Any) -> str:
        return str(kind.name.removeprefix("asyncapi.").partition("_")[0])

    kinds.sort(key=lambda kind: order.get(station(kind), len(order)))
    intro = (
        "What [hooks](protocols.md#hook) are told and what is [logged](../how-to/logging-and-statistics.md). "
        "The name begins with the station that it comes from (see "
        "[the life of a call](../explanation/life-of-a-call.md)). Every event has `endpoint` and "
        "`request_id`; the id is empty where no single call is meant. Names that end in `_s` are seconds. "
        "No event holds a secret, a prompt or an answer."
    )
    rows = [
        (
            f"`{k.name}`",
            linked(k.__name__),
            "yes" if k.detail else "",
            first_line(k.__doc__),
        )
        for k in kinds
    ]
    return page("Events", intro, table(("event", "class", "detail", "when"), rows), *map(describe, kinds))


def services_page() -> str:
    services: dict[str, wire.Service] = {
        name: get_backend(name).service  # type: ignore[attr-defined]
        for name in known_backends()
    }
    rows, where = [], []
    for operation in OPERATIONS:
        offering = [f"`{name}`" for name, service in services.items() if operation in service.operations]
        if offering:
            rows.append((f"`{operation}`", ", ".join(offering)))
    for name, service in services.items():
        where.append(
            (
                f"`{name}`",
                f"`{service.base_url}`",
                " ".join(f"`{v}`" for v in service.key_env) + ("" if service.needs_key else " (optional)"),
                " ".join(f"`{v}`" for v in service.url_env),
                ", ".join(f"{o}: {b.items} items" for o, b in service.batches.items()),
            )
        )
    intro = "The prefix in `prefix:model` is the name of an endpoint, or of one of these backends."
    return page(
        "Services",
        intro,
        table(("operation", "services"), rows),
        "## Addresses and variables\n\nThe first variable that is set wins. Of a key variable `NAME`, the "
        "numbered ones `NAME_1` to `NAME_n` are taken too. `base_url` means what it means in the service's "
        "own SDK.",
        table(("backend", "address", "key variables", "address variables", "most in one request"), where),
    )


def configuration_page() -> str:
    structs = (
        config.Endpoint, config.Key, config.KeyPool, config.Fixed, config.Retry, config.Breaker, config.Batch,
        config.Timeout, config.Profile,
    )  # fmt: skip
    head = ["setting", *(f"`{name}`" for name in config.PROFILES)]
    rows = []
    for field in msgspec.structs.fields(config.Profile):
        values = [getattr(profile, field.name) for profile in config.PROFILES.values()]
        if isinstance(values[0], msgspec.Struct):
            rows += [
                (f"`{field.name}.{sub.name}`", *(f"`{value_text(getattr(v, sub.name))}`" for v in values))
                for sub in msgspec.structs.fields(values[0])
            ]
        else:
            rows.append((f"`{field.name}`", *(f"`{value_text(v)}`" for v in values)))
    words = [
        (
            f"`{name}`",
            f"`{word.section + '.' if word.section else ''}{word.field}`",
            expected(word.hint) + (", or `none`" if word.nullable else ""),
        )
        for name, word in WORDS.items()
    ]
    return page(
        "Configuration",
        "The same words in Python, in `asyncapi.toml` and in the environment. For every value the first that "
        "gives it wins: Python, environment, TOML, profile. Unknown names and wrong types are errors that "
        "say where.",
        "## The file\n\n" + markdown(doc_of(config.load).replace("::", "For example::", 1)),
        "## Profiles\n\n`balanced` is used where nobody names another one.",
        table(head, rows),
        "## Environment variables\n\n" + markdown(doc_of(config.unknown_variables).partition("\n\n")[2]),
        "`ASYNCAPI_CONFIG` names the file that `asyncapi.config.find` gives; keys and addresses have the "
        "variables of their [services](services.md#addresses-and-variables).",
        table(("word", "setting", "value"), words),
        *(describe(struct) for struct in structs),
        *(describe(thing) for thing in (config.profile, config.find, config.load)),
    )


def command_line_page() -> str:
    """The help of every command."""
    from asyncapi import cli

    group: click.Group = cli.asyncapi
    context = click.Context(group, info_name="asyncapi", terminal_width=98, max_content_width=98)
    parts = [help_of(group, context)]
    for name in group.list_commands(context):
        try:
            command = group.get_command(context, name)
        except ModuleNotFoundError:
            continue
        assert command is not None
        parts.append(help_of(command, click.Context(command, info_name=name, parent=context)))
    intro = "What every command says of itself with `--help`. Also `python -m asyncapi`."
    return page("Command line", intro, *parts)


def help_of(command: click.Command, context: click.Context) -> str:
    """A command's own help."""
    text = click.unstyle(command.get_help(context)).rstrip()
    return f"## `{context.command_path}`\n\n```text\n{text}\n```"


def doc_of(function: Any) -> str:
    """The docstring of the module that a function is from."""
    return sys.modules[function.__module__].__doc__ or ""


def build() -> dict[Path, str]:
    """Every page and its text."""
    messages = [
        asyncapi.Message, asyncapi.Text, asyncapi.Image, asyncapi.Audio, asyncapi.File, asyncapi.Tool,
        asyncapi.ToolCall, asyncapi.ToolResult,
    ]  # fmt: skip
    answers = [t for t in named(responses) if t is not responses.Response]
    counted = reversed(named(stats, "Collector", "Live"))
    doubles = named(testing, "VirtualNetworkError")
    asked = named(requests, "ChatParameters")
    texts: Mapping[str, str] = {
        "client": client_page(),
        "configuration": configuration_page(),
        "services": services_page(),
        "requests": page("Requests and messages", "", *map(describe, [*asked, *messages])),
        "responses": page("Responses", "", *map(describe, [responses.Response, *answers, asyncapi.Usage])),
        "errors": errors_page(),
        "events": events_page(),
        "statistics": page("Statistics", markdown(stats.__doc__), *map(describe, counted)),
        "protocols": page(
            "Protocols", markdown(abc.__doc__), *map(describe, named(abc)), *map(describe, named(wire))
        ),
        "jobs": page("Jobs", markdown(jobs.__doc__), *map(describe, named(jobs, "Mapper"))),
        "testing": page("Testing", markdown(testing.__doc__), *map(describe, doubles)),
        "emulator": page("Emulator", markdown(emulator.__doc__), *map(describe, named(emulator, "Dialect"))),
        "command-line": command_line_page(),
    }
    return {FOLDER / f"{name}.md": text for name, text in texts.items() if text}


def main() -> int:
    """Write, or compare."""
    stale = 0
    for path, text in build().items():
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        if old == text:
            continue
        if "--check" in sys.argv:
            stale += 1
            changes = difflib.unified_diff(
                old.splitlines(), text.splitlines(), str(path), "generated", lineterm=""
            )
            print("\n".join([*changes][:20]))
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path}")
    if stale:
        print(f"{stale} page(s) are not up to date: run python docs/build_reference.py")
    return 1 if stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
