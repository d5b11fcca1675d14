"""Where a URL leads, worked out once for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from yarl import URL

from asyncapi.errors import ConfigError
from asyncapi.transports._environment import proxy_for

__all__ = ["Target"]


class Target(NamedTuple):
    """What is worked out once for each URL. ``where`` (host and port) is all that messages may name."""

    url: URL
    proxy: URL | None
    where: str
    secretive: bool

    @classmethod
    def of(cls, text: str, proxies: Mapping[str, str]) -> Target:
        """The target of a URL.

        Raises:
            ConfigError: It is none, or its proxy is none.
        """
        try:
            url = URL(text, encoded=True)
            host, port = url.host_subcomponent, url.port
        except ValueError:  # its message has the URL, which may hold a key
            raise ConfigError("the URL can't be parsed; check base_url") from None
        if url.scheme not in ("http", "https") or not host:
            raise ConfigError(
                f"expected a URL like https://host/path, got scheme {url.scheme!r}, host {host!r}"
            )
        where = f"{host}:{port}"
        secretive = bool(url.raw_query_string or url.raw_user or url.raw_password)
        return cls(url, proxy_for(url.scheme, where, proxies), where, secretive)

    def cause(self, error: BaseException) -> BaseException | None:
        """The error to show as the cause: none where aiohttp's message would show a secret of the URL."""
        return None if self.secretive else error
