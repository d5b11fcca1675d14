"""What moves bytes: the only places where client sockets are opened."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncapi.transports.http import HTTPTransport

__all__ = ["http_transport"]


def http_transport(
    *,
    limit: int = 0,
    max_body_bytes: int = 64 * 1024 * 1024,
    ca_file: str | os.PathLike[str] | None = None,
) -> HTTPTransport:
    """The fastest HTTP transport that was tested with the installed aiohttp.

    Args:
        limit: How many connections may be open at a time; 0 is no limit.
        max_body_bytes: The largest answer that is taken whole.
        ca_file: Certificates (PEM) to trust besides the system's.

    Raises:
        ConfigError: ``ca_file`` or SSL_CERT_FILE can't be read.
    """
    from asyncapi.transports import direct, http  # aiohttp takes 250 ms to import

    kind = direct.DirectTransport if direct.tested() else http.HTTPTransport
    return kind(limit=limit, max_body_bytes=max_body_bytes, ca_file=ca_file)
