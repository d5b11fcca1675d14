"""The forms in which services wrap an error, read into one.

In this order: ``{"error": {...}}``, ``{"type": "error", "error": {...}}``, ``[{"error": {...}}]``,
``{"error": "text", "error_type": ...}``, ``{"message", "code", "type"}``, ``{"object": "error", ...}``,
``{"detail": text or list}``, XML, HTML, plain text, nothing.
"""

from __future__ import annotations

from typing import Any

import msgspec
import orjson

__all__ = ["Envelope", "read_envelope"]


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """What an error reply says.

    ``signals`` are its codes and types, the most exact first; ``status`` is an HTTP status that the
    body repeats, which counts where the real one was sent before the failure; ``body`` is its JSON.
    """

    message: str = ""
    signals: tuple[str, ...] = ()
    status: int = 0
    request_id: str = ""
    body: Any = None


def read_envelope(body: bytes) -> Envelope:
    """The error that a body holds, in whatever form. Never raises."""
    if not body.strip():
        return Envelope()
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError:
        return _text(body[:65536].decode("utf-8", "replace"))
    outer = data[0] if isinstance(data, list) and data else data
    if not isinstance(outer, dict):
        return Envelope(message=outer if isinstance(outer, str) else "", body=data)
    inner = outer.get("error")
    if isinstance(inner, dict):
        return _object(inner, outer, data)
    if isinstance(inner, str):
        return _object({"message": inner, "type": outer.get("error_type"), **_codes(outer)}, outer, data)
    if outer.get("detail") is not None:
        return Envelope(message=_detail(outer["detail"]), body=data)
    groq = outer.get("x_groq")
    if isinstance(groq, dict) and isinstance(groq.get("error"), str):
        return Envelope(message=groq["error"], request_id=_string(groq.get("id")), body=data)
    return _object(outer, outer, data)


def _codes(outer: dict[str, Any]) -> dict[str, Any]:
    return {"code": outer["code"]} if "code" in outer else {}


def _object(inner: dict[str, Any], outer: dict[str, Any], data: Any) -> Envelope:
    message = inner.get("message")
    signals = [*_details(inner.get("details"))]
    status = 0
    for name in ("code", "type", "error_type", "status", "http_status_code"):
        value = inner.get(name)
        if type(value) is int and 400 <= value < 600:
            status = value
        elif isinstance(value, str) and value and not (name == "type" and value == "error"):
            signals.append(value)
    return Envelope(
        message=message if isinstance(message, str) else "",
        signals=tuple(signals),
        status=status,
        request_id=_string(outer.get("request_id")),
        body=data,
    )


def _details(details: Any) -> list[str]:
    """The codes in Anthropic's ``details`` object or Google's list of them."""
    if isinstance(details, dict):
        return [code] if isinstance(code := details.get("error_code"), str) else []
    found = []
    for detail in details if isinstance(details, list) else ():
        if not isinstance(detail, dict):
            continue
        violations = detail.get("violations")
        for item in (detail, *(violations if isinstance(violations, list) else ())):
            if isinstance(item, dict):
                found += [v for v in (item.get("reason"), item.get("quotaId")) if isinstance(v, str)]
    return found


def _detail(detail: Any) -> str:
    """The text of FastAPI's ``detail``: a string, an object, or a list of schema errors."""
    if isinstance(detail, str):
        return detail
    if isinstance(detail, list):
        return "; ".join(filter(None, map(_detail, detail[:5])))
    if not isinstance(detail, dict):
        return ""
    place = detail.get("loc")
    where = ".".join(str(part) for part in place) if isinstance(place, list) else ""
    text = _string(detail.get("msg")) or _string(detail.get("message"))
    return f"{where}: {text}" if where and text else where or text


def _text(text: str) -> Envelope:
    stripped = text.strip()
    if not stripped.startswith("<"):
        return Envelope(message=stripped)
    code = _between(stripped, "<Code>", "</Code>")
    if code:
        return Envelope(
            message=_between(stripped, "<Message>", "</Message>") or code,
            signals=(code,),
            request_id=_between(stripped, "<RequestId>", "</RequestId>"),
        )
    title = _between(stripped, "<title>", "</title>") or _between(stripped, "<h1>", "</h1>")
    return Envelope(message=f"an HTML page{f' ({title})' if title else ''} where JSON was expected")


def _between(text: str, start: str, end: str) -> str:
    lower = text.lower()
    begin = lower.find(start.lower())
    if begin < 0:
        return ""
    begin += len(start)
    stop = lower.find(end.lower(), begin)
    return text[begin:stop].strip() if stop >= 0 else ""


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""
