"""Foreign exceptions to this package's: the only place where that happens for HTTP."""

from __future__ import annotations

import aiohttp
from aiohttp.http_exceptions import ContentEncodingError, HttpProcessingError

from asyncapi.errors import (
    AsyncAPIError,
    ConfigError,
    ConnectError,
    ConnectionLostError,
    DecodeError,
    ReadTimeoutError,
)

__all__ = ["FOREIGN", "translated"]

FOREIGN = (aiohttp.ClientError, HttpProcessingError, OSError, ValueError)


def translated(error: Exception, where: str, *, sent: bool | None) -> AsyncAPIError:
    """The exception of this package for one of aiohttp's, the resolver's or the socket's."""
    match error:
        case aiohttp.ClientConnectorError():
            return _connect_error(error)
        case aiohttp.ClientHttpProxyError():
            return ConnectError(
                f"the proxy refused a tunnel to {where} (status {error.status}); check HTTPS_PROXY, NO_PROXY",
                retryable=error.status >= 500,
            )
        case aiohttp.ConnectionTimeoutError():
            return ConnectError(f"{where}: no connection within the connect timeout; check host and network")
        case aiohttp.ServerTimeoutError():
            return ReadTimeoutError(f"{where}: silent for longer than allowed")
        case aiohttp.InvalidURL() | ValueError():
            return ConfigError(f"{where}: the URL or a header can't be sent; look for control characters")
        case aiohttp.ClientPayloadError() if isinstance(error.__cause__, ContentEncodingError):
            return DecodeError(f"{where}: the body is not what its Content-Encoding says")
        case aiohttp.ClientPayloadError():
            return ConnectionLostError(f"{where}: the answer ended before it was whole", sent=True)
        case aiohttp.ClientResponseError() | HttpProcessingError():
            return DecodeError(f"{where}: the answer is not valid HTTP/1.1; check scheme and port")
        case _:
            return ConnectionLostError(f"{where}: the connection was closed before an answer", sent=sent)


def _connect_error(error: aiohttp.ClientConnectorError) -> ConnectError:
    where = f"{error.host}:{error.port}"
    cause = getattr(error, "os_error", None)  # aiohttp 3.13.0 gives a refused certificate none
    reason = getattr(cause, "strerror", None) or type(cause).__name__
    match error:
        case aiohttp.ClientConnectorCertificateError():
            problem = getattr(error.certificate_error, "verify_message", "") or "not valid for this host"
            return ConnectError(
                f"{where}: TLS certificate refused ({problem}); to trust a CA set ca_file or SSL_CERT_FILE",
                retryable=False,
            )
        case aiohttp.ClientConnectorSSLError():
            return ConnectError(f"{where}: TLS handshake failed ({reason}); is it an https port?")
        case aiohttp.ClientConnectorDNSError():
            return ConnectError(
                f"{where}: the host name can't be resolved ({reason}); check base_url and DNS"
            )
        case aiohttp.ClientProxyConnectionError():
            return ConnectError(
                f"no connection to the proxy {where} ({reason}); check HTTP_PROXY, HTTPS_PROXY"
            )
        case _:
            return ConnectError(f"no connection to {where} ({reason}); is the service running there?")
