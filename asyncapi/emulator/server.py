"""The emulator itself: its address, its switches, and what it has seen."""

import os
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Self

import orjson
from aiohttp import web

from asyncapi.emulator.dialects import DIALECTS, Dialect
from asyncapi.emulator.exchange import Trouble
from asyncapi.emulator.faults import Fault, FaultPlan, Faults, Step, fault_named, script_steps
from asyncapi.emulator.limits import Ledger, Limits
from asyncapi.emulator.records import Counts, Received, Records
from asyncapi.emulator.service import Service
from asyncapi.emulator.timing import Timing


class Emulator:
    """Pretend AI services on one port, each below a path of its own. An emulator runs once.

    Args:
        seed: Answers, vectors and service times are functions of it.
        timing: How long answers take.
        limits: Rate limits of every key, or by key or service name; None for none.
        faults: What goes wrong; None for nothing.
        services: Names of the services to speak as, or dialects of your own; None for all.
        require_key: Services that are sold refuse requests without a key.
        host: Where to listen.
        port: 0 for a free one.
        record_limit: How many requests ``records`` remembers; None for all.
        journal: A file that gets a JSON line at every arrival.

    ```python
    async with Emulator(faults=Faults.everything(0.1)) as emulator:
        client = openai.AsyncOpenAI(api_key="any", base_url=emulator.base_urls["openai"])
    ```
    """

    def __init__(
        self,
        seed: int = 0,
        timing: Timing | None = None,
        limits: Limits | Mapping[str, Limits] | None = None,
        faults: Faults | None = None,
        services: Iterable[str | Dialect] | None = None,
        require_key: bool = True,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        record_limit: int | None = 100_000,
        journal: str | os.PathLike[str] | None = None,
    ) -> None:
        self._dialects = _dialects(services)
        self._host, self._port = host, port
        self._records = Records(record_limit, journal)
        self._runner: web.AppRunner | None = None
        self._service = Service(
            seed,
            self._dialects,
            self._records,
            timing or Timing(),
            FaultPlan(faults or Faults()),
            Ledger(limits),
            require_key=require_key,
        )
        self.app = self._new_app()

    def _new_app(self) -> web.Application:
        app = web.Application(client_max_size=256 * 2**20)
        app.router.add_get("/__emulator__/stats", self._show_stats)
        app.router.add_post("/__emulator__/reset", self._reset)
        app.router.add_route("*", "/{path:.*}", self._service.handle)
        app.on_startup.append(self._on_startup)
        app.on_cleanup.append(self._on_cleanup)
        return app

    async def _on_startup(self, app: web.Application) -> None:
        self._records.open()
        self._service.restart_clock()

    async def _on_cleanup(self, app: web.Application) -> None:
        self._records.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def start(self) -> None:
        """Listen. Requests are answered from here on."""
        # Cancelled handlers are how the client's aborts are seen.
        runner = web.AppRunner(self.app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._host, self._port, backlog=1024).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner
        self._port = runner.addresses[0][1]

    async def aclose(self) -> None:
        """Stop listening and end every connection; what is in flight is cut after a tenth of a second."""
        self._service.closing.set()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        self._records.close()

    @property
    def port(self) -> int:
        """The port that is listened on; 0 before the start, where none was asked for."""
        return self._port

    @property
    def url(self) -> str:
        """The address of the emulator, without a slash at its end."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    @property
    def base_urls(self) -> dict[str, str]:
        """The base URL of each service, as its own SDK takes it."""
        return {name: self.url + dialect.base_path for name, dialect in self._dialects.items()}

    @property
    def timing(self) -> Timing:
        """How long answers take; may be replaced at run time (the number of slots stays)."""
        return self._service.timing

    @timing.setter
    def timing(self, timing: Timing) -> None:
        self._service.timing = timing

    @property
    def faults(self) -> Faults:
        """What goes wrong; may be replaced at run time, which rolls new dice."""
        return self._service.plan.faults

    @faults.setter
    def faults(self, faults: Faults | None) -> None:
        self._service.plan = FaultPlan(faults or Faults())

    def script(
        self,
        kinds: Iterable[Fault | Step | str | None],
        *,
        path: str | None = None,
        model: str | None = None,
        body: str | None = None,
    ) -> None:
        """Let the next matching requests get these faults in turn, before chance has a say."""
        self._service.plan.add(script_steps(kinds, path=path, model=model, body=body))

    def set_limits(self, limits: Limits | Mapping[str, Limits] | None) -> None:
        """Replace the rate limits; every bucket starts full again."""
        self._service.ledger = Ledger(limits)

    def outage(self, seconds: float, kind: Fault | str = Fault.UNAVAILABLE) -> None:
        """Let everything fail from now on for ``seconds``, with ``503`` or ``cut_before``."""
        self._service.outage = (self._service.now() + seconds, fault_named(kind))

    def revoke(self, key: str) -> None:
        """Let every service refuse a key with 401 from now on."""
        self._service.revoked.add(key)

    def exhaust(self, key: str, *, spend_limit: bool = False) -> None:
        """Let a key have no money: 429 insufficient_quota, on Claude 402 billing_error.

        With ``spend_limit``: 429 organization_spend_limit_exceeded, on Claude a 400.
        """
        self._service.exhausted[key] = Trouble.SPEND_LIMIT if spend_limit else Trouble.QUOTA

    def restore(self, key: str) -> None:
        """Take back ``revoke`` and ``exhaust``."""
        self._service.revoked.discard(key)
        self._service.exhausted.pop(key, None)

    @property
    def records(self) -> list[Received]:
        """What was received, oldest first; a copy."""
        return self._records.snapshot()

    def attempts(self, request_id: str) -> int:
        """How often a request id arrived (headers ``x-request-id``, ``x-client-request-id``)."""
        return self._records.attempts(request_id)

    def counts(self) -> Counts:
        """How many requests arrived, by service, status and fault."""
        return self._records.counts()

    def early_retries(self, tolerance: float = 0.005) -> list[Received]:
        """Requests that came again before the wait was over that was asked of the same request id and key.

        Another key may come at once: a wait is asked of one key.

        Units: ``tolerance`` is in seconds.
        """
        return self._records.early_retries(tolerance)

    @property
    def in_flight(self) -> dict[str, int]:
        """Requests that are being answered now, by service and in ``total``."""
        return {name: self._records.in_flight[name] for name in [*self._dialects, "total"]}

    @property
    def peak_in_flight(self) -> dict[str, int]:
        """The most requests that were being answered at one time, by service and in ``total``."""
        return {name: self._records.peak[name] for name in [*self._dialects, "total"]}

    @property
    def aborts(self) -> int:
        """How many clients left before their answer was complete."""
        return self._records.aborts

    @property
    def keys_in_url(self) -> int:
        """How many requests carried their API key in the URL, where it ends in other people's logs."""
        return self._records.keys_in_url

    def reset(self) -> None:
        """Forget what was received."""
        self._records.clear()

    def stats(self) -> dict[str, object]:
        """Everything counted, as ``GET /__emulator__/stats`` tells it."""
        counts = self.counts()
        return {
            "received": counts.received,
            "by_service": counts.by_service,
            "by_status": {str(status): count for status, count in counts.by_status.items()},
            "by_fault": counts.by_fault,
            "in_flight": self.in_flight,
            "peak_in_flight": self.peak_in_flight,
            "aborts": self.aborts,
            "keys_in_url": self.keys_in_url,
            "early_retries": len(self.early_retries()),
        }

    async def _show_stats(self, request: web.Request) -> web.Response:
        return web.Response(body=orjson.dumps(self.stats()), content_type="application/json")

    async def _reset(self, request: web.Request) -> web.Response:
        self.reset()
        return web.Response(body=b"{}", content_type="application/json")


def _dialects(services: Iterable[str | Dialect] | None) -> dict[str, Dialect]:
    chosen: dict[str, Dialect] = {}
    for service in DIALECTS if services is None else services:
        if isinstance(service, str):
            if service not in DIALECTS:
                raise ValueError(f"unknown service {service!r}; expected one of {', '.join(DIALECTS)}")
            service = DIALECTS[service]()
        chosen[service.name] = service
    return chosen
