"""What is Groq's own."""

from __future__ import annotations

import pytest

from asyncapi.errors import (
    AsyncAPIError,
    ContextLengthError,
    InvalidRequestError,
    OverloadedError,
    RateLimitError,
)

from .openai_golden import chat, dialect, reply


@pytest.mark.parametrize(
    "url",
    [
        "https://api.groq.com",
        "https://api.groq.com/",
        "https://api.groq.com/openai/v1",
        "https://api.groq.com/openai/v1/",
    ],
)
def test_both_spellings_of_the_base_url_mean_the_same(url: str) -> None:
    """Its SDK leaves the prefix to the paths, users of the OpenAI SDK write it into the URL."""
    groq = dialect("groq")
    normalise = groq.service.normalise_url

    assert normalise is not None
    assert normalise(url) + groq.encode(chat()).path == "https://api.groq.com/openai/v1/chat/completions"


@pytest.mark.parametrize(
    ("status", "error", "expected", "retryable"),
    [
        (400, {"message": "m", "code": "tool_use_failed"}, InvalidRequestError, False),
        (409, {"message": "m"}, InvalidRequestError, True),
        (413, {"message": "Request too large ... on tokens per minute", "type": "tokens",
               "code": "rate_limit_exceeded"}, ContextLengthError, False),
        (424, {"message": "m"}, InvalidRequestError, False),
        (498, {"message": "m", "code": "capacity_exceeded"}, OverloadedError, True),
    ],
)  # fmt: skip
def test_its_errors_are_told_apart(
    status: int, error: dict[str, str], expected: type[AsyncAPIError], retryable: bool
) -> None:
    """By code where there is one, else by status."""
    found = dialect("groq").error(reply({"error": error}, status))

    assert type(found) is expected
    assert found.retryable is retryable


def test_the_delay_is_in_the_message_where_no_header_says_it() -> None:
    """Retry-After comes only with some of its replies."""
    error = {
        "message": "Rate limit reached. Please try again in 7.66s.",
        "type": "tokens",
        "code": "rate_limit_exceeded",
    }
    found = dialect("groq").error(reply({"error": error}, 429))

    assert isinstance(found, RateLimitError)
    assert (found.retry_after, found.scope) == (7.66, "tokens")
