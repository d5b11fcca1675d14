"""Run the suites, print Markdown tables, write docs/benchmarks/."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import importlib
import shlex
import sys
import time

import benchmarks
from benchmarks.bounds import verdicts
from benchmarks.machine import machine
from benchmarks.measure import Row, pin
from benchmarks.report import table, tables, write
from benchmarks.suites import SUITES, Plan

#: What a quick run leaves out.
_LONG = ("collector", "embeddings", "growth", "memory", "rivals")


async def run(names: list[str], plan: Plan) -> list[Row]:
    """The suites one after the other; each table goes to stderr as soon as it is there."""
    rows: list[Row] = []
    for name in names:
        started = time.perf_counter()
        suite = importlib.import_module(f"benchmarks.suites.{name}")
        own = [row async for row in suite.run(plan)]
        rows += own
        took = f"{name}: {time.perf_counter() - started:.1f} s"
        print(
            f"\n{took}\n\n{table(own)}" if own else f"\n{took}, nothing measured", file=sys.stderr, flush=True
        )
    return rows


def main() -> int:
    """The command line."""
    given = _parser().parse_args()
    pin(0)
    plan = Plan.a_quick_one() if given.quick else Plan(rounds=given.rounds, scale=given.scale)
    plan = dataclasses.replace(plan, million=given.million, uvloop=given.uvloop)
    names = given.only or [n for n in SUITES if not (given.quick and n in _LONG) and n != "rivals"]
    names += ["rivals"] * (given.rivals and "rivals" not in names)
    loop = "uvloop" if given.uvloop else "asyncio"
    about = machine(f"python -m benchmarks {shlex.join(sys.argv[1:])}".strip(), loop)
    if given.uvloop:
        import uvloop

        rows = uvloop.run(run(names, plan))
    else:
        rows = asyncio.run(run(names, plan))
    print("\n".join(f"- {key}: {value}" for key, value in about.items()))
    print(f"\n{tables(rows)}")
    if not given.quick and not given.only:
        write(rows, about, loop)
    if given.name:
        write(rows, about, given.name)
    return 1 if given.check and not all(holds for *_, holds in verdicts(rows)) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=benchmarks.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds; nothing is written")
    parser.add_argument("--only", nargs="+", choices=SUITES, metavar="NAME", help=", ".join(SUITES))
    parser.add_argument("--rivals", action="store_true", help="with the rivals that are installed")
    parser.add_argument("--million", action="store_true", help="watch memory over a million calls, too")
    parser.add_argument("--uvloop", action="store_true", help="on uvloop")
    parser.add_argument("--rounds", type=int, default=7, help="interleaved rounds of each comparison")
    parser.add_argument("--scale", type=int, default=4, help="times as many operations as in a quick run")
    parser.add_argument("--check", action="store_true", help="exit with 1 if anything misses its bound")
    parser.add_argument("--name", help="write docs/benchmarks/NAME.* even of a part")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
