"""Base URLs: what is accepted, and nothing in them that messages could leak."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from asyncapi.config.fields import Misfit

__all__ = ["base_url"]


def base_url(text: str) -> str:
    """A base URL without a slash at its end.

    Raises:
        Misfit: No http(s) URL, or one with credentials, a query or a fragment. Never repeats the URL.
    """
    parts = _split(text)
    if "@" in parts.netloc:
        raise Misfit(
            "holds credentials (user:password@), and secrets must not be in URLs, which are logged; "
            "take them out and use keys or headers"
        )
    if parts.scheme not in ("http", "https"):
        raise Misfit("must start with http:// or https://, as in http://localhost:8000")
    if "?" in text or "#" in text:
        raise Misfit("must have no query (?) or fragment (#): paths are appended to it; use keys or headers")
    if not parts.hostname:
        raise Misfit("names no host, expected something like https://host:8000/v1")
    return text.rstrip("/")


def _split(text: str) -> SplitResult:
    if not text.isprintable() or any(character.isspace() for character in text):
        raise Misfit("has a space, a line break or a control character in it")
    try:
        parts = urlsplit(text)
        _ = parts.port  # parsed on access
    except ValueError:
        raise Misfit("is no URL: the host or the port can't be read") from None
    if "://" not in text and "@" in text:  # credentials without a scheme
        return parts._replace(netloc=text)
    return parts
