"""What the pretend models say: a pure function of seed, model and question.

The token rule of every service here: four characters are a token, the last one may be shorter. Answers are
built so that each piece of a stream is one token: ``[`` digest of the question ``]`` and words of three
letters behind a space.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b, shake_128
from typing import Any

import orjson

from asyncapi.emulator.exchange import Json
from asyncapi.emulator.schemas import instance

MEDIAN_TOKENS = 24
CONTEXT_TOKENS = 131_072
"""Input that is longer is refused by the services that refuse it."""

_SPREAD = 0.6
_FEWEST_TOKENS = 5
_WORDS = (
    "the sun and sea are old but air was new for one day all men saw her run out far off low sky who had his "
    "own way how can you use now get yes let say may ask any two big end few got him its job key law map net "
    "oil put red set ten via war yet add age bed box boy bus buy car cat cow cup cut dog dry ear eat egg eye "
    "fun gas god hat hot ice ink joy kid leg lie lot mix mud nut odd our owe pay pen pig pot ran"
)
_PIECES = tuple(f" {word}" for word in _WORDS.split())
_EFFORT_TOKENS = {"minimal": 8, "low": 16, "medium": 32, "high": 64, "xhigh": 96, "max": 128}


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that the answer calls: its name and the JSON Schema of its arguments."""

    name: str
    schema: Json


@dataclass(frozen=True, slots=True)
class Question:
    """What a model is asked, in no dialect.

    Args:
        model: Model name.
        text: The last user text.
        input_tokens: Tokens of the whole prompt.
        max_tokens: Cap on output tokens, reasoning included; None for none.
        stop: Texts that end the answer before they appear.
        tools: Tools to call; when there are any, the answer is their calls.
        schema: The answer is an instance of this JSON Schema, as JSON text.
        reasoning: Tokens to think before the answer.
    """

    model: str
    text: str
    input_tokens: int
    max_tokens: int | None = None
    stop: Sequence[str] = ()
    tools: Sequence[Tool] = ()
    schema: Json | None = None
    reasoning: int = 0


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call in an answer; its id is unique within the answer."""

    id: str
    name: str
    arguments: Json

    @property
    def text(self) -> str:
        """The arguments as JSON text."""
        return orjson.dumps(self.arguments).decode()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model says, in no dialect.

    ``finish`` is stop, length, tool_calls or stop_sequence. ``output_tokens`` includes reasoning.
    """

    id: str
    reasoning: str
    text: str
    calls: tuple[ToolCall, ...]
    finish: str
    stopped_by: str | None
    reasoning_tokens: int
    output_tokens: int


def count_tokens(text: str) -> int:
    """Tokens of a text by the rule of this emulator: four characters are one."""
    return (len(text) + 3) // 4


def pieces(text: str) -> Iterator[str]:
    """A text token by token."""
    return (text[start : start + 4] for start in range(0, len(text), 4))


@lru_cache(4096)
def question_digest(text: str) -> str:
    """The ten letters by which an answer can be joined with the last user text of its question."""
    return blake2b(text.encode("utf-8", "replace"), digest_size=5).hexdigest()


def effort_tokens(effort: object) -> int:
    """Tokens that a reasoning effort costs here; 0 for none."""
    return _EFFORT_TOKENS.get(effort, 0) if isinstance(effort, str) else 0


def answer_text(seed: int, model: str, question: str, index: int = 0) -> str:
    """The whole answer to a question, before any cap on its tokens."""
    source = _bytes(f"{seed}\0{model}\0{index}\0{question}", 12)
    # A sum of twelve uniform numbers is nearly normal, so its exponential is nearly log-normal.
    normal = sum(source) / 256 - 6
    tokens = max(_FEWEST_TOKENS, round(MEDIAN_TOKENS * math.exp(_SPREAD * normal)))
    return f"[{question_digest(question)}]" + _words(f"{seed}\0{model}\0{index}\0{question}", tokens - 3)


def compose(question: Question, seed: int, index: int = 0) -> Answer:
    """Answer a question; ``index`` tells apart the choices of one request."""
    answer_id = blake2b(
        f"{seed}\0{index}\0{question.model}\0{question.text}".encode("utf-8", "replace"), digest_size=12
    ).hexdigest()
    cap = question.max_tokens if question.max_tokens is not None else CONTEXT_TOKENS
    thought = min(question.reasoning, cap)
    reasoning = "Hmm:" + _words(f"{seed}\0{question.text}", thought - 1) if thought else ""
    if question.tools:
        return _call(question, answer_id, reasoning, thought)
    text, finish, stopped_by = _say(question, seed, index, cap - thought)
    return Answer(
        answer_id, reasoning, text, (), finish, stopped_by, thought, max(1, thought + count_tokens(text))
    )


def _say(question: Question, seed: int, index: int, cap: int) -> tuple[str, str, str | None]:
    if question.schema is not None:
        text = orjson.dumps(instance(question.schema, question_digest(question.text))).decode()
    else:
        text = answer_text(seed, question.model, question.text, index)
    found = [(at, word) for word in question.stop if word and (at := text.find(word)) >= 0]
    stopped_by = None
    if found:
        at, stopped_by = min(found)
        text = text[:at]
    if count_tokens(text) > cap:
        return text[: 4 * cap], "length", None
    return text, "stop" if stopped_by is None else "stop_sequence", stopped_by


def _call(question: Question, answer_id: str, reasoning: str, thought: int) -> Answer:
    digest = question_digest(question.text)
    calls = tuple(
        ToolCall(f"{answer_id[:20]}{position}", tool.name, as_object(instance(tool.schema, digest)))
        for position, tool in enumerate(question.tools)
    )
    spoken = sum(count_tokens(call.name) + count_tokens(call.text) for call in calls)
    return Answer(answer_id, reasoning, "", calls, "tool_calls", None, thought, thought + spoken)


def as_object(value: object) -> Json:
    """A JSON object, whatever a schema gave."""
    return value if isinstance(value, dict) else {"value": value}


def tools_to_call(
    tools: Sequence[Tool], text: str, *, choice: str = "auto", name: str | None = None, parallel: bool = True
) -> tuple[Tool, ...]:
    """The tools that a model calls when asked so.

    It calls one when it must (choice ``required`` or a name), or when the user's text contains ``tool``; two
    when that text contains ``tools`` and calls may be parallel.
    """
    if name is not None:
        return tuple(tool for tool in tools if tool.name == name)[:1]
    lowered = text.lower()
    if not tools or choice == "none" or (choice == "auto" and "tool" not in lowered):
        return ()
    return tuple(tools[: 2 if "tools" in lowered and parallel else 1])


def text_of(content: Any) -> str:
    """The text of a message's content: a string, or the text parts of a list."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    return "\n".join(part["text"] for part in content if isinstance(part, dict) and _is_text(part))


def last_user_text(messages: Any) -> str:
    """The text of the last user message that has any."""
    for message in reversed(messages if isinstance(messages, list) else []):
        if isinstance(message, dict) and message.get("role") == "user":
            text = text_of(message.get("content"))
            if text:
                return text
    return ""


def messages_tokens(messages: Sequence[Json]) -> int:
    """Tokens of a conversation: its texts, four for each message, 85 for each image."""
    return sum(4 + _content_tokens(message.get("content")) for message in messages)


def _content_tokens(content: Any) -> int:
    if isinstance(content, str):
        return count_tokens(content)
    parts = content if isinstance(content, list) else []
    return sum(
        count_tokens(part["text"]) if _is_text(part) else 85 for part in parts if isinstance(part, dict)
    )


def _is_text(part: Json) -> bool:
    return isinstance(part.get("text"), str)


def _words(source: str, count: int) -> str:
    return "".join(_PIECES[byte % len(_PIECES)] for byte in _bytes(source, max(0, count)))


def _bytes(source: str, count: int) -> bytes:
    return shake_128(source.encode("utf-8", "replace")).digest(count)
