"""Texts from outside, made fit for messages and logs: secrets masked, length cut."""

from __future__ import annotations

import re

__all__ = ["excerpt", "mask"]

_SECRET = re.compile(
    r"(?<![A-Za-z0-9])(?:(sk-|gsk_|hf_|xai-|AIza|AKIA)[\w*-]{6,}(?:\.[\w*-]{6,})*|([Bb]earer\s+)[\w.~+/*=-]{6,})"
)


def mask(text: str) -> str:
    """The text with everything that looks like an API key replaced by its prefix and ``***``."""
    return _SECRET.sub(lambda found: f"{found[1] or found[2]}***", text)


def excerpt(text: str | bytes, limit: int = 500) -> str:
    """The start of the text on one line, secrets masked, at most about ``limit`` characters."""
    if isinstance(text, bytes):
        text = text[: limit * 4].decode("utf-8", "replace")
    # Masked before the cut: a key that the cut splits would not be recognised.
    line = mask(" ".join(text[: limit * 4].split()))
    return line if len(line) <= limit else f"{line[: limit - 1]}…"
