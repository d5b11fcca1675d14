"""OPEA microservices: the OpenAI dialect behind FastAPI. Source: OPEA GenAIComps, ``comps/cores``."""

from asyncapi.emulator.answers import Answer, count_tokens
from asyncapi.emulator.dialects.base import STATUS
from asyncapi.emulator.dialects.opea_media import animate, draw, files, film, look, parameters
from asyncapi.emulator.dialects.opea_mega import (
    GUARDS,
    MEGA,
    guard,
    guardrails,
    list_service,
    mega,
    question_text,
    retrieve,
    speak,
    statistics,
    transcribe,
)
from asyncapi.emulator.dialects.openai_chat import ChatWords, known_model
from asyncapi.emulator.dialects.openai_shape import OpenAIShape, document_text
from asyncapi.emulator.exchange import Ask, Json, Problem, Reply, Trouble, invalid, json_reply, sse
from asyncapi.emulator.vectors import ranked

_SCHEMA_TROUBLES = (Trouble.INVALID, Trouble.NOT_JSON, Trouble.EMPTY)


class OPEA(OpenAIShape):
    """The microservices and the gateways that chain them, on one port."""

    name = "opea"
    base_path = "/opea/v1"
    words = ChatWords()
    models = ("meta-llama/Meta-Llama-3-8B-Instruct",)
    owner = "opea"
    fingerprint = None

    def __init__(self) -> None:
        super().__init__()
        self.routes = {
            ("POST", "opea/v1/chat/completions"): self.chat,
            ("POST", "opea/v1/embeddings"): self.embeddings,
            ("POST", "opea/v1/reranking"): self.rerank,
            ("GET", "opea/v1/models"): self.list_models,
            ("GET", "opea/v1/health_check"): lambda ask: json_reply({"Service Title": "opea_service"}),
            ("GET", "opea/health"): lambda ask: Reply(),
            ("GET", "opea/v1/statistics"): statistics,
            ("GET", "opea/v1/list_service"): list_service,
            ("GET", "opea/v1/list_parameters"): parameters,
            ("POST", "opea/v1/text2image"): draw,
            ("POST", "opea/v1/image2image"): draw,
            ("POST", "opea/v1/image2video"): film,
            ("POST", "opea/v1/lvm"): look,
            ("POST", "opea/v1/animation"): animate,
            ("POST", "opea/v1/dataprep/"): files,
            ("POST", "opea/v1/retrieval"): retrieve,
            ("POST", "opea/v1/guardrails"): guardrails,
            ("POST", "opea/v1/audio/transcriptions"): transcribe,
            ("POST", "opea/v1/audio/speech"): speak,
        }
        self.routes.update({("POST", f"opea/v1/{name}"): mega for name in MEGA})
        self.routes.update({("POST", f"opea/v1/{name}"): guard for name in GUARDS})

    def question_in(self, body: Json) -> str:
        """What a gateway or a microservice is asked."""
        return question_text(body) or super().question_in(body)

    def model_of(self, body: Json) -> str:
        """The model is the service's own where the request names none."""
        return known_model(body.get("model") or self.models[0])

    def chat(self, ask: Ask) -> Reply:
        """Chat; messages as a plain string are a completion, a ``query`` alone is a stream by default.

        The cap is 1024 tokens unless given.
        """
        messages, query = ask.body.get("messages"), ask.body.get("query")
        if messages is None and isinstance(query, str):
            ask.body["messages"] = [{"role": "user", "content": query}]
            ask.body.setdefault("stream", True)
        if isinstance(messages, str):
            ask.body["prompt"] = messages
            ask.body.setdefault("max_tokens", 1024)
            return self.completions(ask)
        if ask.body.get("max_completion_tokens") is None and ask.body.get("max_tokens") is None:
            ask.body["max_tokens"] = 1024
        return super().chat(ask)

    def choice(self, index: int, answer: Answer, body: Json) -> Json:
        """A choice as the text generation service behind words it."""
        choice = super().choice(index, answer, body)
        del choice["message"]["annotations"]
        return choice

    def rerank(self, ask: Ask) -> Reply:
        """Rank documents; the best one alone unless ``top_n`` asks for more, and without their indexes."""
        query, documents = ask.body.get("input"), ask.body.get("retrieved_docs")
        if not isinstance(query, str):
            raise invalid("Field required", "input")
        if not isinstance(documents, list):
            raise invalid("Field required", "retrieved_docs")
        texts = [document_text(document) for document in documents]
        if texts:
            self.check_texts(texts)
        order = ranked(query, texts)[: ask.body.get("top_n", 1)]
        docs = [{"text": texts[index], "score": score} for index, score in order]
        return json_reply({"reranked_docs": docs}, input_tokens=sum(map(count_tokens, texts)))

    def refuse(self, problem: Problem, path: str, serial: int) -> Reply:
        """FastAPI's ``detail``: a list for what the schema refuses, a text otherwise."""
        if problem.trouble in _SCHEMA_TROUBLES:
            where = ["body", problem.param] if problem.param else ["body"]
            detail = {"type": "value_error", "loc": where, "msg": problem.message, "input": None}
            return json_reply({"detail": [detail]}, 422)
        if problem.trouble is Trouble.SERVER_ERROR:
            return Reply(b"Internal Server Error", 500, content_type="text/plain; charset=utf-8")
        return json_reply({"detail": problem.message}, STATUS[problem.trouble])

    def stream_error(self) -> list[bytes]:
        """An error event as the service behind would word it."""
        return [sse({"error": {"message": "upstream error", "type": "server_error", "code": 500}})]
