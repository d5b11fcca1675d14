"""``asyncapi demo``: the tour.

::

    work     what is asked, of whom, how urgently, and what became of it
    errands  one for each verb, with the check of its answer
    scenes   what goes wrong, and when
    watch    what is seen meanwhile: samples, events, latencies
    view     the live picture on a terminal, or plain lines
    account  the table at the end: every call, counted on both sides
    report   the page: the same with plots
    svg      the plots
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import click

__all__ = ["command"]


@click.command(
    "demo",
    epilog="""\b
Examples:
  asyncapi demo
  asyncapi demo --quick --report report.html""",
)
@click.option("--quick", is_flag=True, help="Four seconds instead of twelve.")
@click.option("--seed", type=int, default=0, show_default=True, help="For answers, faults and traffic.")
@click.option(
    "--report", metavar="FILE", help="Where to write the page; default a file in the temporary folder."
)
@click.option("--no-report", is_flag=True, help="Write no page.")
def command(quick: bool, seed: int, report: str | None, no_report: bool) -> int:
    """See it work, without any key.

    Starts pretend services, sends mixed work of every kind to all of them, lets keys, connections and
    whole services fail, checks every answer, and accounts for every call at the end: the callers', the
    client's and the services' own count.
    """
    import asyncapi.transports.direct  # slow to import: not in the middle of the picture
    import asyncapi.transports.s3  # noqa: F401
    from asyncapi.cli.demo.tour import tour

    path = None if no_report else Path(report or Path(tempfile.gettempdir()) / "asyncapi-demo.html")
    return asyncio.run(tour(seed=seed, seconds=4.0 if quick else 12.0, report=path))
