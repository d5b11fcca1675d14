"""Secrets and long texts in what services say."""

from __future__ import annotations

import pytest

from asyncapi.wire.masking import excerpt, mask


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Incorrect API key provided: sk-proj-abcDEF_123456.", "Incorrect API key provided: sk-***."),
        ("key sk-abc***********1234 is wrong", "key sk-*** is wrong"),
        ("gsk_abcdefgh12345678 expired", "gsk_*** expired"),
        ("key=AIzaSyA-1234567890abcdef", "key=AIza***"),
        ("sent Authorization: Bearer abc.def-ghi_jkl", "sent Authorization: Bearer ***"),
        ("a risk-adjusted task-force asked", "a risk-adjusted task-force asked"),
    ],
)
def test_what_looks_like_a_key_is_masked(text: str, masked: str) -> None:
    """Some services quote the key back in their messages."""
    assert mask(text) == masked


def test_a_long_text_is_cut_and_on_one_line() -> None:
    """Messages stay readable; a key across the cut is masked all the same."""
    text = excerpt("a\n b " * 300)

    assert len(text) == 500
    assert text.startswith("a b a b")
    assert "sk-" not in excerpt("x" * 10 + " sk-" + "k" * 60, limit=12)
    assert excerpt(b"caf\xc3\xa9 \xff") == "café \ufffd"
