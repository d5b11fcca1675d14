"""Operations on lists of texts in the OpenAI dialect: one vector, score, verdict or label for each."""

from __future__ import annotations

from typing import Any, TypeVar

from asyncapi.backends._openai_codec import Body, Codec, by_index, number, typed
from asyncapi.backends._openai_quirks import Quirks
from asyncapi.backends._openai_reply import ReplyReader, read_usage, request_id
from asyncapi.backends._openai_request import RequestWriter
from asyncapi.errors import ConfigError
from asyncapi.types.requests import (
    ClassifyRequest,
    EmbedRequest,
    ModelsRequest,
    ModerateRequest,
    Request,
    RerankRequest,
    ScoreRequest,
    TokenizeRequest,
)
from asyncapi.types.responses import (
    ClassifyResponse,
    EmbedResponse,
    Label,
    ModelsResponse,
    ModerateResponse,
    Moderation,
    RerankResponse,
    ScoreResponse,
    Token,
    TokenizeResponse,
)
from asyncapi.types.wire import WireResponse

__all__ = ["Classify", "Embed", "Models", "Moderate", "Rerank", "Score", "Tokenize"]

R = TypeVar("R", bound=Request)


class _Read(Codec[R]):
    """An operation that ``ReplyReader`` reads."""

    def __init__(self, service: str, quirks: Quirks) -> None:
        super().__init__(service, quirks)
        self._reader = ReplyReader(service, quirks)


class Embed(_Read[EmbedRequest]):
    """Vectors."""

    operation = "embed"

    def __init__(self, service: str, quirks: Quirks) -> None:
        super().__init__(service, quirks)
        self._writer = RequestWriter(service, quirks)

    def write(self, request: EmbedRequest, notes: list[str]) -> Body:
        """The body."""
        return self._writer.embed(request, notes)

    def read(self, request: EmbedRequest, reply: WireResponse) -> EmbedResponse:
        """The vectors in order."""
        return self._reader.embed(request, self.object(reply), reply.headers)


class Rerank(_Read[RerankRequest]):
    """Documents by their score."""

    operation = "rerank"

    def write(self, request: RerankRequest, notes: list[str]) -> Body:
        """The body."""
        return self.quirks.rerank.write(request)

    def read(self, request: RerankRequest, reply: WireResponse) -> RerankResponse:
        """The documents by falling score."""
        return self._reader.rerank(request, self.object(reply), reply.headers)


class Models(_Read[ModelsRequest]):
    """The list of models."""

    operation = "models"

    def route(self, request: ModelsRequest) -> tuple[str, str]:
        """A GET."""
        return "GET", self.path

    def write(self, request: ModelsRequest, notes: list[str]) -> Body:
        """Nothing."""
        return None

    def read(self, request: ModelsRequest, reply: WireResponse) -> ModelsResponse:
        """The models."""
        return self._reader.models(request, self.object(reply), reply.headers)


class Moderate(Codec[ModerateRequest]):
    """The content policy's verdicts."""

    operation = "moderate"

    def write(self, request: ModerateRequest, notes: list[str]) -> Body:
        """The body; without a model the service takes its newest."""
        body: dict[str, Any] = {"input": request.inputs}
        return {"model": request.model, **body} if request.model else body

    def read(self, request: ModerateRequest, reply: WireResponse) -> ModerateResponse:
        """One verdict per text, in order."""
        data = self.object(reply)
        results = tuple([_verdict(item) for item in typed(data["results"], list)])
        if len(results) != len(request.inputs):
            raise ValueError(f"{len(results)} verdicts for {len(request.inputs)} texts")
        return ModerateResponse(
            id=_text(data.get("id")),
            model=_text(data.get("model")) or request.model,
            results=results,
            usage=read_usage(data.get("usage")),
            raw=data,
            provider_request_id=request_id(reply.headers),
        )


class Classify(Codec[ClassifyRequest]):
    """Labels. Of each text's classes the service names only the best.

    Source: vLLM 0.33, /classify.
    """

    operation = "classify"

    def write(self, request: ClassifyRequest, notes: list[str]) -> Body:
        """The body.

        Raises:
            ConfigError: There are pairs of texts.
        """
        if not all(isinstance(one, str) for one in request.inputs):
            raise ConfigError(f"{self.service} labels single texts, not pairs; score() compares two texts")
        body: dict[str, Any] = {"model": request.model, "input": request.inputs}
        if request.raw_scores:
            body["use_activation"] = False
        return body

    def read(self, request: ClassifyRequest, reply: WireResponse) -> ClassifyResponse:
        """The best label of each text with its score; ``raw`` has the scores of all classes."""
        data = self.object(reply)
        return ClassifyResponse(
            id=_text(data.get("id")),
            model=_text(data.get("model")) or request.model,
            results=tuple([(_label(item),) for item in by_index(data["data"], len(request.inputs))]),
            usage=read_usage(data.get("usage")),
            raw=data,
            provider_request_id=request_id(reply.headers),
        )


class Score(Codec[ScoreRequest]):
    """How alike a query and each document are.

    Source: vLLM 0.33, /score, in the form that its older releases take too.
    """

    operation = "score"

    def write(self, request: ScoreRequest, notes: list[str]) -> Body:
        """The body."""
        return {"model": request.model, "text_1": request.query, "text_2": request.documents}

    def read(self, request: ScoreRequest, reply: WireResponse) -> ScoreResponse:
        """The scores in the documents' order."""
        data = self.object(reply)
        items = by_index(data["data"], len(request.documents))
        return ScoreResponse(
            id=_text(data.get("id")),
            model=_text(data.get("model")) or request.model,
            scores=tuple([number(item["score"]) for item in items]),
            usage=read_usage(data.get("usage")),
            raw=data,
            provider_request_id=request_id(reply.headers),
        )


class Tokenize(Codec[TokenizeRequest]):
    """Tokens, of one text a request; the client cuts longer lists.

    Source: vLLM 0.33, /tokenize.
    """

    operation = "tokenize"

    def write(self, request: TokenizeRequest, notes: list[str]) -> Body:
        """The body.

        Raises:
            ConfigError: There are several texts.
        """
        if len(request.inputs) != 1:
            raise ConfigError(
                f"{self.service} tokenises one text a request, got {len(request.inputs)}; "
                "call once per text, or leave Batch.size above 1, then lists are cut up"
            )
        return {
            "model": request.model,
            "prompt": request.inputs[0],
            "add_special_tokens": request.add_special_tokens,
            "return_token_strs": True,
        }

    def read(self, request: TokenizeRequest, reply: WireResponse) -> TokenizeResponse:
        """The tokens with their texts, where the service gives them."""
        data = self.object(reply)
        ids = typed(data["tokens"], list)
        texts = data.get("token_strs") or [None] * len(ids)
        tokens = [
            Token(id=typed(token, int), text=None if text is None else typed(text, str))
            for token, text in zip(ids, typed(texts, list), strict=True)
        ]
        return TokenizeResponse(
            model=request.model,
            results=(tuple(tokens),),
            raw=data,
            provider_request_id=request_id(reply.headers),
        )


def _verdict(item: dict[str, Any]) -> Moderation:
    categories, scores = item.get("categories") or {}, item.get("category_scores") or {}
    return Moderation(
        flagged=typed(item["flagged"], bool),
        # A category that the model does not know is null.
        categories={name: flag for name, flag in categories.items() if type(flag) is bool},
        scores={name: number(score) for name, score in scores.items() if score is not None},
    )


def _label(item: dict[str, Any]) -> Label:
    scores = [number(score) for score in typed(item["probs"], list)]
    best = max(range(len(scores)), key=scores.__getitem__)
    label = item.get("label")
    return Label(str(best) if label is None else typed(label, str), scores[best])


def _text(value: Any) -> str:
    return value if type(value) is str else ""
