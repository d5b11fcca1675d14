"""OpenAI's Responses: create, read, delete, count, stream with named events.

Source: OpenAI API reference, "Responses" and "Responses, streaming events".
"""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from asyncapi.emulator.answers import (
    Answer,
    Question,
    Tool,
    compose,
    count_tokens,
    effort_tokens,
    last_user_text,
    messages_tokens,
    pieces,
    tools_to_call,
)
from asyncapi.emulator.dialects.openai_chat import ANY_OBJECT, checked_count, require_model
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
    sse,
)

MOST_KEPT = 1000
_KINDS = ("message", "function_call", "function_call_output", "reasoning", "item_reference")

_EMPTIED: dict[str, Json] = {
    "message": {"content": [], "status": "in_progress"},
    "function_call": {"arguments": "", "status": "in_progress"},
    "reasoning": {"summary": []},
}


class Responses:
    """The handlers, and the responses that can be referred to.

    State that changes: ``_kept`` holds the newest responses with their conversations, oldest first.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[Json, list[Json]]] = OrderedDict()

    def create(self, ask: Ask) -> Reply:
        """Answer, whole or as a stream."""
        body = ask.body
        items = self._conversation(body)
        question = _question(body, items)
        answer = compose(question, ask.seed)
        response = _response(body, question, answer, ask)
        if body.get("store") is not False:
            self._keep(response, [*items, *response["output"]])
        reply = _stream(response, answer) if body.get("stream") else json_reply(response)
        reply.input_tokens, reply.output_tokens = question.input_tokens, answer.output_tokens
        return reply

    def count(self, ask: Ask) -> Reply:
        """Count the input tokens."""
        tokens = _question(ask.body, self._conversation(ask.body)).input_tokens
        return json_reply({"object": "response.input_tokens", "input_tokens": tokens})

    def read(self, ask: Ask) -> Reply:
        """A response that was kept, or the items it answered."""
        identity, _, what = ask.tail.partition("/")
        response, items = self._found(identity)
        if what == "input_items":
            data = items[: len(items) - len(response["output"])]
            return json_reply({"object": "list", "data": data, "has_more": False})
        return json_reply(response)

    def cancel(self, ask: Ask) -> Reply:
        """Stop a response that runs in the background; here it is always done by then, and stays so."""
        identity, _, what = ask.tail.partition("/")
        if what != "cancel":
            raise Problem(Trouble.NO_ROUTE, f"Unknown request URL: POST {ask.path}")
        response, _ = self._found(identity)
        if not response["background"]:
            raise invalid("Cannot cancel a synchronous response.")
        return json_reply(response)

    def delete(self, ask: Ask) -> Reply:
        """Forget a response."""
        self._found(ask.tail)
        del self._kept[ask.tail]
        return json_reply({"id": ask.tail, "object": "response", "deleted": True})

    def _keep(self, response: Json, items: list[Json]) -> None:
        self._kept[response["id"]] = (response, items)
        if len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)

    def _found(self, identity: str) -> tuple[Json, list[Json]]:
        if identity not in self._kept:
            raise Problem(Trouble.NO_ROUTE, f"Response with id '{identity}' not found.")
        return self._kept[identity]

    def _conversation(self, body: Json) -> list[Json]:
        """The items of the request behind those of the response that it continues."""
        earlier: list[Json] = []
        previous = body.get("previous_response_id")
        if previous is not None:
            if previous not in self._kept:
                raise invalid(
                    f"Previous response with id '{previous}' not found.",
                    "previous_response_id",
                    "previous_response_not_found",
                )
            earlier = self._kept[previous][1]
        return _checked([*earlier, *_items(body.get("input"))])


def _items(value: Any) -> list[Json]:
    if isinstance(value, str) and value:
        return [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": value}]}]
    if isinstance(value, list) and value:
        return value
    raise invalid("Missing required parameter: 'input'.", "input", "missing_required_parameter")


def _checked(items: list[Json]) -> list[Json]:
    """Known kinds of items, and every call answered."""
    waiting: dict[str, None] = {}
    for position, item in enumerate(items):
        kind = item.get("type", "message")
        if kind not in _KINDS:
            raise invalid(f"Invalid value: '{kind}'.", f"input[{position}].type", "invalid_value")
        if kind == "message" and item.get("role") not in ("user", "assistant", "system", "developer"):
            raise invalid(f"Invalid value: '{item.get('role')}'.", f"input[{position}].role", "invalid_value")
        if kind == "function_call":
            waiting[item["call_id"]] = None
        elif kind == "function_call_output":
            if item["call_id"] not in waiting:
                raise invalid(
                    f"No tool call found for function call output with call_id {item['call_id']}.", "input"
                )
            del waiting[item["call_id"]]
    if waiting:
        raise invalid(f"No tool output found for function call {next(iter(waiting))}.", "input")
    return items


def _question(body: Json, items: list[Json]) -> Question:
    model = require_model(body)
    messages = [item for item in items if item.get("type", "message") == "message"]
    text = last_user_text(messages)
    others = [item for item in items if item not in messages]
    tokens = messages_tokens(messages) + sum(count_tokens(str(item)) for item in others)
    tokens += count_tokens(body.get("instructions") or "")
    cap = body.get("max_output_tokens")
    reasoning = (body.get("reasoning") or {}).get("effort")
    return Question(
        model,
        text,
        tokens,
        None if cap is None else checked_count(cap, "max_output_tokens"),
        (),
        _tools_now(body, items, text),
        _schema(body),
        effort_tokens(reasoning),
    )


def _tools_now(body: Json, items: list[Json], text: str) -> tuple[Tool, ...]:
    tools = []
    for position, tool in enumerate(body.get("tools") or []):
        if tool.get("type") != "function":
            continue
        if "name" not in tool:
            raise invalid(f"Missing required parameter: 'tools[{position}].name'.", f"tools[{position}].name")
        tools.append(Tool(tool["name"], tool.get("parameters") or {"type": "object"}))
    choice = body.get("tool_choice") or "auto"
    if isinstance(choice, dict):
        return tools_to_call(tools, text, name=choice.get("name", ""))
    if choice == "auto" and items[-1].get("type") == "function_call_output":
        return ()
    return tools_to_call(tools, text, choice=choice, parallel=body.get("parallel_tool_calls") is not False)


def _schema(body: Json) -> Json | None:
    wanted = (body.get("text") or {}).get("format") or {}
    if wanted.get("type") == "json_object":
        return ANY_OBJECT
    if wanted.get("type") != "json_schema":
        return None
    if "name" not in wanted or not isinstance(wanted.get("schema"), dict):
        raise invalid("Missing required parameter: 'text.format.schema'.", "text.format.schema")
    schema: Json = wanted["schema"]
    return schema


def _response(body: Json, question: Question, answer: Answer, ask: Ask) -> Json:
    cut = answer.finish == "length"
    return {
        "id": f"resp_{answer.id}{ask.serial:08x}",
        "object": "response",
        "created_at": int(ask.now),
        "completed_at": None if cut else int(ask.now),
        "status": "incomplete" if cut else "completed",
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "instructions": body.get("instructions"),
        "metadata": body.get("metadata") or {},
        "model": question.model,
        "output": list(_output(body, answer, ask.serial)),
        "background": body.get("background") is True,
        "parallel_tool_calls": body.get("parallel_tool_calls") is not False,
        "previous_response_id": body.get("previous_response_id"),
        "temperature": body.get("temperature", 1.0),
        "top_p": body.get("top_p", 1.0),
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": body.get("tools") or [],
        "text": body.get("text") or {"format": {"type": "text"}},
        "reasoning": body.get("reasoning") or {"effort": None, "summary": None},
        "truncation": "disabled",
        "service_tier": "default",
        "store": body.get("store") is not False,
        "usage": _usage(question, answer),
    }


def _usage(question: Question, answer: Answer) -> Json:
    return {
        "input_tokens": question.input_tokens,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": answer.output_tokens,
        "output_tokens_details": {"reasoning_tokens": answer.reasoning_tokens},
        "total_tokens": question.input_tokens + answer.output_tokens,
    }


def _output(body: Json, answer: Answer, serial: int) -> Iterator[Json]:
    """The items of an answer: reasoning, calls, a message."""
    tail = f"{answer.id}{serial:x}"
    if answer.reasoning:
        shown = (body.get("reasoning") or {}).get("summary")
        summary = [{"type": "summary_text", "text": answer.reasoning}] if shown else []
        sealed = f"sealed-{tail}" if "reasoning.encrypted_content" in (body.get("include") or []) else None
        yield {"id": f"rs_{tail}", "type": "reasoning", "summary": summary, "encrypted_content": sealed}
    for call in answer.calls:
        yield {
            "id": f"fc_{call.id}{serial:x}",
            "type": "function_call",
            "call_id": f"call_{call.id}{serial:x}",
            "name": call.name,
            "arguments": call.text,
            "status": "completed",
        }
    if not answer.calls:
        status = "incomplete" if answer.finish == "length" else "completed"
        part = {"type": "output_text", "text": answer.text, "annotations": [], "logprobs": []}
        message = {"id": f"msg_{tail}", "type": "message", "role": "assistant", "status": status}
        yield {**message, "content": [part]}


def _stream(response: Json, answer: Answer) -> Reply:
    """All events from ``response.created`` to the terminal one; there is no ``[DONE]``."""
    opening = {
        **response,
        "status": "in_progress",
        "completed_at": None,
        "incomplete_details": None,
        "output": [],
        "usage": None,
    }
    events: list[Json] = [{"type": "response.created", "response": opening}]
    events.append({"type": "response.in_progress", "response": opening})
    for index, item in enumerate(response["output"]):
        events.extend({**event, "output_index": index} for event in _item_events(item))
    proof = len(events)
    events.append({"type": f"response.{response['status']}", "response": response})
    frames: list[Frame] = []
    sent = 0
    for number, event in enumerate(events):
        sent += "delta" in event
        numbered = {**event, "sequence_number": number}
        frames.append((sse(numbered, event["type"]), min(sent, answer.output_tokens)))
    reply = event_stream(frames, proof)
    error = {"type": "error", "code": "server_error", "message": "The server had an error", "param": None}
    reply.failure = [sse({**error, "sequence_number": proof}, "error")]
    return reply


def _item_events(item: Json) -> Iterator[Json]:
    kind = item["type"]
    emptied: Json = {
        "message": {"content": []},
        "function_call": {"arguments": ""},
        "reasoning": {"summary": []},
    }
    status = {} if kind == "reasoning" else {"status": "in_progress"}
    yield {"type": "response.output_item.added", "item": {**item, **emptied[kind], **status}}
    if kind == "message":
        yield from _text_events(item)
    elif kind == "function_call":
        for piece in pieces(item["arguments"]):
            yield {"type": "response.function_call_arguments.delta", "item_id": item["id"], "delta": piece}
        whole = {"item_id": item["id"], "arguments": item["arguments"], "name": item["name"]}
        yield {"type": "response.function_call_arguments.done", **whole}
    elif item["summary"]:
        yield from _summary_events(item)
    yield {"type": "response.output_item.done", "item": item}


def _text_events(item: Json) -> Iterator[Json]:
    place = {"item_id": item["id"], "content_index": 0}
    part = item["content"][0]
    yield {"type": "response.content_part.added", **place, "part": {**part, "text": ""}}
    for piece in pieces(part["text"]):
        yield {"type": "response.output_text.delta", **place, "delta": piece, "logprobs": []}
    yield {"type": "response.output_text.done", **place, "text": part["text"], "logprobs": []}
    yield {"type": "response.content_part.done", **place, "part": part}


def _summary_events(item: Json) -> Iterator[Json]:
    place = {"item_id": item["id"], "summary_index": 0}
    part = item["summary"][0]
    yield {"type": "response.reasoning_summary_part.added", **place, "part": {**part, "text": ""}}
    for piece in pieces(part["text"]):
        yield {"type": "response.reasoning_summary_text.delta", **place, "delta": piece}
    yield {"type": "response.reasoning_summary_text.done", **place, "text": part["text"]}
    yield {"type": "response.reasoning_summary_part.done", **place, "part": part}
