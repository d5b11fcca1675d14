"""Services of OPEA's own framework, without weights.

opea_services.py llm|embedding|chatqna PORT [LLM_PORT]
"""

# mypy: ignore-errors

import json
import sys

from comps import (
    MegaServiceEndpoint,
    MicroService,
    ServiceOrchestrator,
    ServiceRoleType,
    ServiceType,
    opea_microservices,
    register_microservice,
    register_statistics,
)
from comps.cores.proto.api_protocol import (
    ChatCompletionRequest,
    ChatCompletionResponse,
    ChatCompletionResponseChoice,
    ChatMessage,
    EmbeddingRequest,
    EmbeddingResponse,
    EmbeddingResponseData,
    UsageInfo,
)
from comps.cores.proto.docarray import LLMParams
from fastapi import Request
from fastapi.responses import StreamingResponse

kind, port = sys.argv[1], int(sys.argv[2])
HERE = {"host": "127.0.0.1", "port": port}


def answered(model, text):
    """A whole answer."""
    message = ChatMessage(role="assistant", content=text)
    choice = ChatCompletionResponseChoice(index=0, message=message, finish_reason="stop")
    usage = UsageInfo(prompt_tokens=1, completion_tokens=2, total_tokens=3)
    return ChatCompletionResponse(model=model or "m", choices=[choice], usage=usage)


async def chat(asked: ChatCompletionRequest):
    """Say again what was said."""
    text = asked.messages if isinstance(asked.messages, str) else asked.messages[-1]["content"]
    words = f"echo {text}".split()
    if not asked.stream:
        return answered(asked.model, " ".join(words))

    async def events():
        for word in [*words, ""]:
            delta = {"role": "assistant", "content": word + " " if word else ""}
            choice = {"index": 0, "delta": delta, "finish_reason": None if word else "stop"}
            chunk = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "m"}
            yield f"data: {json.dumps({**chunk, 'choices': [choice]})}\n\n"
        yield "data: [DONE]\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")


async def embed(asked: EmbeddingRequest) -> EmbeddingResponse:
    """Vectors of a text's length."""
    texts = [asked.input] if isinstance(asked.input, str) else asked.input
    data = [EmbeddingResponseData(index=n, embedding=[len(text), 0.5]) for n, text in enumerate(texts)]
    return EmbeddingResponse(
        data=data, model=asked.model or "m", usage=UsageInfo(prompt_tokens=1, total_tokens=1)
    )


def to_llm(self, inputs, node, graph, params, **options):
    """What the mega-service asks the LLM."""
    asked = {"model": "m", "messages": [{"role": "user", "content": inputs.get("text", "")}]}
    return {**asked, "max_tokens": params.get("max_tokens"), "stream": inputs.get("stream", False)}


def from_llm(self, data, node, *rest, **options):
    """What it makes of the answer."""
    return {"text": data["choices"][0]["message"]["content"]} if "choices" in data else data


class ChatQnA:
    """A mega-service of one step."""

    def __init__(self, llm_port):
        self.chain = ServiceOrchestrator()
        self.chain.add(
            MicroService(
                name="llm",
                host="127.0.0.1",
                port=llm_port,
                endpoint="/v1/chat/completions",
                use_remote_service=True,
                service_type=ServiceType.LLM,
            )
        )

    async def handle(self, request: Request):
        body = await request.json()
        asked = ChatCompletionRequest.model_validate(body)
        prompt = asked.messages if isinstance(asked.messages, str) else asked.messages[-1]["content"]
        parameters = LLMParams(max_tokens=asked.max_tokens or 64, stream=body.get("stream", True))
        results, graph = await self.chain.schedule(initial_inputs={"text": prompt}, llm_parameters=parameters)
        for result in results.values():
            if isinstance(result, StreamingResponse):
                return result
        return answered("chatqna", results[graph.all_leaves()[-1]]["text"])

    def start(self):
        path = str(MegaServiceEndpoint.CHAT_QNA)
        service = MicroService(
            "ChatQnA",
            service_role=ServiceRoleType.MEGASERVICE,
            endpoint=path,
            input_datatype=ChatCompletionRequest,
            output_datatype=ChatCompletionResponse,
            **HERE,
        )
        service.add_route(path, self.handle, methods=["POST"])
        service.start()


def micro(name, service_type, path, function):
    """Serve one function."""
    served = register_statistics(names=[name])(function)
    register_microservice(name=name, service_type=service_type, endpoint=path, **HERE)(served)
    opea_microservices[name].start()


if kind == "llm":
    micro("opea_service@llm", ServiceType.LLM, "/v1/chat/completions", chat)
elif kind == "embedding":
    micro("opea_service@embedding", ServiceType.EMBEDDING, "/v1/embeddings", embed)
else:
    ServiceOrchestrator.align_inputs, ServiceOrchestrator.align_outputs = to_llm, from_llm
    ChatQnA(int(sys.argv[3])).start()
