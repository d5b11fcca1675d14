"""OPEA's picture, film and file services. Source: OPEA GenAIComps, the services' own READMEs and schemas."""

import base64

from asyncapi.emulator.answers import Question, compose, count_tokens
from asyncapi.emulator.exchange import Ask, Json, Reply, invalid, json_reply
from asyncapi.emulator.media import png

_FILES: tuple[Json, ...] = ({"name": "file-0.txt", "id": "file-0.txt", "type": "File", "parent": ""},)


def draw(ask: Ask) -> Reply:
    """Pictures from a prompt, or from a picture and a prompt."""
    prompt, count = ask.body.get("prompt"), ask.body.get("num_images_per_prompt", 1)
    if not isinstance(prompt, str):
        raise invalid("Field required", "prompt")
    if not isinstance(count, int) or not 1 <= count <= 10:
        raise invalid("Input should be a whole number from 1 to 10", "num_images_per_prompt")
    images = [base64.b64encode(png(f"{prompt} {place}")).decode() for place in range(count)]
    return json_reply({"images": images}, input_tokens=count_tokens(prompt))


def film(ask: Ask) -> Reply:
    """A film from pictures."""
    if not ask.body.get("images_path"):
        raise invalid("Field required", "images_path")
    return json_reply({"video_path": "/home/user/generated.mp4"})


def look(ask: Ask) -> Reply:
    """What a model sees in a picture."""
    prompt = ask.body.get("prompt")
    if not isinstance(prompt, str) or not ask.body.get("image"):
        raise invalid("Field required", "image")
    question = Question("llava", prompt, count_tokens(prompt), ask.body.get("max_new_tokens"))
    answer = compose(question, ask.seed)
    reply = json_reply({"text": answer.text})
    reply.input_tokens, reply.output_tokens = question.input_tokens, answer.output_tokens
    return reply


def animate(ask: Ask) -> Reply:
    """A speaking face for a sound."""
    if not ask.body.get("audio"):
        raise invalid("Field required", "audio")
    return json_reply({"wav2lip_result": "/outputs/result.mp4"})


def files(ask: Ask) -> Reply:
    """The files that retrieval knows; deleting and indexing them changes nothing."""
    match ask.path.rpartition("/")[2]:
        case "get":
            return json_reply(_FILES)
        case "delete":
            if "file_path" not in ask.body:
                raise invalid("Field required", "file_path")
            return json_reply({"status": True})
    return json_reply({"indices": ["rag_redis"]})


def parameters(ask: Ask) -> Reply:
    """What the parts of a gateway can be told."""
    return json_reply({"opea_service@llm": {"max_tokens": 1024, "top_k": 10, "temperature": 0.01}})
