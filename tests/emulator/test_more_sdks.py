"""More official SDKs as witnesses: Gemini, TGI, KServe, the rest of OpenAI and Groq.

They are not needed for development; each test is skipped where its SDK is not installed.
"""

# mypy: ignore-errors

import asyncio

import pytest

from asyncapi.emulator import Emulator, answer_text, question_digest

# The SDKs' own sins are not ours.
pytestmark = pytest.mark.filterwarnings("default")

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
DIGEST = question_digest("What is the weather?")


def gemini_client(emulator: Emulator, version: str = "v1"):
    """Google's SDK pointed at the emulator."""
    genai = pytest.importorskip("google.genai")
    options = {"base_url": emulator.base_urls["gemini"], "api_version": version}
    return genai.Client(api_key="AIza-test", http_options=options)


@pytest.mark.parametrize("version", ["v1", "v1beta"])
async def test_google_sdk_generates_streams_and_counts(emulator: Emulator, version: str) -> None:
    """Text, thoughts, chunks, tokens."""
    async with gemini_client(emulator, version).aio as client:
        plain = await client.models.generate_content(model="m", contents="What is the weather?")
        config = {"thinking_config": {"include_thoughts": True, "thinking_level": "LOW"}}
        stream = await client.models.generate_content_stream(
            model="m", contents="What is the weather?", config=config
        )
        chunks = [chunk async for chunk in stream]
        count = await client.models.count_tokens(model="m", contents="What is the weather?")

    assert plain.text == answer_text(0, "m", "What is the weather?")
    assert "".join(chunk.text or "" for chunk in chunks) == plain.text
    assert chunks[-1].usage_metadata.thoughts_token_count == 16
    assert count.total_tokens > 0


async def test_google_sdk_calls_tools_embeds_lists_and_raises(emulator: Emulator) -> None:
    """Automatic function calling goes the whole round; vectors, models and errors arrive."""
    errors = pytest.importorskip("google.genai.errors")

    def get_weather(city: str) -> str:
        """The weather of a city."""
        return f"cold in {city}"

    async with gemini_client(emulator).aio as client:
        reply = await client.models.generate_content(
            model="gemini-3.5-flash", contents="Use the tool", config={"tools": [get_weather]}
        )
        vectors = await client.models.embed_content(model="gemini-embedding-001", contents=["a", "b"])
        models = [model.name async for model in await client.models.list()]
        emulator.script(["429_float", "stream_error"])
        with pytest.raises(errors.ClientError) as limited:
            await client.models.generate_content(model="m", contents="Hi")
        with pytest.raises(errors.APIError):
            async for _ in await client.models.generate_content_stream(model="m", contents="Hi"):
                pass

    assert reply.text
    assert len(reply.automatic_function_calling_history) == 3
    assert [len(item.values) for item in vectors.embeddings] == [64, 64]
    assert "models/gemini-3.5-flash" in models
    assert (limited.value.code, limited.value.status) == (429, "RESOURCE_EXHAUSTED")


async def test_hugging_face_sdk_generates_and_streams(emulator: Emulator) -> None:
    """Text generation with details, token by token, and through the Messages route."""
    hub = pytest.importorskip("huggingface_hub")
    errors = pytest.importorskip("huggingface_hub.errors")
    url = emulator.base_urls["hf_tgi"]
    async with hub.AsyncInferenceClient(model=url) as client:
        plain = await client.text_generation("What is the weather?", details=True, max_new_tokens=50)
        stream = await client.text_generation("What is the weather?", details=True, stream=True)
        parts = [part async for part in stream]
        chat = await client.chat_completion([{"role": "user", "content": "What is the weather?"}])
        with pytest.raises(errors.ValidationError):
            await client.text_generation("Hi", temperature=-1.0)

    assert DIGEST in plain.generated_text
    assert plain.details.finish_reason == "eos_token"
    assert parts[-1].generated_text == plain.generated_text
    assert DIGEST in chat.choices[0].message.content


async def test_text_generation_sdk_generates_streams_and_raises(emulator: Emulator) -> None:
    """The old client of this server, which reads ``data:`` without a space."""
    sdk = pytest.importorskip("text_generation")
    errors = pytest.importorskip("text_generation.errors")
    client = sdk.AsyncClient(emulator.base_urls["hf_tgi"])
    plain = await client.generate("What is the weather?", max_new_tokens=50)
    parts = [part async for part in client.generate_stream("What is the weather?", max_new_tokens=50)]
    emulator.script(["529", "stream_error"])
    with pytest.raises(errors.OverloadedError):
        await client.generate("Hi")
    with pytest.raises(errors.GenerationError):
        [part async for part in client.generate_stream("What is the weather?")]

    assert DIGEST in plain.generated_text
    assert parts[-1].generated_text == plain.generated_text


async def test_kserve_sdk_infers(emulator: Emulator) -> None:
    """JSON tensors through KServe's own client, and readiness."""
    kserve = pytest.importorskip("kserve")
    numpy = pytest.importorskip("numpy")
    base = emulator.base_urls["ovms"]
    client = kserve.InferenceRESTClient(kserve.RESTConfig(protocol="v2", retries=0))
    values = numpy.array([[1, 2, 3]], dtype=numpy.float32)
    for binary in (False, True):
        tensor = kserve.InferInput("input0", [1, 3], "FP32")
        tensor.set_data_from_numpy(values, binary_data=binary)
        request = kserve.InferRequest(model_name="double", infer_inputs=[tensor])
        reply = await client.infer(base, request, model_name="double")
        assert reply.outputs[0].as_numpy().tolist() == [[2, 4, 6]]
    assert await client.is_model_ready(base, "double")
    await client.close()


async def test_triton_sdk_infers_in_binary(emulator: Emulator) -> None:
    """Raw tensors in and out, strings among them; metadata; errors."""
    triton = pytest.importorskip("tritonclient.http.aio")
    numpy = pytest.importorskip("numpy")
    utils = pytest.importorskip("tritonclient.utils")
    async with triton.InferenceServerClient(emulator.base_urls["ovms"].removeprefix("http://")) as client:
        numbers = triton.InferInput("x", [2, 3], "FP32")
        numbers.set_data_from_numpy(numpy.arange(6, dtype=numpy.float32).reshape(2, 3))
        texts = triton.InferInput("s", [2], "BYTES")
        texts.set_data_from_numpy(numpy.array([b"ab", b"cde"], dtype=numpy.object_))
        outputs = [triton.InferRequestedOutput("x"), triton.InferRequestedOutput("s", binary_data=False)]
        echo = await client.infer("echo", [numbers, texts], outputs=outputs)
        all_binary = await client.infer("echo", [numbers, texts])
        live = [await client.is_server_live(), await client.is_model_ready("add")]
        meta = await client.get_model_metadata("fixed")
        with pytest.raises(utils.InferenceServerException, match="not found"):
            await client.infer("nobody", [numbers])

    assert echo.as_numpy("x").tolist() == [[0, 1, 2], [3, 4, 5]]
    assert all_binary.as_numpy("s").tolist() == [b"ab", b"cde"]
    assert echo.get_response()["outputs"][1]["data"] == ["ab", "cde"]
    assert live == [True, True]
    assert meta["inputs"][0]["shape"] == [2, 3]


async def test_ovms_sdk_predicts_the_old_way(emulator: Emulator) -> None:
    """The columns of the legacy routes, status and metadata."""
    serving = pytest.importorskip("ovmsclient.tfs_compat.http.serving_client")
    requests = pytest.importorskip("requests")
    address = emulator.base_urls["ovms"].removeprefix("http://")

    def used():
        with requests.Session() as session:
            client = serving.HttpClient(address, session)
            one = client.predict({"input0": [[1.0, 2.0]]}, "double")
            two = client.predict({"a": [1.0], "b": [2.0]}, "echo")
            return one, two, client.get_model_status("double"), client.get_model_metadata("fixed")

    one, two, status, meta = await asyncio.to_thread(used)

    assert one.tolist() == [[2, 4]]
    assert two["b"].tolist() == [2]
    assert status[1]["state"] == "AVAILABLE"
    assert meta["inputs"]["input0"]["shape"] == [2, 3]


def openai_client(emulator: Emulator, **options: object):
    """The OpenAI SDK pointed at the emulator."""
    openai = pytest.importorskip("openai")
    return openai.AsyncOpenAI(api_key="sk-test", base_url=emulator.base_urls["openai"], **options)


async def test_openai_sdk_reads_responses(emulator: Emulator) -> None:
    """Whole, continued, parsed from its stream, counted, forgotten."""
    tool = {"type": "function", "name": "get_weather", "parameters": SCHEMA, "strict": True}
    async with openai_client(emulator) as client:
        plain = await client.responses.create(model="m", input="What is the weather?")
        next_one = await client.responses.create(
            model="m", input="What is the weather?", previous_response_id=plain.id
        )
        asked = {"model": "m", "input": "Use the tool", "tools": [tool], "reasoning": {"effort": "low"}}
        async with client.responses.stream(**asked) as stream:
            kinds = [event.type async for event in stream]
            final = await stream.get_final_response()
        count = await client.responses.input_tokens.count(model="m", input="four")
        again = await client.responses.retrieve(plain.id)
        await client.responses.delete(plain.id)

    assert plain.output_text == answer_text(0, "m", "What is the weather?")
    assert next_one.usage.input_tokens > plain.usage.input_tokens
    assert kinds[-1] == "response.completed"
    assert final.output[-1].name == "get_weather"
    assert count.input_tokens > 0
    assert again.id == plain.id


async def test_openai_sdk_draws_speaks_listens_and_judges(emulator: Emulator) -> None:
    """Pictures, sounds both ways, moderation, streamed completions."""
    async with openai_client(emulator) as client:
        picture = await client.images.generate(model="gpt-image-1", prompt="a cat")
        speech = await client.audio.speech.create(
            model="tts-1", voice="alloy", input="Hello", response_format="wav"
        )
        file = ("a.wav", speech.content)
        plain = await client.audio.transcriptions.create(model="whisper-1", file=file)
        verbose = await client.audio.transcriptions.create(
            model="whisper-1",
            file=file,
            response_format="verbose_json",
            timestamp_granularities=["word", "segment"],
        )
        text = await client.audio.transcriptions.create(model="whisper-1", file=file, response_format="srt")
        stream = await client.audio.transcriptions.create(model="gpt-4o-transcribe", file=file, stream=True)
        heard = [event async for event in stream]
        english = await client.audio.translations.create(model="whisper-1", file=file)
        verdict = await client.moderations.create(input=["fine", "<unsafe>"])
        chunks = [
            chunk async for chunk in await client.completions.create(model="m", prompt="Hello", stream=True)
        ]

    assert picture.data[0].b64_json.startswith("iVBOR")
    assert verbose.text == plain.text
    assert len(verbose.words) > len(verbose.segments)
    assert "-->" in text
    assert heard[-1].type == "transcript.text.done"
    assert english.text
    assert [result.flagged for result in verdict.results] == [False, True]
    assert chunks[-1].choices[0].finish_reason == "length"


async def test_groq_sdk_listens_and_speaks(emulator: Emulator) -> None:
    """A file, an address, and the way back."""
    groq = pytest.importorskip("groq")
    async with groq.AsyncGroq(api_key="gsk-test", base_url=emulator.base_urls["groq"]) as client:
        speech = await client.audio.speech.create(model="m", voice="v", input="Hello", response_format="wav")
        sound = await speech.read()
        by_file = await client.audio.transcriptions.create(model="whisper-large-v3", file=("a.wav", sound))
        by_url = await client.audio.transcriptions.create(
            model="whisper-large-v3", url="https://example.com/a.mp3"
        )
        english = await client.audio.translations.create(model="whisper-large-v3", file=("a.wav", sound))

    assert sound.startswith(b"RIFF")
    assert question_digest("https://example.com/a.mp3") in by_url.text
    assert by_file.text == english.text


async def test_ollama_sdk_pulls_and_looks(emulator: Emulator) -> None:
    """Progress, loaded models, what is known of one."""
    ollama = pytest.importorskip("ollama")
    client = ollama.AsyncClient(host=emulator.base_urls["ollama"])
    parts = [part async for part in await client.pull("m", stream=True)]
    loaded = await client.ps()
    shown = await client.show("m")
    old = await client.embeddings("m", "a")
    await client._client.aclose()

    assert parts[-1].status == "success"
    assert loaded.models[0].size_vram > 0
    assert "completion" in shown.capabilities
    assert len(old.embedding) == 64


async def test_hugging_face_sdk_compares(emulator: Emulator) -> None:
    """Similarity from TEI."""
    hub = pytest.importorskip("huggingface_hub")
    url = emulator.base_urls["hf_tei"]
    async with hub.AsyncInferenceClient(model=url + "/similarity") as client:
        scores = await client.sentence_similarity("the sea", ["the sea", "a hill"])

    assert scores[0] > scores[1]
