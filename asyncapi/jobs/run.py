"""The run: rows in, calls in flight, lines out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence

from asyncapi.client import CallOptions
from asyncapi.errors import (
    AsyncAPIError,
    AuthenticationError,
    NoKeyAvailableError,
    QuotaExhaustedError,
)
from asyncapi.jobs.duplicates import SeenIds
from asyncapi.jobs.items import Item, ItemBuilder, item_builder
from asyncapi.jobs.journal import Journal
from asyncapi.jobs.manifest import Manifest, boot_id, locked
from asyncapi.jobs.mapper import Finished, Mapper
from asyncapi.jobs.opening import checked_output, opened_input, opened_journal
from asyncapi.jobs.progress import Progress, Reporter, SilentReporter
from asyncapi.jobs.reader import LineError, Row, Source
from asyncapi.jobs.repeats import Repeats
from asyncapi.jobs.results import answer_line, bad_line, copied_line, error_line, succeeded
from asyncapi.jobs.settings import RunSettings, Summary
from asyncapi.jobs.stop import Stop
from asyncapi.types.requests import Request
from asyncapi.types.responses import Response
from asyncapi.types.usage import Usage

__all__ = ["run"]

_NOTES = 10
_TICK = 0.2
_SLICE = 128
#: Not this item's fault, and not cured by the next one: the key, the account.
_ACCOUNT = (AuthenticationError, NoKeyAvailableError, QuotaExhaustedError)


async def run(
    client: Mapper, settings: RunSettings, *, reporter: Reporter | None = None, stop: Stop | None = None
) -> Summary:
    """Send every row of the input that has no line in the output yet, and write its line.

    Calls wait while a breaker is open instead of failing. An item that fails with an error that may
    pass, after all attempts of the client, is sent again once the file has been read to its end (see
    ``RunSettings.passes``), and counts as not done if the run dies before. Rows, ids and results
    are never held in memory beyond those in flight.

    Args:
        client: Sends the requests; an ``asyncapi.Client``, which the caller closes.
        settings: What to do.
        reporter: Is told how it goes.
        stop: Ends the run early.

    Raises:
        ConfigError: Wrong settings, no usable line, an output of another run, a missing key or an
            unknown model. Nothing was sent.
    """
    reporter, stop = reporter or SilentReporter(), stop or Stop()
    builder = item_builder(settings)
    output = checked_output(settings)
    if settings.model:
        client.check(settings.model)  # else every single line would fail with the same
    with locked(output) as folder:
        try:
            source, found = await asyncio.to_thread(opened_input, settings, folder, builder, stop)
            manifest = Manifest(input=found, identity=settings.identity, boot=boot_id())
            journal = await asyncio.to_thread(opened_journal, output, folder, manifest, settings)
        except InterruptedError:
            return Summary(interrupted=True)
        with contextlib.closing(journal), contextlib.closing(Repeats(journal, found.lines)) as repeats:
            work = _Run(client, settings, source, builder, journal, repeats, reporter, stop, found.lines)
            return await work.run()


@contextlib.asynccontextmanager
async def _closing(results: AsyncIterator[Finished]) -> AsyncIterator[None]:
    try:
        yield
    finally:
        close = getattr(results, "aclose", None)
        if close is not None:
            await close()


class _Run:
    """One run in progress.

    State: ``_pending`` the items that the client holds, by their place in its source; ``_streak``
    failures since the last answer; ``_stopped`` why the run ends early by itself.
    """

    def __init__(
        self,
        client: Mapper,
        settings: RunSettings,
        source: Source,
        builder: ItemBuilder,
        journal: Journal,
        repeats: Repeats,
        reporter: Reporter,
        stop: Stop,
        lines: int,
    ) -> None:
        self._client, self._settings, self._source, self._builder = client, settings, source, builder
        self._journal, self._reporter, self._stop = journal, reporter, stop
        self._repeats = None if settings.ask_repeats else repeats
        self._progress = Progress(lines=lines)
        self._pending: dict[int, Item] = {}
        self._seen: SeenIds | None = None
        self._stopped = ""
        self._ticker: asyncio.TimerHandle | None = None
        self._streak = 0
        self._last_pass = False
        answers, failures = journal.counts
        self._progress.done_before = answers + failures
        self._hopeful = answers > 0
        self._lost = 0

    async def run(self) -> Summary:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        self._reporter.started(self._progress)
        for note in self._journal.notes:
            self._reporter.note(note)
        try:
            self._tick()
            await self._passes()
        finally:
            if self._ticker is not None:
                self._ticker.cancel()
            self._reporter.finished()
        return self._summary(loop.time() - begun)

    async def _passes(self) -> None:
        for number in range(1, self._settings.passes + 1):
            self._progress.passes = number
            self._progress.consumed = self._progress.deferred = 0
            self._last_pass = number == self._settings.passes
            await self._one_pass(first=number == 1)
            if not self._progress.deferred or self._ending:
                return

    async def _one_pass(self, *, first: bool) -> None:
        settings, source = self._settings, self._items(first=first)
        options: CallOptions = {"priority": settings.priority, "on_open": "wait"}
        if settings.timeout is not None:
            options["timeout"] = settings.timeout
        async with self._stop.watch(settings.grace), contextlib.aclosing(source):
            results = self._client.map(source, max_in_flight=settings.concurrency, **options)
            async with _closing(results):
                async for done in results:
                    self._settle(done)
        self._progress.in_flight = 0
        self._pending.clear()

    @property
    def _ending(self) -> bool:
        return bool(self._stop.requested or self._stopped)

    # -- rows to requests

    async def _items(self, *, first: bool) -> AsyncGenerator[Request, None]:
        """The requests still to be sent. It lets the loop run between slices of rows without one."""
        place, idle = 0, 0
        with contextlib.closing(self._seen_ids() if first else SeenIds(0)) as seen:
            for row in self._rows():
                item = self._first(row, seen) if first else self._again(row)
                if item is not None and self._repeats is not None:
                    item = await self._unless_repeated(item, self._repeats)
                if item is None:
                    idle += 1
                    if idle % _SLICE == 0:
                        await asyncio.sleep(0)
                else:
                    self._pending[place] = item
                    self._progress.sent += 1
                    self._progress.in_flight = min(len(self._pending), self._settings.concurrency)
                    yield item.request
                    place += 1
                if self._ending:
                    return
        self._progress.lines = self._progress.consumed

    def _rows(self) -> Iterator[Row]:
        for row in self._source:
            if row.index >= self._progress.lines:
                break  # the file grew since it was counted
            self._progress.consumed = row.index + 1
            yield row

    def _seen_ids(self) -> SeenIds:
        return SeenIds(0 if self._builder.numbered else self._progress.lines)

    def _first(self, row: Row, seen: SeenIds) -> Item | None:
        """The item of a row that is read for the first time in this run, unless there is nothing to send."""
        done = self._journal.done(row.index)
        if done and self._builder.numbered and self._repeats is None:
            return None
        try:
            item = self._builder.build(row, self._source)
        except LineError as error:
            if not done:
                self._bad(row, str(error))
            return None
        if not self._builder.numbered and (before := seen.first(item.custom_id, row.line)) != row.line:
            if not done:
                self._duplicate(item, before)
            return None
        if not done:
            return item
        if self._repeats is not None:
            self._repeats.first(item)  # later rows may ask the same
        return None

    async def _unless_repeated(self, item: Item, repeats: Repeats) -> Item | None:
        """The item, if it is the one to be sent of all that make its request."""
        place, first = await repeats.place(item)
        if place == "done":
            line = self._journal.line(first)
            copy, usage = copied_line(line, item)
            good = succeeded(line)
            if self._write(item.index, copy, failed=not good):
                self._repeated(item, usage if good else None)
        elif place == "deferred":
            self._defer(item)
        elif place == "first":
            repeats.sent(item)
            return item
        return None

    def _again(self, row: Row) -> Item | None:
        """The item of a row that an earlier pass deferred."""
        return self._builder.build(row, self._source) if self._journal.deferred(row.index) else None

    def _bad(self, row: Row, reason: str) -> None:
        if self._write(row.index, bad_line(row.index, f"line-{row.line}", reason), failed=True):
            self._progress.bad += 1
            self._note(self._progress.bad, f"line {row.line}: {reason}")

    def _duplicate(self, item: Item, before: int) -> None:
        self._progress.duplicates += 1
        self._note(
            self._progress.duplicates,
            f"line {item.line}: id {item.custom_id!r:.60} was used on line {before} already: not sent",
        )

    def _note(self, count: int, text: str) -> None:
        if count <= _NOTES:
            self._reporter.note(text)
        elif count == _NOTES + 1:
            self._reporter.note("further ones are counted, not shown")

    # -- results to lines

    def _settle(self, done: Finished) -> None:
        item = self._pending.pop(done.index)
        self._progress.in_flight = min(len(self._pending), self._settings.concurrency)
        others = self._repeats.settled(item) if self._repeats is not None else ()
        if done.error is not None:
            self._failed(item, others, done.error)
        elif done.response is not None:
            self._answered(item, others, done.response)

    def _answered(self, item: Item, others: Sequence[Item], response: Response) -> None:
        if not self._write(item.index, answer_line(item, response), failed=False):
            return
        progress, usage = self._progress, response.usage
        self._streak, self._hopeful = 0, True
        progress.succeeded += 1
        progress.retries += max(0, response.attempts - 1)
        progress.latencies.add(response.timings.total_s)
        if response.served.source == "service":
            progress.input_tokens += usage.input_tokens or 0
            progress.output_tokens += usage.output_tokens or 0
        else:
            progress.cached += 1
            progress.saved.add(usage, self._settings.prices.get(item.request.model))
        for other in others:
            if self._write(other.index, answer_line(other, response), failed=False):
                self._repeated(other, usage)

    def _repeated(self, item: Item, usage: Usage | None) -> None:
        """A row has its line though it was not sent; ``usage`` is None for a failure."""
        progress = self._progress
        progress.repeated += 1
        if usage is None:
            progress.failed += 1
        else:
            progress.succeeded += 1
            progress.saved.add(usage, self._settings.prices.get(item.request.model))

    def _failed(self, item: Item, others: Sequence[Item], error: AsyncAPIError) -> None:
        self._progress.retries += max(0, error.attempts - 1)
        self._blow_fuse(error)
        if (error.retryable or isinstance(error, _ACCOUNT)) and not self._last_pass:
            for deferred in (item, *others):
                self._defer(deferred)
        elif not (self._stopped and isinstance(error, _ACCOUNT)):
            if self._write(item.index, error_line(item, error), failed=True):
                self._progress.failed += 1
            for other in others:
                if self._write(other.index, error_line(other, error), failed=True):
                    self._repeated(other, None)

    def _defer(self, item: Item) -> None:
        self._progress.deferred += 1
        self._journal.defer(item.index)

    def _blow_fuse(self, error: AsyncAPIError) -> None:
        """Stop a run in which everything fails: a wrong key should cost dozens of calls, not millions."""
        self._streak += 1
        if self._settings.keep_going or self._streak < max(20, self._settings.concurrency):
            return
        if not self._stopped and (isinstance(error, _ACCOUNT) or not self._hopeful):
            self._stopped = f"the last {self._streak} items all failed, this one with: {error}"
            self._reporter.note(f"stopping: {self._stopped}")
            self._stop.drain()

    def _write(self, index: int, line: bytes, *, failed: bool) -> bool:
        try:
            self._journal.write(index, line, failed=failed)
            written = True
        except OSError:
            written = False
            self._lost += 1
        if self._journal.full is not None and not self._stopped:
            self._stopped = f"can't write the output: {self._journal.full.strerror}"
            self._reporter.note(f"stopping: {self._stopped}; waiting for what is in flight")
            self._stop.drain()
        return written

    # -- reporting

    def _tick(self) -> None:
        self._reporter.tick()
        self._ticker = asyncio.get_running_loop().call_later(_TICK, self._tick)

    def _summary(self, seconds: float) -> Summary:
        p, failed = self._progress, self._journal.counts[1]
        return Summary(
            rows=p.lines,
            sent=p.sent,
            succeeded=p.succeeded,
            failed=p.failed,
            done_before=p.done_before,
            bad=p.bad,
            duplicates=p.duplicates,
            remaining=p.lines - p.accounted,
            lost=self._lost,
            failed_in_output=failed,
            repeated=p.repeated,
            cached=p.cached,
            retries=p.retries,
            input_tokens=p.input_tokens,
            output_tokens=p.output_tokens,
            saved_input_tokens=p.saved.input_tokens,
            saved_output_tokens=p.saved.output_tokens,
            saved_money=p.saved.money,
            wall_s=seconds,
            rate=p.succeeded / seconds if seconds > 0 else 0.0,
            latency_p50_s=p.latencies.percentile(0.5),
            latency_p95_s=p.latencies.percentile(0.95),
            interrupted=bool(self._stop.requested),
            stopped=self._stopped,
        )
