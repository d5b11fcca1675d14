"""OpenVINO Model Server: KServe v2 inference, the generative routes, and the TensorFlow-Serving ones it had.

Source: OpenVINO Model Server documentation, "KServe REST API", "Generative AI endpoints", "TensorFlow Serving
REST API", and the server's source.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import orjson

from asyncapi.emulator.answers import Answer, count_tokens
from asyncapi.emulator.dialects.base import STATUS
from asyncapi.emulator.dialects.openai_chat import ChatWords
from asyncapi.emulator.dialects.openai_media import draw, speak, transcribe, translate
from asyncapi.emulator.dialects.openai_shape import OpenAIShape, texts_of
from asyncapi.emulator.dialects.ovms_tensors import (
    MODELS,
    Model,
    Tensor,
    nested,
    plain_tensor,
    read_tensors,
    to_bytes,
    to_json,
)
from asyncapi.emulator.exchange import Ask, Json, Problem, Reply, Trouble, invalid, json_reply
from asyncapi.emulator.vectors import ranked

LENGTH = "Inference-Header-Content-Length"
_STATUS = {Trouble.NOT_JSON: 412}
_READY = {"state": "AVAILABLE", "status": {"error_code": "OK", "error_message": "OK"}}

_METRICS = b"""# HELP ovms_requests_success Number of successful requests to a model or a DAG.
# TYPE ovms_requests_success counter
ovms_requests_success{api="KServe",interface="REST",method="ModelInfer",name="double",version="1"} 7
"""


class OVMS(OpenAIShape):
    """A model server with four models that anyone can check by hand, and one that talks."""

    name = "ovms"
    base_path = "/ovms"
    words = ChatWords(reasoning_field="reasoning_content", explicit_nulls=True, null_opening=True)
    models: ClassVar[tuple[str, ...]] = ("OpenVINO/Qwen3-8B-int4-ov",)
    owner = "OVMS"
    fingerprint = None
    can_size_vectors = False
    most_items = 500

    def __init__(self) -> None:
        super().__init__()
        self.routes = {
            ("GET", "ovms/v2"): self.server,
            ("GET", "ovms/v2/health/live"): lambda ask: Reply(),
            ("GET", "ovms/v2/health/ready"): lambda ask: Reply(),
            ("GET", "ovms/metrics"): lambda ask: Reply(_METRICS, content_type="text/plain; charset=utf-8"),
            ("GET", "ovms/v2/models/"): self.inspect,
            ("POST", "ovms/v2/models/"): self.infer,
            ("POST", "ovms/v1/models/"): self.predict,
            ("GET", "ovms/v1/models/"): self.legacy_status,
            ("GET", "ovms/v1/models"): self.list_models,
            ("GET", "ovms/v1/config"): self.config,
            ("POST", "ovms/v1/config/reload"): self.config,
            ("GET", "ovms/v3/models"): self.list_models,
            ("GET", "ovms/v3/models/"): self.one_model,
        }
        for version in ("v3", "v1"):
            self.routes[("POST", f"ovms/{version}/chat/completions")] = self.chat
            self.routes[("POST", f"ovms/{version}/completions")] = self.completions
            self.routes[("POST", f"ovms/{version}/embeddings")] = self.embeddings
            self.routes[("POST", f"ovms/{version}/rerank")] = self.rerank
            self.routes[("POST", f"ovms/{version}/tokenize")] = self.tokenize
            self.routes[("POST", f"ovms/{version}/images/generations")] = draw
            self.routes[("POST", f"ovms/{version}/audio/speech")] = speak
            self.routes[("POST", f"ovms/{version}/audio/transcriptions")] = transcribe
            self.routes[("POST", f"ovms/{version}/audio/translations")] = translate

    def read(self, path: str, headers: Mapping[str, str], raw: bytes) -> tuple[Json, bool]:
        """The JSON in front of the tensors, where a header tells its length."""
        length = headers.get(LENGTH, "")
        return super().read(path, headers, raw[: int(length)] if length.isdecimal() else raw)

    def model_in(self, path: str, body: Json) -> str:
        """The model is in the path, or in the body of the generative routes."""
        _, found, rest = path.partition("/models/")
        return rest.partition("/")[0].partition(":")[0] if found else super().model_in(path, body)

    def question_in(self, body: Json) -> str:
        """The text of a conversation, or the inputs as they came."""
        inputs = body.get("inputs") or body.get("instances")
        return orjson.dumps(inputs).decode() if inputs else super().question_in(body)

    def server(self, ask: Ask) -> Reply:
        """What the server is."""
        return json_reply(
            {"name": "OpenVINO Model Server", "version": "2026.3.0", "extensions": ["binary_tensor_data"]}
        )

    def inspect(self, ask: Ask) -> Reply:
        """Whether a model is ready, and what it takes."""
        name, version, verb = _place(ask.tail)
        model = _model(name, version)
        if verb == "ready":
            return Reply()
        if verb:
            raise Problem(Trouble.NO_ROUTE, "Invalid request URL")
        return json_reply(
            {
                "name": name,
                "versions": ["1"],
                "platform": "OpenVINO",
                "inputs": [_signature(each, model) for each in model.inputs],
                "outputs": [_signature("output0", model)] if model.inputs else [],
            }
        )

    def infer(self, ask: Ask) -> Reply:
        """Run a model on tensors, in JSON or with raw bytes behind it."""
        name, version, verb = _place(ask.tail)
        if verb != "infer":
            raise Problem(Trouble.NO_ROUTE, "Invalid request URL")
        model = _model(name, version)
        length = ask.headers.get(LENGTH, "")
        tensors = read_tensors(ask.body.get("inputs"), ask.raw[int(length) :] if length.isdecimal() else b"")
        outputs = model(tensors)
        head: Json = {"model_name": name, "model_version": "1"}
        if "id" in ask.body:
            head["id"] = ask.body["id"]
        return _inferred(head, *_wanted(ask.body, outputs))

    def predict(self, ask: Ask) -> Reply:
        """Run a model as TensorFlow Serving was asked to: rows or columns."""
        place, colon, verb = ask.tail.partition(":")
        if not colon or verb != "predict":
            raise Problem(Trouble.NO_ROUTE, "Invalid request URL")
        name, version, _ = _place(place)
        model = _model(name, version)
        if "instances" in ask.body:
            outputs = model(_rows(ask.body["instances"], model))
            return json_reply({"predictions": _as_rows(outputs)})
        if "inputs" not in ask.body:
            raise invalid("Missing instances or inputs in the request body")
        outputs = model(_columns(ask.body["inputs"], model))
        if len(outputs) == 1:
            return json_reply({"outputs": nested(outputs[0])})
        return json_reply({"outputs": {tensor.name: nested(tensor) for tensor in outputs}})

    def legacy_status(self, ask: Ask) -> Reply:
        """The versions of a model and their state, or its signature."""
        name, version, verb = _place(ask.tail)
        model = _model(name, version)
        if verb != "metadata":
            return json_reply({"model_version_status": [{"version": "1", **_READY}]})
        inputs = {each: _tfs_signature(each, model) for each in model.inputs}
        outputs = {"output0": _tfs_signature("output0", model)}
        serving = {"inputs": inputs, "outputs": outputs, "methodName": "", "defaults": {}}
        spec = {"name": name, "signatureName": "", "version": "1"}
        signature = {"@type": "type.googleapis.com/tensorflow.serving.SignatureDefMap"}
        return json_reply(
            {
                "modelSpec": spec,
                "metadata": {"signature_def": {**signature, "signatureDef": {"serving_default": serving}}},
            }
        )

    def config(self, ask: Ask) -> Reply:
        """Every model and its state; a reload finds nothing new."""
        return json_reply({name: {"model_version_status": [{"version": "1", **_READY}]} for name in MODELS})

    def base(self, answer: Answer, kind: str, ask: Ask, model: str) -> Json:
        """Answers have no id here."""
        base = super().base(answer, kind, ask, model)
        del base["id"]
        return base

    def choice(self, index: int, answer: Answer, body: Json) -> Json:
        """A choice without what this server does not know."""
        choice = super().choice(index, answer, body)
        del choice["message"]["refusal"]
        return choice

    def rerank(self, ask: Ask) -> Reply:
        """Rank documents by the words that they share with a query."""
        model = self.model_of(ask.body)
        query, documents = ask.body.get("query"), ask.body.get("documents")
        if not isinstance(query, str) or not isinstance(documents, list) or not documents:
            raise invalid("query and documents are required")
        if len(documents) > 100:
            raise invalid("Number of documents exceeds max_allowed_chunks")
        self.check_texts([query, *documents])
        results: list[Json] = [
            {"index": index, "relevance_score": score}
            for index, score in ranked(query, documents)[: ask.body.get("top_n") or None]
        ]
        if ask.body.get("return_documents"):
            for result in results:
                result["document"] = {"text": documents[result["index"]]}
        tokens = sum(map(count_tokens, documents))
        return json_reply({"model": model, "results": results}, input_tokens=tokens)

    def tokenize(self, ask: Ask) -> Reply:
        """The tokens of a text, or of each of many."""
        self.model_of(ask.body)
        rows = [list(range(1, count_tokens(text) + 1)) for text in texts_of(ask.body.get("text"), "text")]
        return json_reply({"tokens": rows[0] if isinstance(ask.body["text"], str) else rows})

    def refuse(self, problem: Problem, path: str, serial: int) -> Reply:
        """A refusal as a plain text under ``error``."""
        message = "Invalid JSON structure" if problem.trouble is Trouble.NOT_JSON else problem.message
        return json_reply({"error": message}, _STATUS.get(problem.trouble) or STATUS[problem.trouble])

    def stream_error(self) -> list[bytes]:
        """A bare JSON object, which is no event."""
        return [b'{"error":"Mediapipe execution failed. MP status - INTERNAL"}']


def _place(tail: str) -> tuple[str, str, str]:
    """Model, version and verb of what a path has below ``models/``."""
    name, _, rest = tail.partition("/")
    version = ""
    if rest.startswith("versions/"):
        version, _, rest = rest.removeprefix("versions/").partition("/")
    return name, version, rest


def _model(name: str, version: str) -> Model:
    if name not in MODELS:
        raise Problem(Trouble.NO_MODEL, "Model with requested name is not found")
    if version not in ("", "0", "1"):
        raise Problem(Trouble.NO_MODEL, "Model with requested version is not found")
    return MODELS[name]


def _signature(name: str, model: Model) -> Json:
    return {
        "name": name,
        "datatype": model.datatype or "FP32",
        "shape": list(model.shape) if model.shape else [-1, -1],
    }


def _tfs_signature(name: str, model: Model) -> Json:
    sizes = [{"size": str(size), "name": ""} for size in model.shape or (-1, -1)]
    shape = {"dim": sizes, "unknownRank": False}
    return {"dtype": "DT_FLOAT", "tensorShape": shape, "name": name}


def _wanted(body: Json, outputs: list[Tensor]) -> tuple[list[Tensor], set[str]]:
    """The outputs asked for, and the names of those to send as raw bytes."""
    all_binary = bool((body.get("parameters") or {}).get("binary_data_output"))
    asked = body.get("outputs")
    if not asked:
        return outputs, {tensor.name for tensor in outputs} if all_binary else set()
    named = {tensor.name: tensor for tensor in outputs}
    for item in asked:
        if item.get("name") not in named:
            raise invalid(f"Invalid output name: {item.get('name')}")
    binary = {item["name"] for item in asked if (item.get("parameters") or {}).get("binary_data", all_binary)}
    return [named[item["name"]] for item in asked], binary


def _inferred(head: Json, outputs: list[Tensor], binary: set[str]) -> Reply:
    described: list[Json] = []
    blocks: list[bytes] = []
    for tensor in outputs:
        if tensor.name in binary or tensor.datatype == "FP16":
            item, raw = to_bytes(tensor)
            blocks.append(raw)
        else:
            item = to_json(tensor)
        described.append(item)
    reply = json_reply({**head, "outputs": described})
    if blocks:
        reply.headers[LENGTH] = str(len(reply.body))
        reply.content_type = "application/octet-stream"
        reply.body += b"".join(blocks)
    return reply


def _rows(instances: Any, model: Model) -> list[Tensor]:
    if not isinstance(instances, list) or not instances:
        raise invalid("instances must be a list with at least one row")
    if isinstance(instances[0], dict) and "b64" not in instances[0]:
        return [plain_tensor(name, [row[name] for row in instances]) for name in instances[0]]
    return [plain_tensor((model.inputs or ("input0",))[0], instances)]


def _columns(inputs: Any, model: Model) -> list[Tensor]:
    if isinstance(inputs, dict) and "b64" not in inputs:
        return [plain_tensor(name, value) for name, value in inputs.items()]
    return [plain_tensor((model.inputs or ("input0",))[0], inputs)]


def _as_rows(outputs: list[Tensor]) -> list[Any]:
    columns = {tensor.name: nested(tensor) for tensor in outputs}
    if len(columns) == 1:
        return list(next(iter(columns.values())))
    rows = zip(*columns.values(), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in rows]
