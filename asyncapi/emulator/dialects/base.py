"""What a dialect is: routes, words for refusals, headers. One module each."""

from collections.abc import Callable, Mapping
from typing import ClassVar

import orjson

from asyncapi.emulator.answers import last_user_text, text_of
from asyncapi.emulator.exchange import Ask, Json, Problem, Reply, Trouble, json_reply
from asyncapi.emulator.forms import Upload, read_form
from asyncapi.emulator.limits import Reading

Handler = Callable[[Ask], Reply]

STATUS: dict[Trouble, int] = {
    Trouble.INVALID: 400,
    Trouble.EMPTY: 400,
    Trouble.NOT_JSON: 400,
    Trouble.BODY_TOO_LARGE: 413,
    Trouble.UNAUTHORIZED: 401,
    Trouble.NO_MODEL: 404,
    Trouble.NO_ROUTE: 404,
    Trouble.RATE_LIMITED: 429,
    Trouble.TOO_LARGE_FOR_LIMIT: 429,
    Trouble.QUOTA: 429,
    Trouble.SPEND_LIMIT: 429,
    Trouble.BUSY: 503,
    Trouble.SERVER_ERROR: 500,
    Trouble.UNAVAILABLE: 503,
    Trouble.OVERLOADED: 503,
}
"""The status of each refusal where a dialect says nothing else."""


class Dialect:
    """One service: subclass it, fill in ``routes`` and ``refuse``, and add the class to the registry.

    A service that ``needs_key`` sells its tokens: it has rate limits and money. The others have a queue that
    can be full. One that ``waits_in_body`` has no headers for that. A key in a URL is counted as a violation,
    but where the service itself ``signs_urls``. ``routes`` maps (method, path below the mount) to a handler;
    a path that ends in a slash serves everything below it, with the rest in ``ask.tail``.
    """

    name: ClassVar[str]
    base_path: ClassVar[str]
    needs_key: ClassVar[bool] = False
    limits_by_day: ClassVar[bool] = False
    wait_form: ClassVar[str] = "bare"
    waits_in_body: ClassVar[bool] = False
    signs_urls: ClassVar[bool] = False
    body_limit: ClassVar[int] = 64 * 2**20

    def __init__(self) -> None:
        self.routes: dict[tuple[str, str], Handler] = {}

    def find(self, method: str, path: str) -> tuple[Handler, str] | None:
        """The handler of a path below the mount, and what is left of the path after its route."""
        handler = self.routes.get((method, path))
        if handler is not None:
            return handler, ""
        head, slash, _ = path.rpartition("/")
        while slash:
            handler = self.routes.get((method, head + "/"))
            if handler is not None:
                return handler, path[len(head) + 1 :]
            head, slash, _ = head.rpartition("/")
        return None

    def key(self, headers: Mapping[str, str]) -> str:
        """The API key of a request, empty for none."""
        scheme, _, key = headers.get("authorization", "").partition(" ")
        return key.strip() if scheme.lower() == "bearer" else ""

    def key_in_query(self, query: Mapping[str, str]) -> str:
        """The API key that a URL carries, empty for none."""
        return ""

    def read(self, path: str, headers: Mapping[str, str], raw: bytes) -> tuple[Json, bool]:
        """The body as a JSON object, be it from a form, and whether it could be read (an empty one can)."""
        if not raw:
            return {}, True
        kind = headers.get("content-type", "")
        if kind.startswith("multipart/form-data"):
            form = read_form(kind, raw)
            return (form or {}), form is not None
        try:
            body = orjson.loads(raw)
        except orjson.JSONDecodeError:
            return {}, False
        return (body, True) if isinstance(body, dict) else ({}, False)

    def model_in(self, path: str, body: Json) -> str:
        """The model that a request is for, as records show it."""
        model = body.get("model")
        return model if isinstance(model, str) else ""

    def question_in(self, body: Json) -> str:
        """The text that a request is about, as records digest it."""
        messages, file = body.get("messages"), body.get("file")
        if isinstance(messages, list):
            return last_user_text(messages)
        if isinstance(file, Upload):
            return file.digest
        for name in ("prompt", "query", "input", "inputs"):
            value = body.get(name)
            if isinstance(value, str):
                return value
            if isinstance(value, list):
                return "\n".join(item if isinstance(item, str) else text_of(item) for item in value)
        return ""

    def refuse(self, problem: Problem, path: str, serial: int) -> Reply:
        """A refusal in this service's own envelope."""
        return json_reply({"error": problem.message}, STATUS[problem.trouble])

    def refuse_at(self, problem: Problem, path: str, query: Mapping[str, str], serial: int) -> Reply:
        """The same where the query decides about the envelope."""
        return self.refuse(problem, path, serial)

    def stream_error(self) -> list[bytes]:
        """The frames that a service sends when it fails in the middle of a stream."""
        return []

    def limit_headers(self, readings: Mapping[str, Reading], now: float) -> dict[str, str]:
        """The rate-limit headers of every reply."""
        return {}

    def id_headers(self, serial: int) -> dict[str, str]:
        """The headers that name this reply."""
        return {}
