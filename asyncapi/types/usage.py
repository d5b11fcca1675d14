"""What a call consumed, in one normal form for every service."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["Usage"]


class Usage(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Tokens of one answer. None means that the service did not say: absent is not zero.

    ``input_tokens`` includes cache reads and writes, ``output_tokens`` includes reasoning,
    whatever the service's own habit is.

    Units: tokens.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    source: Literal["reported", "header", "estimated", "unknown"] = "unknown"

    @property
    def total_tokens(self) -> int | None:
        """Input and output together, None when the service gave neither."""
        if self.input_tokens is None and self.output_tokens is None:
            return None
        return (self.input_tokens or 0) + (self.output_tokens or 0)
