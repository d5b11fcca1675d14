"""The neutral shapes between the server and its dialects: what is asked, what is replied, what is wrong."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

import orjson

Json: TypeAlias = dict[str, Any]
Frame: TypeAlias = tuple[bytes, int]
"""One event of a stream, and how many output tokens exist when it is sent."""


class Trouble(StrEnum):
    """Why a request is refused; each dialect words it in its own envelope."""

    INVALID = "invalid"
    EMPTY = "empty"
    NOT_JSON = "not_json"
    BODY_TOO_LARGE = "body_too_large"
    UNAUTHORIZED = "unauthorized"
    NO_MODEL = "no_model"
    NO_ROUTE = "no_route"
    RATE_LIMITED = "rate_limited"
    TOO_LARGE_FOR_LIMIT = "too_large_for_limit"
    QUOTA = "quota"
    SPEND_LIMIT = "spend_limit"
    BUSY = "busy"
    SERVER_ERROR = "server_error"
    UNAVAILABLE = "unavailable"
    OVERLOADED = "overloaded"


class Problem(Exception):
    """A refusal on its way to the dialect that words it.

    Args:
        trouble: The kind of refusal.
        message: What a caller reads.
        param: The request field at fault, where there is one.
        code: The service's own code, where there is one.

    State that changes: ``wait`` is filled in where the caller is told to wait so many seconds.
    """

    wait: float | None = None

    def __init__(
        self, trouble: Trouble, message: str = "", *, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message or trouble.value)
        self.trouble = trouble
        self.message = message or trouble.value.replace("_", " ")
        self.param = param
        self.code = code


@dataclass(frozen=True, slots=True)
class Ask:
    """One request as a dialect sees it.

    ``tail`` is what the path has below its route; ``body`` is empty where ``raw`` is no JSON object (and no
    form); ``raw_path`` and ``raw_query`` are as they came, with everything still escaped.

    Units: ``now`` is in seconds since 1970, ``serial`` counts the requests of this emulator from 1.
    """

    method: str
    path: str
    tail: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Json
    raw: bytes
    seed: int
    now: float
    serial: int
    raw_path: str = ""
    raw_query: str = ""


@dataclass(slots=True)
class Reply:
    """What a dialect answers: one body, or the frames of a stream.

    ``proof`` is the index of the first frame that lets a client believe that the stream is complete.
    ``failure`` is what an error in the middle of this stream looks like, where the dialect's general word for
    it does not fit; with ``fails_empty`` nothing else of the stream is seen then.
    """

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    frames: list[Frame] | None = None
    proof: int = 0
    failure: list[bytes] | None = None
    fails_empty: bool = False
    input_tokens: int = 0
    output_tokens: int = 0


def json_reply(value: object, status: int = 200, *, input_tokens: int = 0, output_tokens: int = 0) -> Reply:
    """A plain JSON reply."""
    return Reply(orjson.dumps(value), status, input_tokens=input_tokens, output_tokens=output_tokens)


def sse(value: object, event: str | None = None) -> bytes:
    """One server-sent event; named when ``event`` is given."""
    data = b"data: " + orjson.dumps(value) + b"\n\n"
    return data if event is None else b"event: " + event.encode() + b"\n" + data


def event_stream(frames: list[Frame], proof: int) -> Reply:
    """A stream of server-sent events whose completion ``frames[proof]`` begins to prove."""
    return Reply(content_type="text/event-stream; charset=utf-8", frames=frames, proof=proof)


def invalid(message: str, param: str | None = None, code: str | None = None) -> Problem:
    """A refusal of a request that can never succeed as it is."""
    return Problem(Trouble.INVALID, message, param=param, code=code)
