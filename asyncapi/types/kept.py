"""What a cache gives back."""

from __future__ import annotations

import msgspec

from asyncapi.types.responses import Chunk, Response

__all__ = ["Kept"]


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """An answer from a cache, nobody else's: its reader may change what is in it.

    ``chunks`` are there if it was asked for as a stream. ``endpoint`` and ``backend`` say who gave it,
    ``age_s`` how long ago (seconds). ``similarity`` is the cosine to what was asked then, for an answer
    that was found by meaning.
    """

    response: Response
    chunks: tuple[Chunk, ...] = ()
    endpoint: str = ""
    backend: str = ""
    age_s: float = 0.0
    similarity: float | None = None
