"""The bespoke model server that the backend named LLVM talks to: infer, batches, statistics, upkeep.

Source: no public server speaks it; this is the contract of its one known client, with item errors and usage.
"""

from collections import Counter
from typing import Any, ClassVar
from urllib.parse import unquote

import orjson

from asyncapi.emulator.answers import CONTEXT_TOKENS, Question, compose, count_tokens
from asyncapi.emulator.dialects.base import STATUS, Dialect, Handler
from asyncapi.emulator.exchange import Ask, Json, Problem, Reply, Trouble, invalid, json_reply
from asyncapi.emulator.vectors import POISON, vector

_STATUS = {Trouble.INVALID: 422}
_OPTIMIZATIONS = ("speed", "memory", "balanced")
_MOST_MODELS = 1000


class LLVM(Dialect):
    """A model server of one's own; a model's name may hold a slash, which must come escaped.

    State that changes: ``_served`` counts inferences by model, for the statistics.
    """

    name = "llvm"
    base_path = "/llvm"
    models: ClassVar[tuple[str, ...]] = ("bert-base", "org/embed-small", "tensor-echo", "text-large")

    def __init__(self) -> None:
        super().__init__()
        self._served: Counter[str] = Counter()
        self.routes = {
            ("GET", "llvm/models"): lambda ask: json_reply({"models": list(self.models)}),
            ("GET", "llvm/status"): self.status,
            ("GET", "llvm/models/"): self.look,
            ("POST", "llvm/models/"): self.act,
        }
        self._looks: dict[str, Handler] = {"": self.describe, "statistics": self.statistics}
        self._acts: dict[str, Handler] = {
            "infer": self.infer,
            "batch_infer": self.batch_infer,
            "optimize": self.optimize,
            "reload": self.reload,
        }

    def model_in(self, path: str, body: Json) -> str:
        """The model is in the path, between ``models/`` and the verb."""
        rest = path.partition("/models/")[2]
        head, _, verb = rest.rpartition("/")
        return head if verb in self._acts or verb in self._looks else rest

    def question_in(self, body: Json) -> str:
        """The input, or all of them."""
        if isinstance(body.get("inputs"), list):
            return "\n".join(map(_text, body["inputs"]))
        return _text(body["input"]) if "input" in body else ""

    def look(self, ask: Ask) -> Reply:
        """Answer a GET about one model."""
        return self._dispatch(ask, self._looks)

    def act(self, ask: Ask) -> Reply:
        """Answer a POST to one model."""
        return self._dispatch(ask, self._acts)

    def _dispatch(self, ask: Ask, verbs: dict[str, Handler]) -> Reply:
        _model(ask)
        verb = ask.raw_path.rstrip("/").split("/")[4:]
        handler = verbs.get("/".join(verb))
        if handler is None:
            raise Problem(
                Trouble.NO_ROUTE, f"no such route: {ask.raw_path} (escape the slashes of a model's name)"
            )
        return handler(ask)

    def describe(self, ask: Ask) -> Reply:
        """Whether a model is loaded."""
        details = {"max_input_tokens": CONTEXT_TOKENS}
        return json_reply({"model_id": _model(ask), "status": "loaded", "details": details})

    def infer(self, ask: Ask) -> Reply:
        """Run a model on one input of any kind."""
        if "input" not in ask.body:
            raise invalid("input is required")
        model, value = _model(ask), ask.body["input"]
        fault = _item_fault(value)
        if fault is not None:
            raise invalid(fault)
        outputs, spent = _outputs(ask, model, value)
        self._count(model, 1)
        usage = {"prompt_tokens": count_tokens(_text(value)), "completion_tokens": spent}
        reply = json_reply(
            {"model_id": model, "outputs": outputs, "metadata": {"latency_ms": 12.5, "usage": usage}}
        )
        reply.input_tokens, reply.output_tokens = usage["prompt_tokens"], spent
        return reply

    def batch_infer(self, ask: Ask) -> Reply:
        """Run a model on many inputs; each fails alone, and results keep the order."""
        inputs = ask.body.get("inputs")
        if not isinstance(inputs, list) or not inputs:
            raise invalid("inputs must be a list with at least one item")
        model = _model(ask)
        results: list[Any] = []
        spent = 0
        for value in inputs:
            fault = _item_fault(value)
            if fault is not None:
                results.append({"error": {"message": fault, "type": "validation"}})
                continue
            outputs, tokens = _outputs(ask, model, value)
            results.append(outputs)
            spent += tokens
        self._count(model, len(inputs))
        reply = json_reply({"results": results})
        reply.input_tokens, reply.output_tokens = sum(count_tokens(_text(value)) for value in inputs), spent
        return reply

    def _count(self, model: str, items: int) -> None:
        if model in self._served or len(self._served) < _MOST_MODELS:
            self._served[model] += items

    def statistics(self, ask: Ask) -> Reply:
        """How often a model was run."""
        model = _model(ask)
        return json_reply({"model_id": model, "inferences": self._served[model], "average_latency_ms": 12.5})

    def optimize(self, ask: Ask) -> Reply:
        """Pretend to make a model faster or smaller."""
        kind = ask.body.get("optimization_type", "balanced")
        if kind not in _OPTIMIZATIONS:
            raise invalid(f"optimization_type must be one of {', '.join(_OPTIMIZATIONS)}")
        return json_reply({"model_id": _model(ask), "optimization_type": kind, "status": "optimized"})

    def reload(self, ask: Ask) -> Reply:
        """Load a model again."""
        return json_reply({"model_id": _model(ask), "status": "loaded"})

    def status(self, ask: Ask) -> Reply:
        """How the server is."""
        return json_reply(
            {"status": "ok", "models_loaded": len(self.models), "inferences": self._served.total()}
        )

    def refuse(self, problem: Problem, path: str, serial: int) -> Reply:
        """A refusal as a text under ``error``; a dead server behind a proxy answers in plain text."""
        status = _STATUS.get(problem.trouble) or STATUS[problem.trouble]
        if problem.trouble is Trouble.UNAVAILABLE:
            return Reply(problem.message.encode(), status, content_type="text/plain; charset=utf-8")
        return json_reply({"error": problem.message}, status)


def _model(ask: Ask) -> str:
    """The model of a path: one escaped segment."""
    segments = ask.raw_path.split("/")
    model = unquote(segments[3])
    if not model or model.startswith("missing"):
        raise Problem(Trouble.NO_MODEL, f"model {model!r} not found")
    return model


def _text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _item_fault(value: Any) -> str | None:
    text = _text(value)
    if POISON in text:
        return "input cannot be processed"
    return "input too long" if count_tokens(text) > CONTEXT_TOKENS else None


def _outputs(ask: Ask, model: str, value: Any) -> tuple[Any, int]:
    """What a model says of one input: a vector, a text, or the input itself where it is no text."""
    if "tensor" in model:
        return value, 1
    if not isinstance(value, str):
        return {"echo": value}, 1
    if "embed" in model:
        return vector(ask.seed, model, value).tolist(), 0
    cap = (ask.body.get("parameters") or {}).get("max_tokens")
    answer = compose(Question(model, value, count_tokens(value), cap), ask.seed)
    return {"text": answer.text, "finish_reason": answer.finish}, answer.output_tokens
