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
from typing import Any, cast

import click
import msgspec
from describing import describe, first_line, markdown, named, page, table, value_text

import asyncapi
from asyncapi import (
    abc,
    caching,
    client,
    config,
    emulator,
    errors,
    integrations,
    jobs,
    objects,
    switches,
    testing,
)
from asyncapi._core.stages import STAGES
from asyncapi.backends import OpenAIDialect, Quirks, get_backend, known_backends
from asyncapi.config.environment import WORDS
from asyncapi.config.fields import expected
from asyncapi.integrations import aiohttp_web, asgi
from asyncapi.options import CallOptions
from asyncapi.policies import routing
from asyncapi.policies.verdict import judge
from asyncapi.telemetry import stats
from asyncapi.testing import simulation
from asyncapi.types import events, requests, responses, tensors, wire
from asyncapi.types import objects as objects_types

FOLDER = Path(__file__).parent / "reference"
REQUESTS: list[type[requests.Request]] = [
    kind
    for module in (requests, objects_types)
    for name in module.__all__
    if isinstance(kind := getattr(module, name), type) and getattr(kind, "operation", "")
]


def linked(name: str) -> str:
    """A link to a name's place on the same page."""
    return f"[`{name}`](#{name.lower()})"


def client_page() -> str:
    things = [
        asyncapi.Client,
        asyncapi.Stream,
        asyncapi.Done,
        client.Keys,
        switches.BreakerSwitch,
        CallOptions,
    ]
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


def services() -> dict[str, wire.Service]:
    """What is known of each service, by the name of its backend."""
    return {name: cast(abc.ServiceBackend, get_backend(name)).service for name in known_backends()}


def services_page() -> str:
    rows = [
        (
            f"`{name}`",
            f"`{service.base_url}`",
            " ".join(f"`{v}`" for v in service.key_env) + ("" if service.needs_key else " (optional)"),
            " ".join(f"`{v}`" for v in service.url_env),
            ", ".join(f"{o}: {b.items} items" for o, b in sorted(service.batches.items())),
        )
        for name, service in services().items()
    ]
    intro = (
        "The prefix in `prefix:model` is the name of an endpoint, or of one of these backends. What each of "
        "them can do is on the page [operations](operations.md)."
    )
    return page(
        "Services",
        intro,
        "## Addresses and variables\n\nThe first variable that is set wins. Of a key variable `NAME`, the "
        "numbered ones `NAME_1` to `NAME_n` are taken too. `base_url` means what it means in the service's "
        "own SDK.",
        table(("backend", "address", "key variables", "address variables", "most in one request"), rows),
    )


def operations_page() -> str:
    """Service by operation, from the rows that calls are checked against."""
    rows = services()
    asked = {kind.operation: kind for kind in REQUESTS}
    offered = sorted({operation for service in rows.values() for operation in service.operations})
    matrix = [
        (f"`{operation}`", *("yes" if operation in service.operations else "" for service in rows.values()))
        for operation in offered
    ]
    streamed = [
        (
            f"`{operation}`",
            ", ".join(f"`{n}`" for n, s in rows.items() if operation in s.operations and s.streaming),
        )
        for operation in offered
        if "stream" in asked[operation].__struct_fields__ and operation not in ("count_tokens", "chat_batch")
    ]
    meaning = [
        (
            f"`{operation}`",
            f"`{verb_of(operation)}`",
            request_link(asked[operation]),
            first_line(asked[operation].__doc__),
        )
        for operation in offered
    ]
    actions = [(f"`{name}`", ", ".join(f"`{action}`" for action in actions_of(name))) for name in rows]
    return page(
        "Operations",
        "Which service offers which operation. A call for another one is refused before anything is sent, "
        "with the names of those that offer it. The table is made from the rows that calls are checked "
        "against, and `tests/e2e/test_every_operation.py` calls every entry of it, and every stream, against "
        "the [emulator](emulator.md); of the native actions it calls those that the emulator plays, and "
        "names the others as skipped. What a model can do is another question: "
        "ask the service.",
        table(("operation", *(f"`{name}`" for name in rows)), matrix),
        "## Streams",
        table(("operation", "streamed by"), streamed),
        "## Verbs\n\nExamples are in [the guide](../how-to/other-operations.md).",
        table(("operation", "verb", "request", "what is asked"), meaning),
        "## Native actions\n\n`client.native(model, action, arguments)` calls what only one service has.",
        table(("service", "actions"), [row for row in actions if row[1]]),
    )


def verb_of(operation: str) -> str:
    """How the client is asked for an operation."""
    if operation == "object":
        return "objects"
    return operation if hasattr(asyncapi.Client, operation) else "call"


def request_link(kind: type[requests.Request]) -> str:
    """A request's place in the reference."""
    where = "objects" if kind is objects_types.ObjectRequest else "requests"
    return f"[`{kind.__name__}`]({where}.md#{kind.__name__.lower()})"


def actions_of(name: str) -> list[str]:
    """The native actions of a backend, as it names them when it is asked for one that it has not."""
    if "native" not in services()[name].operations:
        return []
    try:
        get_backend(name).encode(requests.NativeRequest(model="m", action="?"))
    except errors.UnsupportedOperationError as error:
        return error.message.partition("; it has: ")[2].split(", ")
    raise AssertionError(f"{name} took an unknown action")


def routes_page() -> str:
    """Names for several targets, and what makes a call move on."""
    rows = [
        (
            f"[`{kind.__name__}`](errors.md#{kind.__name__.lower()})",
            "yes" if routing.may_move(kind("")) else "no",
        )
        for kind in named(errors)
        if kind is not errors.AsyncAPIError
    ]
    return page(
        "Routes",
        "A route is a name for several targets: see [the guide](../how-to/routes.md). It is given to "
        "[`Client`](client.md#client) as `routes`, or stands in [the file](configuration.md#the-file) under "
        "`[routes.NAME]`.",
        describe(config.Route),
        describe(config.Outliers),
        "`Hedge` is described [with the endpoint](configuration.md#hedge), where it may stand too.",
        "## When a call moves on\n\nBy the error that the target's call ended with, its own retries behind "
        "it. A stream moves on only before its first chunk.",
        table(("error", "next target"), rows),
        "## What is told\n\nThe event [`asyncapi.route_moved`](events.md#routemoved) for every move, and, "
        "on the error that the caller gets, a note about each target before. "
        "[`asyncapi.route_ejected`](events.md#routeejected) for every target that is left out as an outlier.",
    )


def objects_page() -> str:
    """A bucket, and what goes to and from it."""
    things = [objects.Objects, *(t for t in named(objects_types))]
    return page(
        "Objects",
        "Object stores that speak S3: see [the guide](../how-to/objects.md).",
        *map(describe, things),
    )


def tensors_page() -> str:
    """Arrays with their names and types."""
    rows = [(f"`{datatype}`", f"`{name}`") for datatype, name in tensors.DATATYPES.items()]
    return page(
        "Tensors",
        "What [`infer`](client.md#clientinfer) takes and gives, by name: see "
        "[the guide](../how-to/tensors.md), [`InferRequest`](requests.md#inferrequest) and "
        "[`InferResponse`](responses.md#inferresponse).",
        describe(tensors.Tensor),
        describe(tensors.as_tensor),
        "## Datatypes",
        table(("datatype", "numpy"), rows),
    )


def integrations_page() -> str:
    """Helpers for web servers."""
    source = (
        "`Source` is what all of them take first: the name of a configuration file, a function that makes "
        "the client, or None for the environment."
    )
    return page(
        "Integrations",
        "One client inside a web server: see [the guide](../how-to/web-servers.md).",
        source,
        *map(describe, named(integrations)),
        "## aiohttp.web\n\n" + markdown(aiohttp_web.__doc__),
        *(describe(t, "###") for t in named(aiohttp_web)),
        "## ASGI\n\n" + markdown(asgi.__doc__),
        *(describe(t, "###") for t in named(asgi)),
    )


def configuration_page() -> str:
    structs = (
        config.Endpoint, config.Key, config.KeyPool, config.Fixed, config.AIMD, config.Retry, config.Breaker,
        config.Batch, config.Timeout, config.Hedge, config.Profile,
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
            f"`{'.'.join(part for part in (word.section, word.field) if part)}`",
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
    context = click.Context(
        group,
        info_name="asyncapi",
        terminal_width=98,
        max_content_width=98,
        help_option_names=["-h", "--help"],
    )
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


def simulation_page() -> str:
    """The simulator: its names, its invariants and its worlds."""
    rows = [(f"`{invariant.__name__}`", first_line(invariant.__doc__)) for invariant in simulation.INVARIANTS]
    worlds = [
        (f"`{name}`", f"{scenario.duration:g}", scenario.story)
        for name, scenario in simulation.SCENARIOS.items()
    ]
    return page(
        "Simulation",
        markdown(simulation.__doc__),
        "## Invariants",
        table(("name", "what it holds"), rows),
        "## Named worlds",
        table(("name", "seconds", "what happens"), worlds),
        *map(describe, named(simulation, "INVARIANTS", "SCENARIOS")),
    )


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
        asyncapi.ToolCall, asyncapi.ToolResult, asyncapi.Reasoning,
    ]  # fmt: skip
    answers = [t for t in named(responses) if t is not responses.Response]
    counted = reversed(named(stats, "Collector", "Live"))
    doubles = named(testing, "VirtualNetworkError")
    asked = named(requests, "ChatParameters")
    texts: Mapping[str, str] = {
        "client": client_page(),
        "configuration": configuration_page(),
        "services": services_page(),
        "operations": operations_page(),
        "routes": routes_page(),
        "objects": objects_page(),
        "tensors": tensors_page(),
        "integrations": integrations_page(),
        "requests": page("Requests and messages", "", *map(describe, [*asked, *messages])),
        "responses": page("Responses", "", *map(describe, [responses.Response, *answers, asyncapi.Usage])),
        "errors": errors_page(),
        "events": events_page(),
        "statistics": page("Statistics", markdown(stats.__doc__), *map(describe, counted)),
        "protocols": page(
            "Protocols",
            markdown(abc.__doc__),
            *map(describe, named(abc)),
            *map(describe, named(wire)),
            *map(describe, [OpenAIDialect, Quirks]),
        ),
        "caching": page(
            "Caching",
            "Cache, single-flight and prices are settings of the [client](client.md#client): see "
            "[the guide](../how-to/caching.md). What they counted is in [statistics](statistics.md).",
            *map(describe, [config.Cache, config.Semantic, config.Price, *named(caching)]),
            describe(abc.Store),
        ),
        "jobs": page("Jobs", markdown(jobs.__doc__), *map(describe, named(jobs, "Mapper"))),
        "testing": page("Testing", markdown(testing.__doc__), *map(describe, doubles)),
        "simulation": simulation_page(),
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
