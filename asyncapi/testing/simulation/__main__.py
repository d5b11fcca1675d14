"""``python -m asyncapi.testing.simulation``: many random worlds, or one of them again."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from asyncapi.testing.simulation.generator import random_scenario
from asyncapi.testing.simulation.many import SeedReport, Totals, run_seeds
from asyncapi.testing.simulation.named import SCENARIOS
from asyncapi.testing.simulation.plan import draw
from asyncapi.testing.simulation.run import Result, run_plan
from asyncapi.testing.simulation.scenario import Plan
from asyncapi.testing.simulation.shrink import shrink

_SHRUNK_AT_MOST = 3
_COMMAND = "python -m asyncapi.testing.simulation"


@click.command()
@click.option("--seeds", type=click.IntRange(1), help="Run so many random worlds.")
@click.option("--first", type=int, default=0, show_default=True, help="The first seed of --seeds.")
@click.option("--processes", type=click.IntRange(1), help="How many processes work. Default: one a core.")
@click.option("--seed", type=int, help="Run one world, tell everything of it, and make it small if it fails.")
@click.option(
    "--scenario", type=click.Choice(sorted(SCENARIOS)), help="A named world instead of a random one."
)
@click.option(
    "--plan", type=click.Path(exists=True, path_type=Path), help="Run a plan that was kept in a file."
)
@click.option("--history", is_flag=True, help="Print what happened, line by line.")
@click.option(
    "--keep", type=click.Path(path_type=Path), help="Write the plan, made small if it fails, to a file."
)
def main(
    seeds: int | None,
    first: int,
    processes: int | None,
    seed: int | None,
    scenario: str | None,
    plan: Path | None,
    history: bool,
    keep: Path | None,
) -> None:
    """Run the real client against simulated services, and check that its core keeps its word.

    \b
    python -m asyncapi.testing.simulation --seeds 1000
    python -m asyncapi.testing.simulation --seed 42
    python -m asyncapi.testing.simulation --scenario outage
    """
    if seeds is not None:
        sys.exit(_many(seeds, first, processes))
    chosen = _plan(seed or 0, scenario, plan)
    result = run_plan(chosen)
    if history:
        for line in result.history.lines():
            click.echo(line)
    _tell(result)
    if result.violations:
        chosen = _small(result)
    if keep is not None:
        keep.write_bytes(chosen.to_json())
        click.echo(f"the plan is in {keep}; {_COMMAND} --plan {keep} runs it again")
    sys.exit(1 if result.violations else 0)


def _plan(seed: int, scenario: str | None, file: Path | None) -> Plan:
    if file is not None:
        return Plan.from_json(file.read_bytes())
    return draw(SCENARIOS[scenario] if scenario is not None else random_scenario(seed), seed)


def _tell(result: Result) -> None:
    summary = result.summary
    click.echo(f"{result.plan.name}: {summary.calls} calls in {summary.elapsed_s:.1f} virtual seconds")
    click.echo(f"calls ended: {_counts(summary.outcomes)}")
    click.echo(f"{summary.requests} requests were answered: {_counts(summary.answers)}")
    if summary.p50_s is not None and summary.p99_s is not None:
        click.echo(f"half of the answers took {summary.p50_s:.3f} s, 99 of 100 at most {summary.p99_s:.3f} s")
    click.echo(f"history: {summary.entries} entries, {result.digest[:16]}")
    if not result.violations:
        click.echo("all invariants held")
    for violation in result.violations:
        click.echo(str(violation))


def _counts(counts: object) -> str:
    assert isinstance(counts, dict)
    return ", ".join(f"{count} {what}" for what, count in counts.items()) or "none"


def _small(result: Result) -> Plan:
    names = [violation.invariant for violation in result.violations]
    small = shrink(result.plan, names)
    again = run_plan(small)
    click.echo(
        f"\nmade small: {len(small.calls)} calls, {len(small.faults)} faults, {len(small.actions)} actions"
    )
    for call in small.calls[:10]:
        click.echo(f"  {call}")
    for thing in (*small.faults, *small.actions, small.chaos):
        click.echo(f"  {thing}")
    for violation in again.violations:
        click.echo(str(violation))
    return small


# --- many worlds ----------------------------------------------------------------------------------


def _many(seeds: int, first: int, processes: int | None) -> int:
    """Run them with a bar on a terminal and plain lines elsewhere; the exit code."""
    console = Console(stderr=True)
    totals, bad = Totals(), list[SeedReport]()
    columns = (TextColumn("worlds"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    started = time.perf_counter()
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("worlds", total=seeds)
        for report in run_seeds(range(first, first + seeds), processes):
            totals.add(report)
            progress.advance(task)
            if not console.is_terminal and totals.seeds % max(1, seeds // 10) == 0:
                click.echo(f"{totals.seeds} of {seeds} worlds, {len(bad)} fail", err=True)
            if report.violations:
                bad.append(report)
                progress.console.print(f"seed {report.seed}: {report.violations[0]}", highlight=False)
    took = time.perf_counter() - started
    click.echo(
        f"{totals.seeds:,} worlds, {totals.calls:,} calls, {totals.requests:,} requests, "
        f"{totals.elapsed_s / 3600:,.1f} virtual hours in {took:,.1f} s: {totals.seeds / took:,.1f} worlds, "
        f"{totals.entries / took:,.0f} events and {totals.steps / took:,.0f} steps of the loop a second"
    )
    if not bad:
        click.echo("all invariants held")
        return 0
    _tell_bad(bad)
    return 1


def _tell_bad(bad: list[SeedReport]) -> None:
    click.echo(f"{len(bad)} worlds broke an invariant:")
    shown = set[str]()
    for report in sorted(bad, key=lambda r: r.seed):
        click.echo(
            f"  seed {report.seed}: {', '.join(report.invariants)}; "
            f"again with {_COMMAND} --seed {report.seed}"
        )
        if not shown.issuperset(report.invariants) and len(shown) < _SHRUNK_AT_MOST:
            shown.update(report.invariants)
            _small(run_plan(draw(random_scenario(report.seed), report.seed)))


if __name__ == "__main__":
    main(prog_name=_COMMAND)
