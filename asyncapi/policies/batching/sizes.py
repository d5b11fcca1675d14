"""How much one request may carry: what the service's row says, and less where a service refused that."""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec.structs import replace

from asyncapi.errors import AsyncAPIError, ProviderError
from asyncapi.types.wire import BatchLimit

__all__ = ["Ceiling", "Sizes", "too_large"]

#: Good batches of full size before a ceiling is raised for the first time.
PATIENCE = 32
#: Ceilings are kept for so many pairs of operation and model.
MOST_LINES = 200

#: What services say when there are too many items, or too many tokens in all of them together.
#: Sources: TEI's router ("batch size 33 > maximum allowed batch size 32"); OpenAI's API ("array too long",
#: "max 300000 tokens per request"); Gemini's API ("at most 100 requests can be in one batch"); OVMS
#: ("number of documents exceeds").
_TOO_MANY = re.compile(
    r"batch size|too many (inputs|items|texts|documents|prompts|requests in)|array.{0,20} too long|"
    r"array_above_max_length|at most \d+ (requests|inputs|items|texts|documents)|tokens per request|"
    r"max_tokens_per_request|number of (inputs|items|texts|documents).{0,40}exceed|EntityTooLarge",
    re.IGNORECASE,
)


def too_large(error: AsyncAPIError) -> str:
    """Whether a refusal says by itself that the request carried too much: of "bytes" or "items", else ""."""
    if not isinstance(error, ProviderError):
        return ""
    if error.status == 413:
        return "bytes"
    return "items" if _TOO_MANY.search(f"{error.code} {error.message}") else ""


class Ceiling:
    """What a service takes of something, learned from what it took and what it refused.

    A refusal halves it, but not below what was taken before. After ``patience`` good requests near the
    ceiling it is raised by an eighth; each refusal after a raise doubles the patience, so that what
    trying costs goes to nothing where the ceiling is real, and a passing one is forgotten.

    State: the ``value``, the largest amount ``proven``, the ``_streak`` of good requests near the value, the
    ``_patience``, and whether it was ``_raised`` since the last refusal.
    """

    __slots__ = ("_patience", "_proven", "_raised", "_streak", "value")

    def __init__(self, refused: int) -> None:
        self.value = max(1, refused // 2)
        self._proven = 0
        self._streak = 0
        self._patience = PATIENCE
        self._raised = False

    def refused(self, amount: int) -> None:
        """So much was too much. What is above the ceiling was sent before it fell, and teaches nothing."""
        self._streak = 0
        if amount > self.value:
            return
        if self._proven >= amount:
            self._proven = 0  # it depends on more than the amount
        self.value = max(1, amount // 2, self._proven)
        if self._raised:
            self._patience *= 2
            self._raised = False

    def accepted(self, amount: int) -> None:
        """So much was taken."""
        self._proven = max(self._proven, min(amount, self.value))
        if 8 * amount < 7 * self.value:
            return
        self._streak += 1
        if self._streak >= self._patience:
            self.value += max(1, self.value // 8)
            self._streak = 0
            self._raised = True


class Sizes:
    """The limits of one endpoint's requests, by operation and model.

    State: the ``_rows`` by operation, and the ``_learned`` ceilings of items and bytes, where there are any.
    """

    def __init__(self, rows: Mapping[str, BatchLimit]) -> None:
        self._rows = rows
        self._learned: dict[tuple[str, str], dict[str, Ceiling]] = {}

    def limit(self, operation: str, model: str) -> BatchLimit:
        """What a request may carry now."""
        row = self._rows[operation]
        if not self._learned or not (learned := self._learned.get((operation, model))):
            return row
        items, size = learned.get("items"), learned.get("bytes")
        if items is not None:
            row = replace(row, items=min(row.items, items.value))
        if size is not None:
            row = replace(row, bytes=size.value if row.bytes is None else min(row.bytes, size.value))
        return row

    def told(self, items: int) -> None:
        """The server said how many items it takes."""
        self._rows = {operation: replace(row, items=items) for operation, row in self._rows.items()}

    def refused(self, operation: str, model: str, measure: str, amount: int) -> None:
        """So much of "items" or "bytes" was too much."""
        if amount < 2:
            return
        key = (operation, model)
        if key not in self._learned and len(self._learned) >= MOST_LINES:
            del self._learned[next(iter(self._learned))]
        ceilings = self._learned.setdefault(key, {})
        if measure in ceilings:
            ceilings[measure].refused(amount)
        else:
            ceilings[measure] = Ceiling(amount)

    def accepted(self, operation: str, model: str, items: int, size: int) -> None:
        """A request of so many items and bytes was answered."""
        if not self._learned or not (learned := self._learned.get((operation, model))):
            return
        for measure, amount in (("items", items), ("bytes", size)):
            if measure in learned:
                learned[measure].accepted(amount)
