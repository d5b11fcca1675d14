"""Every public name as a user's program has it, for mypy. Nothing here is run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_type

import asyncapi


def settings() -> list[asyncapi.Endpoint]:
    """Settings take their short and their long forms."""
    profile: asyncapi.Profile = asyncapi.profile("high-throughput")
    pool = asyncapi.KeyPool(
        (asyncapi.Key(env="A", requests_per_minute=500), asyncapi.Key("sk-b", weight=2)), strategy="weighted"
    )
    return [
        asyncapi.Endpoint("ollama", limit="adaptive"),
        asyncapi.Endpoint("vllm", name="own", limit=asyncapi.AIMD(initial=5, maximum=64, minimum=1)),
        asyncapi.Endpoint("openai", limit=20, timeout=2.0, keys=("sk-a", "sk-b")),
        asyncapi.Endpoint(
            "openai",
            name="second",
            base_url="http://127.0.0.1:1/v1",
            keys=pool,
            limit=asyncapi.Fixed(20),
            queue_size=1000,
            strict=True,
            retry=asyncapi.Retry(attempts=5, base=0.5, cap=20, budget=0.1, reserve=5),
            breaker=asyncapi.Breaker(failure_threshold=5, reset_after=30.0),
            batch=asyncapi.Batch(size=32, wait=0.02),
            timeout=asyncapi.Timeout(
                total=60, connect=5, first_byte=None, idle=10, first_token=20, minimum_rate=50, rate_window=20
            ),
            headers={"X-Team": "search"},
            requests_per_second=10.0,
            on_open="wait",
            hedge=asyncapi.Hedge(after="p98", budget=0.02, minimum=100, least=0.1),
            profile="low-resource",
        ),
        asyncapi.Endpoint("vllm", retry=profile.retry, breaker=profile.breaker),
    ]


async def calls() -> None:
    """Each verb gives its own response."""
    async with asyncapi.Client(settings(), profile="balanced", timeout=30, seed=1) as client:
        reply = await client.chat("openai:gpt-5", "Hello", priority=asyncapi.Priority.HIGH, temperature=0.5)
        assert_type(reply, asyncapi.ChatResponse)
        assert_type(reply.text, str)
        assert_type(reply.usage, asyncapi.Usage)
        assert_type(reply.usage.total_tokens, int | None)
        assert_type(reply.tool_calls, tuple[asyncapi.ToolCall, ...])
        vectors = await client.embed("hf_tei:bge", ["a", "b"], tenant="t", tag="x", timeout=2.0)
        await client.chat("openai:gpt-5", "Hello", session="s", idempotent=True)
        assert_type(vectors, asyncapi.EmbedResponse)
        ranked = await client.rerank("hf_tei:bge", query="q", documents=["a"], top_n=1)
        assert_type(ranked, asyncapi.RerankResponse)
        models = await client.models("ollama")
        assert_type(models, asyncapi.ModelsResponse)
        anything: asyncapi.Response = await client.call(asyncapi.ModelsRequest(model="ollama:"))
        assert_type(anything.attempts, int)
        background = client.with_options(priority=asyncapi.Priority.LOW)
        assert_type(background, asyncapi.Client)
        counted: asyncapi.Statistics = client.statistics()
        assert_type(counted.endpoints["openai"].calls.succeeded, int)
        switch = client.breaker("openai")
        assert_type(switch.state, str)
        switch.force_open()
        switch.force_closed()
        switch.reset()
        client.keys("openai").add(asyncapi.Key(env="NEW"))


async def other_operations(client: asyncapi.Client) -> None:
    """The verbs beside chat and embed, and what each gives."""
    model = "openai:m"
    assert_type(await client.respond(model, "Hello", store=False), asyncapi.ChatResponse)
    assert_type((await client.count_tokens(model, "Hello")).input_tokens, int)
    assert_type(await client.count_tokens(model, "Hello"), asyncapi.CountTokensResponse)
    completed = await client.complete(model, ["One", "Two"], max_tokens=5)
    assert_type(completed, asyncapi.CompleteResponse)
    assert_type(completed.texts, tuple[str, ...])
    assert_type(await client.embed_sparse(model, "a"), asyncapi.SparseEmbedResponse)
    scored = await client.score(model, query="q", documents=["a"])
    assert_type(scored, asyncapi.ScoreResponse)
    assert_type(scored.scores, tuple[float, ...])
    assert_type(await client.classify(model, [("a", "b"), "c"]), asyncapi.ClassifyResponse)
    assert_type(await client.tokenize(model, "a"), asyncapi.TokenizeResponse)
    assert_type(await client.moderate(model, "a"), asyncapi.ModerateResponse)
    assert_type(await client.image(model, "a fjord", size="1024x1024"), asyncapi.ImageResponse)
    spoken = await client.speech(model, "Hello", voice="alloy")
    assert_type(spoken, asyncapi.SpeechResponse)
    assert_type(await client.transcribe(model, spoken.audio), asyncapi.TranscribeResponse)
    assert_type(await client.translate(model, spoken.audio), asyncapi.TranscribeResponse)
    tensor = asyncapi.Tensor(datatype="FP32", shape=(2,), data=[1.0, 2.0])
    inferred = await client.infer("ovms:double", {"input0": tensor})
    assert_type(inferred, asyncapi.InferResponse)
    assert_type(asyncapi.InferBatchResponse().results, tuple[asyncapi.InferResponse | Exception, ...])
    assert_type(inferred.outputs["output0"], asyncapi.Tensor)
    assert_type(await client.native("ollama:qwen3", "show"), asyncapi.NativeResponse)


async def objects(client: asyncapi.Client) -> None:
    """A bucket."""
    bucket: asyncapi.Objects = client.objects("s3_kit:bucket", timeout=30)
    assert_type(await bucket.put("a", b"b", metadata={"c": "d"}), asyncapi.StoredObject)
    assert_type(await bucket.get("a", range=(0, 1)), bytes)
    async for stored in bucket.list("a"):
        assert_type(stored.size, int | None)
    page = await bucket.page("a", delimiter="/")
    assert_type(page, asyncapi.ObjectResponse)
    async with bucket.open("a") as stream:
        assert_type(stream, asyncapi.Stream[asyncapi.ObjectResponse])
    head = asyncapi.ObjectRequest(model="s3_kit:bucket", action="head", key="a")
    assert_type(await client.call(head), asyncapi.Response)


def routed() -> asyncapi.Client:
    """Names for several targets: in order, or by weight."""
    semantic = asyncapi.Semantic(embed="hf_tei:BAAI/bge-m3", threshold=0.9)
    assert_type(semantic.threshold, float)
    cache = asyncapi.Cache("memory", ttl={"chat": 60.0}, semantic=semantic)
    assert_type(asyncapi.Price(input=1.0, output=2.0).cost(5, 7), float)
    assert_type(cache.path, str)
    weighted = asyncapi.Route(("openai:a", "claude:b"), weights=(3, 1))
    learning = asyncapi.Route(
        ("openai:a", "claude:b"),
        strategy="adaptive",
        outliers=asyncapi.Outliers(consecutive=3, base=10),
        hedge=True,
    )
    return asyncapi.Client(routes={"fast": weighted, "steady": learning, "smart": ["openai:a", "claude:b"]})


async def streams(client: asyncapi.Client) -> None:
    """A stream is entered, then read."""
    async with client.stream("claude:claude-sonnet-5", "Count", max_tokens=10, stop="5") as stream:
        handed_on: asyncapi.Stream[asyncapi.ChatResponse] = stream
        async for chunk in handed_on:
            assert_type(chunk.text, str)
            piece: asyncapi.Chunk = chunk
            print(piece)


def requests() -> Iterator[asyncapi.Request]:
    """Typed requests, parts and tools."""
    content = (
        asyncapi.Text("What is this?", cache="5m"),
        asyncapi.Image(url="https://example.com/a.png"),
        asyncapi.Audio(data="", format="wav"),
        asyncapi.File(file_id="f"),
    )
    tool = asyncapi.Tool(name="weather", parameters={"type": "object"})
    call = asyncapi.ToolCall(id="1", name="weather", arguments="{}")
    result = asyncapi.ToolResult(tool_call_id="1", content="rain")
    yield asyncapi.ChatRequest(
        model="openai:gpt-5",
        messages=(
            asyncapi.Message("user", content),
            asyncapi.Message("assistant", (call,)),
            asyncapi.Message("tool", (result,)),
        ),
        tools=(tool,),
        extra=asyncapi.Extra(body={"top_a": 1}),
    )
    yield asyncapi.EmbedRequest(model="openai:e", inputs=("a",))
    yield asyncapi.RerankRequest(model="vllm:r", query="q", documents=("a",))
    said = asyncapi.Message("assistant", (asyncapi.Reasoning(text="hm"), asyncapi.Text("Hello")))
    yield asyncapi.ChatBatchRequest(model="vllm:m", conversations=((said,), (said,)))
    yield asyncapi.RespondRequest(model="openai:m", messages=(said,), previous_response_id="r")
    yield asyncapi.CountTokensRequest(model="claude:m", messages=(said,))
    yield asyncapi.CompleteRequest(model="openai:m", prompts=("a",))
    yield asyncapi.SparseEmbedRequest(model="hf_tei:m", inputs=("a",))
    yield asyncapi.ClassifyRequest(model="hf_tei:m", inputs=("a", ("b", "c")))
    yield asyncapi.ScoreRequest(model="vllm:m", query="q", documents=("a",))
    yield asyncapi.TokenizeRequest(model="hf_tei:m", inputs=("a",))
    yield asyncapi.ModerateRequest(model="openai:m", inputs=("a",))
    yield asyncapi.ImageRequest(model="openai:m", prompt="a fjord")
    yield asyncapi.SpeechRequest(model="openai:m", text="a", voice="alloy")
    yield asyncapi.TranscribeRequest(model="groq:m", audio=b"")
    yield asyncapi.TranslateRequest(model="groq:m", audio=b"")
    tensor = asyncapi.Tensor(datatype="INT64", shape=(1,), data=[1])
    yield asyncapi.InferRequest(model="ovms:m", inputs={"input0": tensor})
    yield asyncapi.InferBatchRequest(model="llvm:m", inputs=({"input0": tensor}, {"input0": tensor}))
    yield asyncapi.NativeRequest(model="ollama:m", action="show")


async def mapped(client: asyncapi.Client) -> None:
    """Requests in, results out."""
    async for done in client.map(requests(), max_in_flight=8):
        ended: asyncapi.Done = done
        assert_type(ended.error, asyncapi.AsyncAPIError | None)


def errors(error: asyncapi.AsyncAPIError) -> str:
    """What every error has, and what its class adds."""
    assert_type(error.sent, bool | None)
    assert_type(error.retry_after, float | None)
    match error:
        case asyncapi.UnknownModelError() | asyncapi.MissingKeyError() | asyncapi.UnsupportedOperationError():
            return "settings"
        case asyncapi.ConfigError():
            return "wrong use"
        case asyncapi.QueueFullError() | asyncapi.CircuitOpenError() | asyncapi.NoKeyAvailableError():
            return "later"
        case asyncapi.DeadlineExceededError() | asyncapi.BudgetExceededError() | asyncapi.ClientClosedError():
            return "refused"
        case asyncapi.NotSentError():
            return "not sent"
        case asyncapi.ConnectError() | asyncapi.ReadTimeoutError() | asyncapi.ConnectionLostError():
            return "no answer"
        case asyncapi.TransportError():
            return "transport"
        case asyncapi.RateLimitError() | asyncapi.QuotaExhaustedError() | asyncapi.OverloadedError():
            return "slow down"
        case asyncapi.AuthenticationError() | asyncapi.PermissionDeniedError() | asyncapi.NotFoundError():
            return "not for you"
        case asyncapi.ContextLengthError() | asyncapi.ContentRefusedError() | asyncapi.InvalidRequestError():
            return "your request"
        case asyncapi.ServerError() | asyncapi.ProviderError():
            assert_type(error.status, int)
            return error.code
        case asyncapi.DecodeError():
            return error.body.decode()
        case asyncapi.StreamInterruptedError():
            return str(error.partial)
    return asyncapi.__version__
