"""What a secret may look like, so that a bad one is refused early and a good one is never shown."""

from __future__ import annotations

import re

__all__ = ["flaw", "is_variable", "looks_secret"]

_PREFIXES = ("sk-", "sk_", "gsk_", "hf_", "AIza", "Bearer ", "bearer ")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLAIN_WORDS = re.compile(r"[A-Za-z _-]{1,24}")


def flaw(secret: str) -> str:
    """What is wrong with an API key, in words that don't repeat it; empty when nothing is."""
    if not secret.strip():
        return "is empty"
    if any(character.isspace() for character in secret):
        return "has a space or a line break in it"
    if not (secret.isascii() and secret.isprintable()):
        return "has a character that can't be sent in a header"
    return ""


def looks_secret(text: str) -> bool:
    """Whether a text might be a key that was put in the wrong place: then no message repeats it.

    Settings are short or plain words. Whatever is neither is treated as a secret.
    """
    if text.startswith(_PREFIXES):
        return True
    return len(text) > 12 and _PLAIN_WORDS.fullmatch(text) is None


def is_variable(name: str) -> bool:
    """Whether a text names an environment variable, and is not a key given in its place."""
    if _VARIABLE.fullmatch(name) is None:
        return False
    digits = sum(c.isdigit() for c in name)
    lower = any(c.islower() for c in name)
    upper = any(c.isupper() for c in name)
    random = lower and digits > 0 and (upper or digits > 3 or name.startswith(_PREFIXES))
    return len(name) < 20 or not random
