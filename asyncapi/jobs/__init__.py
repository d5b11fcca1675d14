"""Bulk work: a file of requests in, a file of results out, and a journal that survives any crash.

``run`` is the whole of it; ``RunSettings`` says what to do, ``Summary`` what was done, ``Reporter``
is told meanwhile and ``Stop`` ends a run early. The parts: ``reader`` (rows of a file), ``items``
(a row to a request), ``results`` (an answer to a line), ``journal`` (what is done already).
"""

from __future__ import annotations

from asyncapi.jobs.mapper import Mapper
from asyncapi.jobs.progress import Progress, Reporter
from asyncapi.jobs.run import run
from asyncapi.jobs.settings import RunSettings, Summary
from asyncapi.jobs.stop import Stop

__all__ = ["Mapper", "Progress", "Reporter", "RunSettings", "Stop", "Summary", "run"]
