"""Await AI services: one event loop, one interface, many services.

::

    client      Client, the one object to begin with
    config      frozen settings: Endpoint, Key, KeyPool, Retry, Breaker, Batch, Timeout, profiles
    types       requests, responses, messages, usage, events
    errors      every exception
    abc         protocols for backends, transports and hooks of your own
    backends    one translator per service
    testing     ScriptedTransport, virtual_time, forbid_network
    emulator    pretend services for demos and tests

Inside: ``policies`` decide, ``_core`` schedules, ``wire`` parses, ``transports`` move bytes,
``telemetry`` counts. Not related to the AsyncAPI specification, nor to the PyPI package ``asyncapi``.
"""

from asyncapi._core.mapping import Done
from asyncapi._core.streaming import Stream
from asyncapi._version import __version__
from asyncapi.client import Client
from asyncapi.config import Batch, Breaker, Endpoint, Fixed, Key, KeyPool, Profile, Retry, Timeout, profile
from asyncapi.errors import (
    AsyncAPIError,
    AuthenticationError,
    BudgetExceededError,
    CircuitOpenError,
    ClientClosedError,
    ConfigError,
    ConnectError,
    ConnectionLostError,
    ContentRefusedError,
    ContextLengthError,
    DeadlineExceededError,
    DecodeError,
    InvalidRequestError,
    MissingKeyError,
    NoKeyAvailableError,
    NotFoundError,
    NotSentError,
    OverloadedError,
    PermissionDeniedError,
    ProviderError,
    QueueFullError,
    QuotaExhaustedError,
    RateLimitError,
    ReadTimeoutError,
    ServerError,
    StreamInterruptedError,
    TransportError,
    UnknownModelError,
    UnsupportedOperationError,
)
from asyncapi.telemetry.stats import Statistics
from asyncapi.types.messages import Audio, File, Image, Message, Text, Tool, ToolCall, ToolResult
from asyncapi.types.requests import (
    ChatRequest,
    EmbedRequest,
    Extra,
    ModelsRequest,
    Priority,
    Request,
    RerankRequest,
)
from asyncapi.types.responses import (
    ChatResponse,
    Chunk,
    EmbedResponse,
    ModelsResponse,
    RerankResponse,
    Response,
)
from asyncapi.types.usage import Usage

__all__ = [
    "AsyncAPIError",
    "Audio",
    "AuthenticationError",
    "Batch",
    "Breaker",
    "BudgetExceededError",
    "ChatRequest",
    "ChatResponse",
    "Chunk",
    "CircuitOpenError",
    "Client",
    "ClientClosedError",
    "ConfigError",
    "ConnectError",
    "ConnectionLostError",
    "ContentRefusedError",
    "ContextLengthError",
    "DeadlineExceededError",
    "DecodeError",
    "Done",
    "EmbedRequest",
    "EmbedResponse",
    "Endpoint",
    "Extra",
    "File",
    "Fixed",
    "Image",
    "InvalidRequestError",
    "Key",
    "KeyPool",
    "Message",
    "MissingKeyError",
    "ModelsRequest",
    "ModelsResponse",
    "NoKeyAvailableError",
    "NotFoundError",
    "NotSentError",
    "OverloadedError",
    "PermissionDeniedError",
    "Priority",
    "Profile",
    "ProviderError",
    "QueueFullError",
    "QuotaExhaustedError",
    "RateLimitError",
    "ReadTimeoutError",
    "Request",
    "RerankRequest",
    "RerankResponse",
    "Response",
    "Retry",
    "ServerError",
    "Statistics",
    "Stream",
    "StreamInterruptedError",
    "Text",
    "Timeout",
    "Tool",
    "ToolCall",
    "ToolResult",
    "TransportError",
    "UnknownModelError",
    "UnsupportedOperationError",
    "Usage",
    "__version__",
    "profile",
]
