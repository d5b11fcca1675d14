"""OPEA's mega-services, retrieval, guardrails and audio. Source: OPEA GenAIComps and GenAIExamples."""

from typing import Any

from asyncapi.emulator.answers import Answer, Question, compose, count_tokens, last_user_text, pieces
from asyncapi.emulator.dialects.openai_shape import DONE
from asyncapi.emulator.exchange import (
    Ask,
    Frame,
    Json,
    Problem,
    Reply,
    Trouble,
    event_stream,
    invalid,
    json_reply,
)
from asyncapi.emulator.forms import Upload
from asyncapi.emulator.media import AUDIO_TYPES, heard, sound
from asyncapi.emulator.vectors import UNSAFE

MEGA = (
    "chatqna",
    "audioqna",
    "visualqna",
    "videoqna",
    "codegen",
    "codetrans",
    "docsum",
    "faqgen",
    "retrievaltool",
    "searchqna",
    "multimodalqna",
    "translation",
    "graphrag",
)
GUARDS = ("toxicity", "bias", "pii", "injection", "factuality", "hallucination_detection")
UNSAFE_STATUS = "<unsafe:466>"
"""A text with this is blocked by the other kind of guard, which answers with a status of its own."""

_MODEL = "meta-llama/Meta-Llama-3-8B-Instruct"
_DEFAULT_TOKENS = 1024


def mega(ask: Ask) -> Reply:
    """Answer as a gateway: a stream of Python's bytes literals unless told otherwise."""
    service = ask.path.rpartition("/")[2]
    text = question_text(ask.body)
    if not text:
        raise invalid("Field required", "messages")
    if UNSAFE_STATUS in text:
        return blocked()
    cap = int(ask.body.get("max_tokens") or _DEFAULT_TOKENS)
    question = Question(_MODEL, text, count_tokens(text), cap)
    answer = compose(question, ask.seed)
    streamed = ask.body.get("stream", True) not in (False, "false", "False")
    reply = _literals(answer) if streamed else _whole(ask, service, answer)
    reply.input_tokens, reply.output_tokens = question.input_tokens, answer.output_tokens
    return reply


def question_text(body: Json) -> str:
    """What a gateway is asked: a text or a conversation, under one of the names that gateways use."""
    for name in ("messages", "query", "text", "code", "audio", "source_code"):
        value = body.get(name)
        if isinstance(value, str) and value:
            return value
        if isinstance(value, list):
            return last_user_text(value)
    return ""


def _literals(answer: Answer) -> Reply:
    frames: list[Frame] = [
        (f"data: {piece.encode()!r}\n\n".encode(), count)
        for count, piece in enumerate(pieces(answer.text), 1)
    ]
    proof = len(frames)
    frames.append((DONE, answer.output_tokens))
    reply = event_stream(frames, proof)
    # What fails upstream is dropped in silence, so that all a client ever sees of it is the end.
    reply.failure, reply.fails_empty = [DONE], True
    return reply


def _whole(ask: Ask, service: str, answer: Answer) -> Reply:
    message = {"role": "assistant", "content": answer.text}
    return json_reply(
        {
            "id": f"chatcmpl-{answer.id}",
            "object": "chat.completion",
            "created": int(ask.now),
            "model": service,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop", "metadata": None}],
            "usage": {"prompt_tokens": 0, "total_tokens": 0, "completion_tokens": 0},
        }
    )


def blocked() -> Reply:
    """The refusal of a guard that has a status of its own."""
    return json_reply({"detail": "Prompt Injection is detected, please check your input."}, 466)


def guardrails(ask: Ask) -> Reply:
    """Judge a text: back as it is, or with a list that lets nothing pass."""
    text = _required_text(ask.body)
    if UNSAFE_STATUS in text:
        return blocked()
    if UNSAFE in text:
        words = "Violated policies: Violent Crimes, please check your input."
        return json_reply({"text": words, "downstream_black_list": [".*"]})
    return json_reply({"text": text, "downstream_black_list": []}, input_tokens=count_tokens(text))


def guard(ask: Ask) -> Reply:
    """One of the single-purpose guards: they block by status."""
    text = _required_text(ask.body)
    if UNSAFE in text or UNSAFE_STATUS in text:
        return blocked()
    return json_reply({"text": text})


def _required_text(body: Json) -> str:
    text = body.get("text")
    if not isinstance(text, str):
        raise invalid("Field required", "text")
    return text


def retrieve(ask: Ask) -> Reply:
    """The documents nearest to a vector; the form with ``text`` gives the question back."""
    body = ask.body
    query = body.get("text", body.get("input"))
    if query is None and not isinstance(body.get("embedding"), list):
        raise invalid("Field required", "embedding")
    about = query if isinstance(query, str) else "the vector"
    docs: list[Json] = [
        {"text": f"Document {index} about {about}", "metadata": {"source": f"file-{index}.txt"}}
        for index in range(int(body.get("k") or 4))
    ]
    if "text" not in body:
        return json_reply({"retrieved_docs": docs}, input_tokens=count_tokens(about))
    bare = [{"text": doc["text"]} for doc in docs]
    value = {"retrieved_docs": bare, "initial_query": about, "top_n": 1}
    return json_reply(value, input_tokens=count_tokens(about))


def transcribe(ask: Ask) -> Reply:
    """The words of a sound file."""
    file = ask.body.get("file")
    if not isinstance(file, Upload):
        raise invalid("Field required", "file")
    return json_reply({"text": heard(ask.seed, ask.body.get("model") or _MODEL, file).text})


def speak(ask: Ask) -> Reply:
    """A text read aloud."""
    text = ask.body.get("input")
    if not isinstance(text, str) or not text:
        raise invalid("Field required", "input")
    form = ask.body.get("response_format") or "mp3"
    if form not in AUDIO_TYPES:
        raise Problem(Trouble.INVALID, "Input should be a known format", param="response_format")
    return Reply(sound(text, form), content_type=AUDIO_TYPES[form], input_tokens=count_tokens(text))


def statistics(ask: Ask) -> Reply:
    """Latencies of the parts, in seconds."""
    times: dict[str, Any] = {"p50_latency": 0.02, "p99_latency": 0.09, "average_latency": 0.03}
    first: dict[str, Any] = dict.fromkeys(f"{name}_first_token" for name in times)
    return json_reply({f"opea_service@{part}": {**times, **first} for part in ("llm", "embedding", "rerank")})


def list_service(ask: Ask) -> Reply:
    """The parts that a gateway chains."""
    parts = {"opea_service@embedding": 6000, "opea_service@retriever": 7000, "opea_service@llm": 9000}
    return json_reply({name: {"name": name, "description": "", "port": port} for name, port in parts.items()})
