"""The semantic cache at work: embed the last text, look for one that means the same, keep what is new."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import msgspec

from asyncapi.caching.exact import ExactCache
from asyncapi.caching.semantic import SemanticCache
from asyncapi.config import Semantic
from asyncapi.errors import ConfigError
from asyncapi.options import CallOptions
from asyncapi.question import Question, Questions
from asyncapi.types.kept import Kept
from asyncapi.types.requests import EmbedRequest, Request
from asyncapi.types.responses import EmbedResponse, Response

__all__ = ["Alike", "Ask"]

#: After so many embeddings in a row that failed or came too late, none is asked for during so many seconds:
#: a model that hangs would delay every call by the settings' patience.
_FAILURES, _REST_S = 3, 30.0

#: The client's way to ask, through all of its stations.
Ask = Callable[[Request, CallOptions], Awaitable[Response]]


class Alike:
    """Finds the answers of chats that meant the same.

    It is asked when the exact cache has no answer, and before anything is sent: a hit saves the call, a
    miss costs the time of an embedding. What can't be embedded in time is a miss.

    State: how many embeddings in a row ``_failed``, and until when none is asked for (``_rests``).

    Args:
        settings: Which embedding, which threshold.
        questions: For the part of a request that must be the same.
        cache: Where the answers are.
        ask: For embeddings: so they are batched, guarded, shared and kept like any other call.
        report: Told of what went wrong.
        clock: Seconds.
    """

    def __init__(
        self,
        settings: Semantic,
        questions: Questions,
        cache: ExactCache,
        ask: Ask,
        report: Callable[[Question, Exception, str], None],
        clock: Callable[[], float],
    ) -> None:
        self.semantic = SemanticCache(settings)
        self._settings = settings
        self._questions = questions
        self._cache = cache
        self._ask = ask
        self._report = report
        self._clock = clock
        self._failed = 0
        self._rests = -math.inf

    async def find(self, question: Question, *, stream: bool = False) -> Kept | None:
        """The answer to what was asked before and means the same."""
        tenant = question.options.get("tenant", "")
        service = self._questions.service(question.request.model)
        subject = self.semantic.subject(question.request, service, tenant)
        if subject is None or self._clock() < self._rests:
            return None
        question.subject = subject
        part = "embedding"
        try:
            async with asyncio.timeout(self._settings.patience):
                vectors = await self._embedded(question, (subject.text,))
            self.semantic.embedded(subject, vectors[0])
            self._failed = 0
            part = "search"
            get = partial(self._cache.get, ttl=question.ttl, stream=stream)
            found = await self.semantic.find(subject, get)
        except ConfigError:
            raise  # an endpoint that can't embed: better told now than never
        except Exception as error:  # noqa: BLE001  whatever fails here must not fail the call
            self._report(question, error, part)
            if part == "embedding":
                self._failed += 1
                if self._failed >= _FAILURES:
                    self._rests = self._clock() + _REST_S
            return None
        if found is None:
            return None
        kept, similarity = found
        return msgspec.structs.replace(kept, similarity=similarity)

    def keep(self, question: Question) -> None:
        """The answer is in the exact cache now: it can be found by what its question meant."""
        if question.subject is not None:
            self.semantic.add(question.subject, question.key)

    async def _embedded(self, question: Question, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        embed = self._settings.embed
        if not isinstance(embed, str):
            vectors: Sequence[Sequence[float]] = await embed(texts)
            return vectors
        options: CallOptions = {}
        if "tenant" in question.options:
            options["tenant"] = question.options["tenant"]
        if "priority" in question.options:
            options["priority"] = question.options["priority"]
        response = await self._ask(EmbedRequest(model=embed, inputs=tuple(texts)), options)
        assert isinstance(response, EmbedResponse)
        return response.vectors
