"""What the environment says about proxies and certificates, read once for each transport."""

from __future__ import annotations

import os
import ssl
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from yarl import URL

from asyncapi.errors import ConfigError

__all__ = ["environment_proxies", "proxy_for", "ssl_context"]


def environment_proxies() -> dict[str, str]:
    return {
        scheme: url
        for scheme, url in urllib.request.getproxies().items()
        if scheme in ("http", "https", "no")
    }


def proxy_for(scheme: str, where: str, proxies: Mapping[str, str]) -> URL | None:
    proxy = proxies.get(scheme)
    if not proxy or urllib.request.proxy_bypass(where):
        return None
    try:
        url = URL(proxy if "://" in proxy else f"http://{proxy}")
    except ValueError:  # its message has the URL, which may hold a password
        raise ConfigError(f"{scheme.upper()}_PROXY: not a URL") from None
    if url.scheme not in ("http", "https"):
        raise ConfigError(f"{scheme.upper()}_PROXY: expected an http or https proxy, got {url.scheme!r}")
    return url


def ssl_context(ca_file: str | os.PathLike[str] | None) -> ssl.SSLContext | bool:
    named = os.environ.get("SSL_CERT_FILE")
    if ca_file is None and not named:
        return True  # aiohttp's own context, made when it is imported
    for name, path in (("ca_file", ca_file), ("SSL_CERT_FILE", named)):
        if path and not Path(path).is_file():
            raise ConfigError(f"{name}: no file at {os.fspath(path)!r}")
    context = ssl.create_default_context()
    try:
        if ca_file is not None:
            context.load_verify_locations(cafile=ca_file)
        if named:
            context.load_verify_locations(cafile=named)
    except (ssl.SSLError, OSError) as error:
        raise ConfigError(
            f"ca_file or SSL_CERT_FILE holds no PEM certificate that can be read: {error}"
        ) from error
    context.set_alpn_protocols(["http/1.1"])
    return context
