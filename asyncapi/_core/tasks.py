"""Every task has an owner that closes it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

__all__ = ["Tasks"]


class Tasks:
    """Holds tasks strongly until they end, and ends those that are left.

    State: ``_running``. (The event loop itself holds tasks only weakly.)
    """

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._running)

    def start(
        self,
        coroutine: Coroutine[Any, Any, None],
        name: str,
        on_failure: Callable[[BaseException], None] | None = None,
    ) -> asyncio.Task[None]:
        """Start a task. What it raises goes to ``on_failure``, else to the loop's exception handler."""
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._running.add(task)

        def done(task: asyncio.Task[None]) -> None:
            self._running.discard(task)
            if task.cancelled() or (error := task.exception()) is None:
                return
            if on_failure is not None:
                on_failure(error)
                return
            task.get_loop().call_exception_handler(
                {"message": f"{name} failed", "exception": error, "task": task}
            )

        task.add_done_callback(done)
        return task

    async def aclose(self) -> None:
        """Cancel what runs and wait until it is gone."""
        while self._running:
            for task in self._running:
                task.cancel()
            await asyncio.wait(self._running)
            # The done callbacks run on the next turn.
            await asyncio.sleep(0)
