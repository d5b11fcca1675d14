"""The semantic cache: the answer to a chat whose last text meant the same as the one asked now.

::

    same to the byte    service, tenant, model, parameters, system prompt, the conversation so far
    by meaning          the last user text: near as a vector, then word by word through the guard

It holds no answers: only vectors, texts and the keys of answers in the exact cache. An answer that is gone
there, or too old, is a miss, and its vector goes. What was found by meaning is not added itself, so that
no chain of small steps leads from one question to another one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import msgspec

from asyncapi.caching.guard import LONGEST, safe_to_share
from asyncapi.caching.keys import request_key
from asyncapi.caching.neighbours import Neighbour, Neighbours, unit
from asyncapi.config.semantic import Semantic
from asyncapi.errors import ConfigError
from asyncapi.types.kept import Kept
from asyncapi.types.messages import Message, Text
from asyncapi.types.requests import ChatRequest, Request, RespondRequest

if TYPE_CHECKING:
    from asyncapi.caching.neighbours import Vector

__all__ = ["SemanticCache", "Subject"]

#: Stands for the last text in the key of all the rest. No request has it: it is no answer's key.
_LAST_TEXT = "\0the last text\0"

#: Characters: with less there is no meaning to compare.
_SHORTEST = 8


class Subject(msgspec.Struct, gc=False):
    """What is compared of a request: the last user ``text``; ``group`` stands for all the rest.

    ``vector`` is there once the text was embedded.
    """

    group: bytes
    text: str
    vector: Vector | None = None


class SemanticCache:
    """Finds what was asked before and means the same.

    State: the ``neighbours``.

    Raises:
        ConfigError: numpy is missing.
    """

    def __init__(self, settings: Semantic) -> None:
        try:
            import numpy  # noqa: F401
        except ImportError:
            raise ConfigError(
                "the semantic cache needs numpy: pip install 'asyncapi-inference[semantic]'"
            ) from None
        self.settings = settings
        self.neighbours = Neighbours(settings.max_entries)
        self._guard: Callable[[str, str], bool] = settings.guard or safe_to_share

    def subject(self, request: Request, service: bytes, tenant: str) -> Subject | None:
        """What is compared of a request; None for one that takes no part."""
        if not isinstance(request, ChatRequest) or not self._may(request):
            return None
        text = _plain_text(request.messages[-1])
        if text is None or not _SHORTEST <= len(text) <= min(self.settings.max_chars, LONGEST):
            return None
        *before, last = request.messages
        rest = msgspec.structs.replace(request, messages=(*before, Message("user", _LAST_TEXT, last.name)))
        group = request_key(rest, service, tenant)
        return None if group is None else Subject(group, text)

    def _may(self, request: ChatRequest) -> bool:
        """Whether it is a plain chat: one answer in text, asked for without much chance."""
        if type(request) is not ChatRequest and not _starts_here(request):
            return False
        if request.tools or request.logprobs or (request.n or 1) != 1 or request.extra is not None:
            return False
        if request.temperature is not None and request.temperature > self.settings.max_temperature:
            return False
        messages = request.messages
        return bool(messages) and messages[-1].role == "user" and all(map(_is_text, messages))

    async def find(
        self, subject: Subject, get: Callable[[bytes], Awaitable[Kept | None]]
    ) -> tuple[Kept, float] | None:
        """The kept answer to the most alike text that the guard lets pass, and their cosine.

        Args:
            subject: With its vector.
            get: The exact cache, by key.
        """
        if subject.vector is None:
            return None
        for near in self.alike(subject):
            kept = await get(near.key)
            if kept is not None:
                self.neighbours.used(near.key)
                return kept, near.similarity
            self.neighbours.remove(near.key)
        return None

    def alike(self, subject: Subject) -> list[Neighbour]:
        """What was asked before and may share its answer, the most alike first."""
        if subject.vector is None:
            return []
        found = self.neighbours.nearest(subject.group, subject.vector, self.settings.threshold)
        return [near for near in found if self._guard(subject.text, near.text)]

    def add(self, subject: Subject, key: bytes) -> None:
        """An answer to it is kept under this key now."""
        if subject.vector is not None:
            self.neighbours.add(subject.group, key, subject.text, subject.vector)

    @staticmethod
    def embedded(subject: Subject, values: object) -> None:
        """Its vector is there."""
        subject.vector = unit(values)  # type: ignore[arg-type]


def _starts_here(request: ChatRequest) -> bool:
    """Whether all that the service answers from is in the request itself."""
    return type(request) is RespondRequest and not request.previous_response_id


def _is_text(message: Message) -> bool:
    content = message.content
    return isinstance(content, str) or all(type(part) is Text for part in content)


def _plain_text(message: Message) -> str | None:
    """The text of a message of one part, without prompt-cache marks."""
    content = message.content
    if isinstance(content, str):
        return content
    if len(content) == 1 and isinstance(content[0], Text) and content[0].cache is None:
        return content[0].text
    return None
