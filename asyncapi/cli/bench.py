"""``asyncapi bench``."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from asyncapi.cli.options import Where, client_options

if TYPE_CHECKING:
    from asyncapi.client import Client

__all__ = ["Level", "Sample", "command", "level_of", "plotted"]

_PROMPT = "Count from one to ten."


class Sample(msgspec.Struct, frozen=True):
    """One call: when it ended on the run's clock, how long it took, what it cost and brought."""

    seconds: float
    first_token_s: float | None = None
    output_tokens: int = 0
    attempts: int = 1
    failure: str = ""


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen with so many calls in flight. Times are those of answered calls."""

    concurrency: int
    calls: int
    failed: dict[str, int]
    retries: int
    wall_s: float
    per_second: float
    tokens_per_second: float
    cpu_us: float
    p50_s: float
    p90_s: float
    p99_s: float
    most_s: float
    first_token_p50_s: float | None = None


class _Levels(click.ParamType[tuple[int, ...]]):
    name = "N,N,..."

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        try:
            levels = tuple(sorted({int(word) for word in value.split(",")}))
        except ValueError:
            levels = (0,)
        if levels[0] < 1:
            self.fail(f"expected numbers such as 1,8,64, got {value!r}", param, ctx)
        return levels


@click.command(
    "bench",
    epilog="""\b
Examples:
  asyncapi bench openai:gpt-5-mini --emulate
  asyncapi bench vllm:Qwen/Qwen3-8B --concurrency 1,8,64,256 --calls 500 --stream --plot load.svg
  asyncapi bench hf_tei:BAAI/bge-m3 "a text" --embed --json

Every call is a real one and may cost money; how many there will be is said at the start.""",
)
@click.argument("model", metavar="PROVIDER:MODEL")
@click.argument("text", default=_PROMPT)
@click.option(
    "--concurrency", type=_Levels(), default="1,4,16,64", show_default=True, help="In flight, level by level."
)
@click.option(
    "--calls", type=click.IntRange(1), default=100, show_default=True, help="Of each level, at least."
)
@click.option("--max-tokens", type=click.IntRange(1), default=32, show_default=True, help="Of each answer.")
@click.option("--stream", is_flag=True, help="Stream the answers, and time their first tokens.")
@click.option("--embed", is_flag=True, help="Ask for vectors instead.")
@click.option("--timeout", type=click.FloatRange(0, min_open=True), metavar="SECONDS", help="For each call.")
@click.option("--uvloop", is_flag=True, help="On the faster event loop, if it is installed.")
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE.svg", help="Draw it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@client_options
def command(
    where: Where, model: str, concurrency: tuple[int, ...], plot: Path | None, as_json: bool, **options: Any
) -> int:
    """Measure how a service answers under load: calls in flight, level by level.

    Shows answers a second and the percentiles of their times: where the first no longer grow, more in
    flight only makes each wait longer. CPU is this process's, with --emulate the emulator's too.
    """
    levels = _run(_bench(where, model, concurrency, **options), options.pop("uvloop"))
    if plot is not None:
        plot.write_text(plotted(levels, model), encoding="utf-8")
        click.echo(f"drawn to {plot}", err=True)
    if as_json:
        click.echo(msgspec.json.encode({"model": model, "levels": levels}).decode())
    else:
        click.echo(_table(levels))
    return 1 if any(level.failed for level in levels) else 0


def _run(work: Any, on_uvloop: bool) -> list[Level]:
    from asyncapi.cli.session import execute
    from asyncapi.errors import ConfigError

    if not on_uvloop:
        found: list[Level] = execute(work)
        return found
    try:
        import uvloop
    except ImportError:
        work.close()
        raise ConfigError("uvloop is not installed: pip install 'asyncapi-inference[uvloop]'") from None
    levels: list[Level] = uvloop.run(work)
    return levels


async def _bench(
    where: Where,
    model: str,
    concurrency: Sequence[int],
    text: str,
    *,
    calls: int,
    max_tokens: int,
    stream: bool,
    embed: bool,
    timeout: float | None,
    uvloop: bool,
) -> list[Level]:
    from asyncapi.cli.session import open_both, providers_of

    options: dict[str, Any] = {} if timeout is None else {"timeout": timeout}
    if not embed:
        options["max_tokens"] = max_tokens
    sizes = [max(calls, number) for number in concurrency]
    async with open_both(where, providers_of(where, model), in_flight=max(concurrency)) as (client, _):
        ask = _streamed if stream and not embed else _embedded if embed else _whole
        click.echo(f"{sum(sizes) + 1:,} calls of {model}", err=True)
        await ask(client, model, text, options)  # connects; what can't work is said now
        levels = []
        for number, size in zip(concurrency, sizes, strict=True):
            levels.append(await _level(lambda: ask(client, model, text, options), number, size))
        return levels


async def _whole(client: Client, model: str, text: str, options: dict[str, Any]) -> Sample:
    answer = await client.chat(model, text, **options)
    return Sample(0.0, None, answer.usage.output_tokens or 0 if answer.usage else 0, answer.attempts)


async def _streamed(client: Client, model: str, text: str, options: dict[str, Any]) -> Sample:
    async with client.stream(model, text, **options) as stream:
        answer = await stream.collect()
    first = answer.timings.first_token_s if answer.timings else None
    return Sample(0.0, first, answer.usage.output_tokens or 0 if answer.usage else 0, answer.attempts)


async def _embedded(client: Client, model: str, text: str, options: dict[str, Any]) -> Sample:
    answer = await client.embed(model, text, **options)
    return Sample(0.0, None, 0, answer.attempts)


async def _level(ask: Callable[[], Awaitable[Sample]], concurrency: int, calls: int) -> Level:
    """So many calls, so many of them at a time."""
    from asyncapi.errors import AsyncAPIError

    samples: list[Sample] = []
    left = calls

    async def asker() -> None:
        nonlocal left
        while left:
            left -= 1
            began = time.perf_counter()
            try:
                sample = await ask()
            except AsyncAPIError as error:
                sample = Sample(0.0, attempts=max(1, error.attempts), failure=error.kind)
            samples.append(msgspec.structs.replace(sample, seconds=time.perf_counter() - began))

    clock, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(asker() for _ in range(concurrency)))
    return level_of(samples, concurrency, time.perf_counter() - clock, time.process_time() - cpu)


def level_of(samples: Sequence[Sample], concurrency: int, wall_s: float, cpu_s: float) -> Level:
    """The account of one level; nan where nothing was answered."""
    answered = sorted(sample.seconds for sample in samples if not sample.failure)
    first = sorted(s.first_token_s for s in samples if s.first_token_s is not None)
    return Level(
        concurrency=concurrency,
        calls=len(samples),
        failed=dict(Counter(sample.failure for sample in samples if sample.failure)),
        retries=sum(sample.attempts - 1 for sample in samples),
        wall_s=wall_s,
        per_second=len(answered) / wall_s,
        tokens_per_second=sum(sample.output_tokens for sample in samples) / wall_s,
        cpu_us=cpu_s / len(samples) * 1e6,
        p50_s=_percentile(answered, 0.50),
        p90_s=_percentile(answered, 0.90),
        p99_s=_percentile(answered, 0.99),
        most_s=_percentile(answered, 1.0),
        first_token_p50_s=_percentile(first, 0.5) if first else None,
    )


def _percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest that at least ``share`` of them don't exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


def _table(levels: Sequence[Level]) -> str:
    streamed = any(level.first_token_p50_s is not None for level in levels)
    head = ["in flight", "calls", "failed", "retries", "answers/s", "tokens/s", "p50", "p90", "p99", "most"]
    rows = [[*head, *(["first token"] if streamed else []), "CPU us/call"]]
    for level in levels:
        times: list[float | None] = [level.p50_s, level.p90_s, level.p99_s, level.most_s]
        times += [level.first_token_p50_s] if streamed else []
        counts = [level.concurrency, level.calls, sum(level.failed.values()), level.retries]
        rates = [level.per_second, level.tokens_per_second]
        rows.append(
            [f"{n:,}" for n in counts]
            + [f"{rate:,.1f}" for rate in rates]
            + [_shown(seconds) for seconds in times]
            + [f"{level.cpu_us:,.0f}"]
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    failures = sum((Counter(level.failed) for level in levels), Counter[str]())
    lines += [f"failed: {', '.join(f'{count:,} {kind}' for kind, count in failures.items())}"] * bool(
        failures
    )
    return "\n".join(lines)


def _shown(seconds: float | None) -> str:
    if seconds is None or math.isnan(seconds):
        return "-"
    return f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def plotted(levels: Sequence[Level], title: str) -> str:
    """An SVG of answers a second and of the times, over the calls in flight."""
    from html import escape

    milliseconds = [
        ("p50", "#2471a3", [level.p50_s * 1e3 for level in levels]),
        ("p99", "#c0392b", [level.p99_s * 1e3 for level in levels]),
    ]
    names = [str(level.concurrency) for level in levels]
    body = _panel(0, "answers a second", names, [("", "#1e8449", [level.per_second for level in levels])])
    body += _panel(400, "milliseconds", names, milliseconds)
    style = "text{font:12px sans-serif;text-anchor:middle}polyline{fill:none;stroke-width:2}"
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 300" width="800">\n'
        f'<style>{style}</style>\n<rect width="100%" height="100%" fill="#fff"/>\n'
        f'<text x="400" y="18">{escape(title)}</text>\n' + "\n".join(body) + "\n</svg>\n"
    )


def _panel(
    left: float, title: str, names: Sequence[str], series: Sequence[tuple[str, str, Sequence[float]]]
) -> list[str]:
    """One pair of axes; the levels stand at equal distances. What is not a number is left out."""
    values = [value for *_, line in series for value in line if not math.isnan(value)]
    most = max(values, default=1.0) * 1.1 or 1.0
    step = 260 / max(1, len(names) - 1)
    body = [
        f'<rect x="{left + 60}" y="50" width="280" height="190" fill="none" stroke="#888"/>',
        f'<text x="{left + 200}" y="40">{title}</text>',
        f'<text x="{left + 200}" y="285">calls in flight</text>',
        f'<text x="{left + 34}" y="56">{most:,.0f}</text><text x="{left + 48}" y="244">0</text>',
    ]
    body += [f'<text x="{left + 70 + step * i:.1f}" y="260">{name}</text>' for i, name in enumerate(names)]
    for name, colour, line in series:
        points = [
            (left + 70 + step * i, 240 - y / most * 190) for i, y in enumerate(line) if not math.isnan(y)
        ]
        body += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points]
        text = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        body.append(f'<polyline points="{text}" stroke="{colour}"/>')
        if points and name:
            body.append(
                f'<text x="{points[-1][0] + 22:.1f}" y="{points[-1][1]:.1f}" fill="{colour}">{name}</text>'
            )
    return body
