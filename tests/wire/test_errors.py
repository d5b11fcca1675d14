"""From a reply to the exception that it means."""

from __future__ import annotations

import pickle

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncapi.errors import (
    AsyncAPIError,
    AuthenticationError,
    ContentRefusedError,
    ContextLengthError,
    DecodeError,
    InvalidRequestError,
    NotFoundError,
    OverloadedError,
    PermissionDeniedError,
    ProviderError,
    QuotaExhaustedError,
    RateLimitError,
    ServerError,
)
from asyncapi.types.wire import WireResponse
from asyncapi.wire.envelopes import read_envelope
from asyncapi.wire.errors import Row, Table, error_for, is_error


def error(
    status: int, body: object = b"", headers: dict[str, str] | None = None, table: Table | None = None
) -> AsyncAPIError:
    """The exception for a reply."""
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    reply = WireResponse(status=status, headers=headers or {}, body=data)
    return error_for(reply, service="acme", table=table or Table())


def openai(message: str = "m", **fields: object) -> dict[str, object]:
    """OpenAI's envelope."""
    return {"error": {"message": message, **fields}}


@pytest.mark.parametrize(
    ("body", "message", "signals"),
    [
        ({"error": {"message": "m", "type": "t", "code": "c"}}, "m", ("c", "t")),
        ({"type": "error", "error": {"type": "t", "message": "m"}}, "m", ("t",)),
        (
            {"error": {"type": "t", "message": "m", "details": {"error_code": "x"}}},
            "m",
            ("x", "t"),
        ),
        (
            [{"error": {"code": 429, "message": "m", "status": "S", "details": [{"reason": "R"}]}}],
            "m",
            ("R", "S"),
        ),
        ({"error": "m", "error_type": "Overloaded"}, "m", ("Overloaded",)),
        ({"error": "m"}, "m", ()),
        ({"error": "m", "code": "c"}, "m", ("c",)),
        ({"message": "m", "code": 422, "type": "Validation"}, "m", ("Validation",)),
        ({"object": "error", "message": "m", "type": "T", "code": 404}, "m", ("T",)),
        ({"detail": "m"}, "m", ()),
        ({"detail": {"message": "m"}}, "m", ()),
        ({"detail": [{"loc": ["body", 0], "msg": "bad"}, 5, "m"]}, "body.0: bad; m", ()),
        ({"x_groq": {"id": "req_1", "error": "m"}}, "m", ()),
        ("m", "m", ()),
        ([], "", ()),
        (b"plain text", "plain text", ()),
        (b"<Error><Code>SlowDown</Code><Message>m</Message></Error>", "m", ("SlowDown",)),
        (b"<html><title>Bad</title>", "an HTML page (Bad) where JSON was expected", ()),
        (b"<p>", "an HTML page where JSON was expected", ()),
        (b" \n", "", ()),
    ],
)
def test_every_envelope_is_read(body: object, message: str, signals: tuple[str, ...]) -> None:
    """One reader for all the forms in which services wrap an error."""
    envelope = read_envelope(body if isinstance(body, bytes) else orjson.dumps(body))

    assert (envelope.message, envelope.signals) == (message, signals)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, b"", InvalidRequestError),
        (401, {"error": "Unauthorized"}, AuthenticationError),
        (401, openai(type="invalid_request_error", code="invalid_api_key"), AuthenticationError),
        (402, b"", QuotaExhaustedError),
        (403, b"", PermissionDeniedError),
        (404, openai(code="model_not_found"), NotFoundError),
        (408, b"", ServerError),
        (409, b"", InvalidRequestError),
        (413, b"too big", ContextLengthError),
        (422, {"detail": []}, InvalidRequestError),
        (424, {"error": "m", "error_type": "Backend"}, ServerError),
        (425, b"", RateLimitError),
        (429, openai(type="tokens", code="rate_limit_exceeded"), RateLimitError),
        (429, {"error": "Model is overloaded", "error_type": "Overloaded"}, OverloadedError),
        (429, openai(type="insufficient_quota", code="credit_balance_exhausted"), QuotaExhaustedError),
        (466, {"detail": "blocked"}, ContentRefusedError),
        (498, b"", OverloadedError),
        (499, b"", ServerError),
        (500, b"Internal Server Error", ServerError),
        (501, b"", NotFoundError),
        (502, b"<html>", ServerError),
        (503, openai(code="server_is_overloaded"), OverloadedError),
        (503, openai(code="slow_down"), RateLimitError),
        (529, b"", OverloadedError),
        (599, b"", ServerError),
        (400, openai(code="context_length_exceeded"), ContextLengthError),
        (400, openai("This model's maximum context length is 8192 tokens"), ContextLengthError),
        (400, openai(code="content_policy_violation"), ContentRefusedError),
        (400, {"error": {"details": [{"reason": "API_KEY_INVALID"}]}}, AuthenticationError),
        (429, {"error": {"type": "t", "details": {"error_code": "contract_spend_limit_reached"}}},
         QuotaExhaustedError),
        (200, openai(type="overloaded_error"), OverloadedError),
        (200, openai(type="server_error"), ServerError),
        (200, openai(type="rate_limit_error"), RateLimitError),
        (200, openai(type="BadRequestError", code=400), InvalidRequestError),
        (200, openai(http_status_code=422), InvalidRequestError),
        (200, openai(type="invalid_request_error"), InvalidRequestError),
        (200, b"", ServerError),
    ],
)  # fmt: skip
def test_a_reply_means_its_exception(status: int, body: object, expected: type[AsyncAPIError]) -> None:
    """Money codes first, then codes and types, then the status."""
    found = error(status, body)

    assert type(found) is expected
    assert isinstance(found, ProviderError)
    assert found.status == status


def test_money_is_never_retried_whatever_the_headers_say() -> None:
    """The official SDKs retry this pointlessly."""
    found = error(429, openai(code="insufficient_quota"), {"x-should-retry": "true", "retry-after": "1"})

    assert isinstance(found, QuotaExhaustedError)
    assert not found.retryable


@pytest.mark.parametrize(("said", "retryable"), [("true", True), ("false", False), ("maybe", True)])
def test_x_should_retry_overrides_the_table(said: str, retryable: bool) -> None:
    """The service knows best; a word that it does not know changes nothing."""
    assert error(500, b"", {"X-Should-Retry": said}).retryable is retryable


def test_a_services_own_table_wins() -> None:
    """Signals, texts and statuses of the service come before the generic ones."""
    table = Table(
        signals={"overloaded": Row(ServerError, retryable=False)},
        texts=(("spend limit", Row(QuotaExhaustedError)),),
        statuses={429: Row(OverloadedError)},
        types={"odd": Row(NotFoundError)},
    )

    assert type(error(429, b"", table=table)) is OverloadedError
    assert type(error(400, openai("your Spend Limit is reached"), table=table)) is QuotaExhaustedError
    assert type(error(200, openai(type="odd"), table=table)) is NotFoundError
    found = error(429, {"error": "m", "error_type": "Overloaded"}, table=table)
    assert type(found) is ServerError
    assert not found.retryable


@pytest.mark.parametrize(
    ("body", "scope"),
    [
        (openai(type="tokens", code="rate_limit_exceeded"), "tokens"),
        (openai(type="requests"), "requests"),
        (openai(code="slow_down"), "ramp"),
        ({"error": {"details": [{"violations": [{"quotaId": "RequestsPerDayPerProject"}]}]}}, "day"),
        (openai(), ""),
    ],
)
def test_a_rate_limit_says_its_scope(body: object, scope: str) -> None:
    """What was used up decides how long to stay away."""
    found = error(429, body)

    assert isinstance(found, RateLimitError)
    assert found.scope == scope


def test_a_used_up_limit_delays_only_after_a_rate_limit() -> None:
    """A failure has its own backoff; the time until a bucket is full has nothing to do with it."""
    headers = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}

    assert error(429, b"", headers).retry_after == 360
    assert error(500, b"", headers).retry_after is None
    assert error(429, b"", headers, Table(statuses={429: Row(OverloadedError)})).retry_after == 360


def test_the_error_carries_what_support_asks_for() -> None:
    """Status, code, the service's request id, the delay, the body; all of it survives pickling."""
    found = error(
        429,
        openai("Slow down. Try again in 7.66s", type="tokens", code="rate_limit_exceeded"),
        {"X-Request-ID": "req_9"},
    )
    again = pickle.loads(pickle.dumps(found))

    for one in (found, again):
        assert isinstance(one, RateLimitError)
        assert (one.status, one.code, one.provider_request_id) == (429, "rate_limit_exceeded", "req_9")
        assert one.retry_after == 7.66
        assert one.scope == "tokens"
        assert b"Slow down" in one.body
    assert str(found).startswith("acme answered 429: Slow down.")


def test_the_request_id_may_be_in_the_body() -> None:
    """Anthropic repeats it there, S3 has it in the XML."""
    one = error(500, {"type": "error", "error": {"type": "api_error"}, "request_id": "req_1"})
    two = error(503, b"<Error><Code>SlowDown</Code><RequestId>req_2</RequestId></Error>")

    assert isinstance(one, ProviderError)
    assert isinstance(two, ProviderError)
    assert (one.provider_request_id, two.provider_request_id) == ("req_1", "req_2")


def test_a_key_in_the_message_is_masked_and_the_message_cut() -> None:
    """Services quote keys, and sometimes the whole prompt."""
    found = error(401, openai("Incorrect API key provided: sk-abcdefgh12345678. " + "x" * 2000))

    assert "sk-***" in found.message
    assert "abcdefgh" not in found.message
    assert len(found.message) < 540


@pytest.mark.parametrize(("status", "text"), [(502, "acme answered 502: Bad Gateway"), (599, "no message")])
def test_an_empty_reply_still_has_a_message(status: int, text: str) -> None:
    """Gateways send nothing but a status."""
    assert text in error(status).message


def test_a_redirect_is_not_followed_and_not_retried() -> None:
    """It means a wrong base URL; its query may hold a secret."""
    found = error(308, b"", {"Location": "https://new.example/v1?key=secret"})

    assert isinstance(found, DecodeError)
    assert not found.retryable
    assert "https://new.example/v1" in found.message
    assert "secret" not in found.message
    assert "nowhere" in error(302).message


@given(st.integers(200, 599), st.binary(max_size=60), st.text(max_size=20))
def test_any_reply_gives_an_exception(status: int, body: bytes, header: str) -> None:
    """Never another one than ours."""
    assert isinstance(error(status, body, {"retry-after": header, "location": header}), AsyncAPIError)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "error",
                    "message",
                    "code",
                    "type",
                    "detail",
                    "details",
                    "violations",
                    "x_groq",
                    "loc",
                    "status",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.sampled_from([200, 400, 429, 500]), json_values)
def test_any_json_gives_an_exception(status: int, body: object) -> None:
    """Whatever the types of the fields."""
    assert isinstance(error(status, body), AsyncAPIError)


def test_an_error_inside_a_200_is_recognised() -> None:
    """An ``error`` that is null, as some servers always send it, is none."""
    assert is_error({"error": {"message": "m"}})
    assert is_error({"object": "error"})
    assert not is_error({"error": None})
    assert not is_error([])
