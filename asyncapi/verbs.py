"""One verb per kind of work: each makes a request and has it performed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Unpack, cast

from asyncapi.arguments import ChatOptions, CompleteOptions, chat_request, complete_request, texts_of
from asyncapi.errors import ConfigError
from asyncapi.options import CallOptions
from asyncapi.types.messages import MessageLike
from asyncapi.types.requests import (
    ChatRequest,
    ClassifyRequest,
    CountTokensRequest,
    EmbedRequest,
    Extra,
    ImageRequest,
    InferRequest,
    ModelsRequest,
    ModerateRequest,
    NativeRequest,
    Request,
    RerankRequest,
    RespondRequest,
    ScoreRequest,
    SparseEmbedRequest,
    SpeechRequest,
    TokenizeRequest,
    TranscribeRequest,
    TranslateRequest,
)
from asyncapi.types.responses import (
    ChatResponse,
    ClassifyResponse,
    CompleteResponse,
    CountTokensResponse,
    EmbedResponse,
    ImageResponse,
    InferResponse,
    ModelsResponse,
    ModerateResponse,
    NativeResponse,
    RerankResponse,
    Response,
    ScoreResponse,
    SparseEmbedResponse,
    SpeechResponse,
    TokenizeResponse,
    TranscribeResponse,
)
from asyncapi.types.tensors import as_tensor

__all__ = ["Performs", "Verbs"]


class Performs(Protocol):
    """Has any request performed."""

    async def call(self, request: Request, **options: Unpack[CallOptions]) -> Response:
        """The answer to a request."""
        ...


class Verbs:
    """The verbs that a client has. All of them raise ``AsyncAPIError``: see ``asyncapi.errors``."""

    async def chat(
        self: Performs, model: str, messages: str | Sequence[MessageLike], **options: Unpack[ChatOptions]
    ) -> ChatResponse:
        """An answer to a conversation: a string, typed messages, or OpenAI-shaped dictionaries."""
        request, rest = chat_request(ChatRequest, model, messages, options)
        return cast(ChatResponse, await self.call(request, **rest))

    async def respond(
        self: Performs,
        model: str,
        messages: str | Sequence[MessageLike],
        *,
        previous_response_id: str | None = None,
        store: bool | None = None,
        include: Sequence[str] = (),
        **options: Unpack[ChatOptions],
    ) -> ChatResponse:
        """The same through OpenAI's Responses API."""
        own = {"previous_response_id": previous_response_id, "store": store, "include": tuple(include)}
        request, rest = chat_request(RespondRequest, model, messages, options, **own)
        return cast(ChatResponse, await self.call(request, **rest))

    async def count_tokens(
        self: Performs, model: str, messages: str | Sequence[MessageLike], **options: Unpack[ChatOptions]
    ) -> CountTokensResponse:
        """How many input tokens a conversation has, counted by the service."""
        request, rest = chat_request(CountTokensRequest, model, messages, options)
        return cast(CountTokensResponse, await self.call(request, **rest))

    async def complete(
        self: Performs, model: str, prompts: str | Sequence[str], **options: Unpack[CompleteOptions]
    ) -> CompleteResponse:
        """Text to continue, without chat roles; one continuation per prompt."""
        request, rest = complete_request(model, prompts, options)
        return cast(CompleteResponse, await self.call(request, **rest))

    async def embed(
        self: Performs,
        model: str,
        texts: str | Sequence[str],
        *,
        dimensions: int | None = None,
        user_id: str | None = None,
        extra: Extra | None = None,
        **options: Unpack[CallOptions],
    ) -> EmbedResponse:
        """Vectors for texts. Calls awaited at the same time travel together; long lists are cut up."""
        request = EmbedRequest(
            model=model,
            inputs=texts_of("embed", texts),
            dimensions=dimensions,
            user_id=user_id,
            extra=extra,
        )
        return cast(EmbedResponse, await self.call(request, **options))

    async def embed_sparse(
        self: Performs, model: str, texts: str | Sequence[str], **options: Unpack[CallOptions]
    ) -> SparseEmbedResponse:
        """Sparse vectors for texts."""
        request = SparseEmbedRequest(model=model, inputs=texts_of("embed_sparse", texts))
        return cast(SparseEmbedResponse, await self.call(request, **options))

    async def rerank(
        self: Performs,
        model: str,
        *,
        query: str,
        documents: Sequence[str],
        top_n: int | None = None,
        extra: Extra | None = None,
        **options: Unpack[CallOptions],
    ) -> RerankResponse:
        """Documents by how well they answer the query, best first."""
        request = RerankRequest(
            model=model, query=query, documents=texts_of("rerank", documents), top_n=top_n, extra=extra
        )
        return cast(RerankResponse, await self.call(request, **options))

    async def score(
        self: Performs, model: str, *, query: str, documents: Sequence[str], **options: Unpack[CallOptions]
    ) -> ScoreResponse:
        """How alike the query and each document are, in the documents' order."""
        request = ScoreRequest(model=model, query=query, documents=texts_of("score", documents))
        return cast(ScoreResponse, await self.call(request, **options))

    async def classify(
        self: Performs,
        model: str,
        inputs: str | Sequence[str | tuple[str, str]],
        *,
        raw_scores: bool = False,
        **options: Unpack[CallOptions],
    ) -> ClassifyResponse:
        """Labels for texts, or for pairs of texts."""
        many = (inputs,) if isinstance(inputs, str) else tuple(inputs)
        request = ClassifyRequest(model=model, inputs=many, raw_scores=raw_scores)
        return cast(ClassifyResponse, await self.call(request, **options))

    async def tokenize(
        self: Performs,
        model: str,
        texts: str | Sequence[str],
        *,
        add_special_tokens: bool = True,
        **options: Unpack[CallOptions],
    ) -> TokenizeResponse:
        """The model's tokens of each text."""
        request = TokenizeRequest(
            model=model, inputs=texts_of("tokenize", texts), add_special_tokens=add_special_tokens
        )
        return cast(TokenizeResponse, await self.call(request, **options))

    async def moderate(
        self: Performs, model: str, texts: str | Sequence[str], **options: Unpack[CallOptions]
    ) -> ModerateResponse:
        """The content policy's verdict on each text."""
        request = ModerateRequest(model=model, inputs=texts_of("moderate", texts))
        return cast(ModerateResponse, await self.call(request, **options))

    async def image(
        self: Performs,
        model: str,
        prompt: str,
        *,
        n: int | None = None,
        size: str | None = None,
        quality: str | None = None,
        background: str | None = None,
        format: str | None = None,  # noqa: A002  the services' own word
        extra: Extra | None = None,
        **options: Unpack[CallOptions],
    ) -> ImageResponse:
        """Pictures made from a prompt."""
        request = ImageRequest(
            model=model,
            prompt=prompt,
            n=n,
            size=size,
            quality=quality,
            background=background,
            format=format,
            extra=extra,
        )
        return cast(ImageResponse, await self.call(request, **options))

    async def speech(
        self: Performs,
        model: str,
        text: str,
        *,
        voice: str,
        format: str | None = None,  # noqa: A002  the services' own word
        speed: float | None = None,
        instructions: str | None = None,
        extra: Extra | None = None,
        **options: Unpack[CallOptions],
    ) -> SpeechResponse:
        """Text spoken."""
        request = SpeechRequest(
            model=model,
            text=text,
            voice=voice,
            format=format,
            speed=speed,
            instructions=instructions,
            extra=extra,
        )
        return cast(SpeechResponse, await self.call(request, **options))

    async def transcribe(
        self: Performs,
        model: str,
        audio: bytes,
        *,
        filename: str = "audio.wav",
        media_type: str = "audio/wav",
        language: str | None = None,
        prompt: str | None = None,
        format: str | None = None,  # noqa: A002  the services' own word
        temperature: float | None = None,
        timestamps: Sequence[str] = (),
        extra: Extra | None = None,
        **options: Unpack[CallOptions],
    ) -> TranscribeResponse:
        """Speech written down."""
        request = TranscribeRequest(
            model=model,
            audio=audio,
            filename=filename,
            media_type=media_type,
            language=language,
            prompt=prompt,
            format=format,
            temperature=temperature,
            timestamps=tuple(timestamps),
            extra=extra,
        )
        return cast(TranscribeResponse, await self.call(request, **options))

    async def translate(
        self: Performs,
        model: str,
        audio: bytes,
        *,
        filename: str = "audio.wav",
        media_type: str = "audio/wav",
        prompt: str | None = None,
        format: str | None = None,  # noqa: A002  the services' own word
        temperature: float | None = None,
        extra: Extra | None = None,
        **options: Unpack[CallOptions],
    ) -> TranscribeResponse:
        """Speech in any language written down in English."""
        request = TranslateRequest(
            model=model,
            audio=audio,
            filename=filename,
            media_type=media_type,
            prompt=prompt,
            format=format,
            temperature=temperature,
            extra=extra,
        )
        return cast(TranscribeResponse, await self.call(request, **options))

    async def infer(
        self: Performs,
        model: str,
        inputs: Mapping[str, Any],
        *,
        outputs: Sequence[str] = (),
        version: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        extra: Extra | None = None,
        **options: Unpack[CallOptions],
    ) -> InferResponse:
        """Named tensors in, named tensors out.

        Shapes: each input is a Tensor, a numpy array, or nested lists; the model says which shapes it takes.
        """
        try:
            tensors = {name: as_tensor(value) for name, value in inputs.items()}
        except ValueError as error:
            raise ConfigError(f"infer: {error}") from error
        request = InferRequest(
            model=model,
            inputs=tensors,
            outputs=tuple(outputs),
            version=version,
            parameters=parameters or {},
            extra=extra,
        )
        return cast(InferResponse, await self.call(request, **options))

    async def models(self: Performs, endpoint: str, **options: Unpack[CallOptions]) -> ModelsResponse:
        """The models that a service offers; ``endpoint`` with or without a colon."""
        request = ModelsRequest(model=endpoint if ":" in endpoint else f"{endpoint}:")
        return cast(ModelsResponse, await self.call(request, **options))

    async def native(
        self: Performs,
        model: str,
        action: str,
        arguments: Mapping[str, Any] | None = None,
        **options: Unpack[CallOptions],
    ) -> NativeResponse:
        """An operation that only this service has, such as ``native("ollama:qwen3", "show")``.

        An unknown action is refused with the names of those that the service has.
        """
        request = NativeRequest(model=model, action=action, arguments=arguments or {})
        return cast(NativeResponse, await self.call(request, **options))
