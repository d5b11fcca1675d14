"""Settings of the semantic cache."""

from __future__ import annotations

import inspect
from typing import Annotated, Any, TypeAlias

import msgspec

from asyncapi.config.fields import Count, Portion, Seconds, Share, check_fields, shown
from asyncapi.errors import ConfigError

__all__ = ["Semantic"]

_Embed: TypeAlias = Annotated[
    Any, msgspec.Meta(description='"endpoint:model", or in Python an async function from texts to vectors')
]
_Guard: TypeAlias = Annotated[
    Any, msgspec.Meta(description="in Python a function of two texts that says whether they may share")
]


class Semantic(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Answers for a chat whose last text only means the same as one before. All else must be the same.

    ``embed`` is an embedding model, such as "hf_tei:BAAI/bge-m3", asked through the client itself, or an
    async function from a list of texts to as many vectors. ``threshold`` is the cosine from which on two
    texts are compared word by word by the ``guard`` (``safe_to_share`` if nothing is said): 0.85 suits
    all-MiniLM-L6-v2; measure it for any other model with ``calibrate``.

    Not for chats above ``max_temperature`` (None, the service's own, is not above it), nor for last texts
    of more than ``max_chars`` characters. A lookup delays a call by ``patience`` seconds at most. The
    ``max_entries`` most recently used texts and vectors are kept in memory.
    """

    embed: _Embed
    threshold: Portion = 0.85
    guard: _Guard | None = None
    max_temperature: Share = 0.3
    max_chars: Count = 800
    max_entries: Count = 20_000
    patience: Seconds = 1.0

    def __post_init__(self) -> None:
        check_fields(self, "semantic")
        if isinstance(self.embed, str):
            name, colon, model = self.embed.partition(":")
            if not (name and colon and model):
                raise ConfigError(
                    f'semantic.embed: expected "endpoint:model" or a function, got {shown(self.embed)}'
                )
        elif not callable(self.embed):
            raise ConfigError(
                f'semantic.embed: expected "endpoint:model" or a function, got {shown(self.embed)}'
            )
        if self.guard is not None and not callable(self.guard):
            raise ConfigError(f"semantic.guard: expected a function of two texts, got {shown(self.guard)}")
        if inspect.iscoroutinefunction(self.guard):  # what it returns would count as True
            raise ConfigError("semantic.guard: expected a plain function of two texts, got an async one")
