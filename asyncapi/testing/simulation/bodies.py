"""Answers in OpenAI's dialect, from templates that are prepared once."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

__all__ = ["CHUNKS", "chat_answer", "embedding_answer", "error_answer", "stream_pieces"]

#: Into how many pieces of text a streamed answer is cut.
CHUNKS = 4

_CHAT = (
    b'{"id":"sim","object":"chat.completion","created":0,"model":"m","choices":[{"index":0,"message":'
    b'{"role":"assistant","content":"%s"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}}'
)
_CHUNK = (
    b'data: {"id":"sim","object":"chat.completion.chunk","created":0,"model":"m",'
    b'"choices":[{"index":0,"delta":{"content":"%s"},"finish_reason":null}]}\n\n'
)
_END = (
    b'data: {"id":"sim","object":"chat.completion.chunk","created":0,"model":"m",'
    b'"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    b'data: {"id":"sim","object":"chat.completion.chunk","created":0,"model":"m","choices":[],'
    b'"usage":{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}}\n\ndata: [DONE]\n\n'
)
_ERROR = b'{"error":{"message":"%s","type":"%s","code":"%s"}}'


def chat_answer(text: str, tokens_in: int, tokens_out: int) -> bytes:
    """A whole chat answer."""
    return _CHAT % (text.encode(), tokens_in, tokens_out, tokens_in + tokens_out)


def stream_pieces(text: str, tokens_in: int, tokens_out: int) -> list[bytes]:
    """A streamed chat answer: ``CHUNKS`` pieces that each hold ``text``, and the end."""
    end = _END % (tokens_in, tokens_out, tokens_in + tokens_out)
    return [_CHUNK % text.encode()] * CHUNKS + [end]


def embedding_answer(numbers: Sequence[float], tokens_in: int) -> bytes:
    """One vector for each text: the number that the text is."""
    data = [{"object": "embedding", "index": i, "embedding": [n]} for i, n in enumerate(numbers)]
    usage = {"prompt_tokens": tokens_in, "total_tokens": tokens_in}
    return orjson.dumps({"object": "list", "model": "m", "data": data, "usage": usage})


def error_answer(kind: str) -> bytes:
    """An error in OpenAI's form."""
    word = kind.encode()
    return _ERROR % (word, word, word)
