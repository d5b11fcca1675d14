"""What OPEA has beside the OpenAI dialect: gateways to mega-services, guardrails, and its own actions.

Source: opea-project/GenAIComps, comps/cores and comps/guardrails; opea-project/GenAIExamples.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asyncapi.backends._encoding import drop, note
from asyncapi.backends._native import Action
from asyncapi.errors import ConfigError
from asyncapi.types.requests import ChatRequest, ModerateRequest
from asyncapi.types.responses import Moderation

__all__ = ["ACTIONS", "GUARDS", "MEGASERVICES", "gateway_body", "guard_body", "verdict"]

#: The mega-services that GenAIExamples has, each at the path of its name.
MEGASERVICES = frozenset(
    {
        "audioqna",
        "chatqna",
        "codegen",
        "codetrans",
        "docsum",
        "faqgen",
        "graphrag",
        "multimodalqna",
        "retrievaltool",
        "searchqna",
        "translation",
        "videoqna",
        "visualqna",
    }
)

#: Microservices that check one text, each at the path of its name.
GUARDS = ("guardrails", "toxicity", "bias", "injection")

#: The field that takes the text of a mega-service that translates.
_TRANSLATED = {"codetrans": "source_code", "translation": "source_language"}
_LANGUAGES = ("language_from", "language_to")

#: What a gateway does not know.
_NOT_TAKEN = ("n", "stream_options", "tools", "tool_choice")

#: Gateways stream unless told not to, and an action's answer is read as a whole.
_WHOLE = {"stream": False}

ACTIONS: Mapping[str, Action] = {
    **{name: Action("POST", f"/{name}", fixed=_WHOLE) for name in sorted(MEGASERVICES)},
    **{
        name: Action("POST", f"/{name}")
        for name in (
            "retrieval",
            "pii",
            "factuality",
            "hallucination_detection",
            "text2image",
            "image2image",
            "image2video",
            "lvm",
            "animation",
        )
    },
    **{f"dataprep_{name}": Action("POST", f"/dataprep/{name}") for name in ("get", "delete", "indices")},
    **{name: Action("GET", f"/{name}") for name in ("statistics", "list_service", "list_parameters")},
    "health": Action("GET", "/health_check", silent=True),
}


def gateway_body(name: str, request: ChatRequest, body: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    """The body of a chat as the gateway of that mega-service takes it.

    Raises:
        ConfigError: More than one answer is wanted, or a mega-service that translates is given no languages
            or more than one text.
    """
    if (request.n or 1) > 1:
        raise ConfigError(f"{name} gives one answer a call; leave n out")
    if request.tools:
        drop(request, notes, f"opea's {name}", "tools")
    body = {key: value for key, value in body.items() if key not in _NOT_TAKEN}
    if body["model"] in ("", name):  # the gateway would hand it on to the model's server
        del body["model"]
    turns = body["messages"]
    if name in _TRANSLATED:
        _translation(name, request, body)
    elif _is_one_text(turns):  # the form that every gateway documents
        body["messages"] = turns[0]["content"]
    if name == "docsum":
        body["type"] = "text"
    if request.temperature == 0:
        note(request, notes, f"the gateway of {name} reads a temperature of 0 as 0.01")
    return body


def _is_one_text(turns: list[dict[str, Any]]) -> bool:
    return len(turns) == 1 and turns[0]["role"] == "user" and isinstance(turns[0]["content"], str)


def _translation(name: str, request: ChatRequest, body: dict[str, Any]) -> None:
    given = request.extra.body if request.extra is not None else {}
    if missing := [language for language in _LANGUAGES if language not in given]:
        raise ConfigError(
            f"{name} needs {' and '.join(missing)}: pass extra=Extra(body={{'language_from': ..., "
            "'language_to': ...})"
        )
    turns = body.pop("messages")
    if not _is_one_text(turns):
        raise ConfigError(f"{name} takes one text to translate, as one message of role 'user'")
    body[_TRANSLATED[name]] = turns[0]["content"]


def guard_body(request: ModerateRequest) -> tuple[str, dict[str, Any]]:
    """The path and body of a check: the model names the microservice, ``guardrails`` if it names none.

    Raises:
        ConfigError: Not exactly one text.
    """
    if len(request.inputs) != 1:
        raise ConfigError(f"opea checks one text a call, got {len(request.inputs)}")
    guard = request.model if request.model in GUARDS else GUARDS[0]
    return f"/{guard}", {"text": request.inputs[0]}


def verdict(text: str, data: Any) -> Moderation:
    """What a check found. A text that passed comes back; one that did not is replaced by the reason.

    Raises:
        TypeError: The answer has no text. Also AttributeError.
    """
    found, blocked = (data, None) if type(data) is str else (data["text"], data.get("downstream_black_list"))
    if type(found) is not str or not isinstance(blocked, list | None):
        raise TypeError("no text, or a black list that is none")
    reason = found.strip()
    said = reason.startswith("Violated policies:") and found != text
    if not (blocked or said):
        return Moderation(flagged=False)
    policies = reason.removeprefix("Violated policies:") if said else ""
    names = [policy.strip() for policy in policies.split(", please check")[0].split(",")]
    return Moderation(flagged=True, categories={name: True for name in names if name})
