"""A run in a process of its own, to be killed: each call that starts is noted in a file."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Unpack

sys.path.insert(0, str(Path(__file__).parents[2]))

from asyncapi import jobs
from asyncapi.client import CallOptions
from asyncapi.types.requests import Request
from tests.jobs.fakes import FakeClient, Finished, echo, text_of


class NotingClient(FakeClient):
    """Notes every call when it starts."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    async def map(
        self, requests: AsyncIterator[Request], /, *, max_in_flight: int, **options: Unpack[CallOptions]
    ) -> AsyncGenerator[Finished, None]:
        """Results as they finish."""

        async def noted() -> AsyncIterator[Request]:
            async for request in requests:
                os.write(self._fd, f"{text_of(request)}\n".encode())
                yield request

        async for done in super().map(noted(), max_in_flight=max_in_flight, **options):
            yield done


if __name__ == "__main__":
    source, output, calls = sys.argv[1:4]
    settings = jobs.RunSettings(
        input=source, output=Path(output), model="fake:m", prompt="{q}", concurrency=10, grace=0
    )
    client = NotingClient(calls)
    client._answer = echo
    sys.exit(asyncio.run(jobs.run(client, settings)).exit_code)
