"""No socket leaves the machine: `forbid_network()`.

What is caught: connecting or sending from any INET socket of this process, looking up a name, and uvloop,
whose sockets are libuv's and not Python's. What is not: subprocesses, C libraries that open sockets of their
own (c-ares, libcurl), Windows' proactor loop given a numeric address, and a proxy on the loopback interface
that passes traffic on.
"""

from __future__ import annotations

import functools
import ipaddress
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

__all__ = ["NetworkForbiddenError", "NetworkGuard", "forbid_network"]


class NetworkForbiddenError(Exception):
    """Something tried to reach the network while `forbid_network` was active. Nothing was sent.

    Not an OSError, so that neither aiohttp nor a retry takes it for a connection that failed.

    Attributes:
        address: What was to be reached, as ``host`` or ``host:port``.
    """

    def __init__(self, address: str, *, allow_loopback: bool) -> None:
        reach = "addresses other than loopback" if allow_loopback else "all addresses"
        super().__init__(
            f"forbid_network: {address} was to be reached, {reach} are forbidden, nothing was sent; give the "
            "code under test a ScriptedTransport or a server on 127.0.0.1, or mark it allow_network"
        )
        self.address = address


class NetworkGuard:
    """A context manager that forbids the network while it is active; nests, and may be entered again.

    Where several are active, in any thread, the strictest decides.

    Attributes:
        allow_loopback: Whether 127.0.0.0/8, ::1 and localhost stay reachable.
        attempts: The addresses that were refused, also where the code under test swallowed the error.
    """

    def __init__(self, *, allow_loopback: bool = True) -> None:
        self.allow_loopback = allow_loopback
        self.attempts: list[str] = []

    def __enter__(self) -> NetworkGuard:
        with _LOCK:
            if not _ACTIVE:
                _install()
            _ACTIVE.append(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with _LOCK:
            _ACTIVE.remove(self)
            if not _ACTIVE:
                _restore()


def forbid_network(*, allow_loopback: bool = True) -> NetworkGuard:
    """A context manager under which reaching the network raises `NetworkForbiddenError`, process-wide.

    ::

        with forbid_network() as guard:
            ...
        assert not guard.attempts

    Unix sockets stay allowed. With pytest: ``--forbid-network``, the ini option ``forbid_network = true``, or
    ``@pytest.mark.forbid_network``; ``@pytest.mark.allow_network`` exempts a test from the first two.

    Args:
        allow_loopback: Whether addresses of this machine's loopback interface stay reachable.
    """
    return NetworkGuard(allow_loopback=allow_loopback)


# -- deciding -----------------------------------------------------------------------------------------------


def _literal(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _is_loopback(host: str) -> bool:
    ip = _literal(host)
    if ip is None:
        name = host.rstrip(".").lower()
        return name in ("", "localhost") or name.endswith(".localhost")
    mapped = getattr(ip, "ipv4_mapped", None) or ip
    # Connecting to the unspecified address reaches this machine.
    return bool(mapped.is_loopback or mapped.is_unspecified)


def _text(host: object) -> str:
    return host.decode("ascii", "replace") if isinstance(host, bytes | bytearray) else str(host)


def _check(host: object, port: object = None) -> None:
    """Refuse what any active guard forbids. `host` None means this machine."""
    name = "localhost" if host is None else _text(host)
    address = name if port is None else f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
    loopback = _is_loopback(name)
    for guard in tuple(_ACTIVE):
        if not (loopback and guard.allow_loopback):
            guard.attempts.append(address)
            raise NetworkForbiddenError(address, allow_loopback=guard.allow_loopback)


def _check_name(host: object, port: object = None) -> None:
    """Refuse a look-up that would ask the network; numbers are not looked up, servers bind with them."""
    if host is not None and _text(host) and _literal(_text(host)) is None:
        _check(host, port)


def _check_socket(sock: socket.socket, *args: Any, **options: Any) -> None:
    # The address comes last, in connect(address) and in sendto(data, [flags,] address).
    address = args[-1] if args else None
    if sock.family in (socket.AF_INET, socket.AF_INET6) and isinstance(address, tuple):
        _check(*address[:2])


def _check_message(sock: socket.socket, *args: Any) -> None:
    # sendmsg(buffers, ancillary, flags, address): buffers alone may be a tuple too.
    _check_socket(sock, *args[3:])


def _check_connection(
    loop: object, factory: object, host: object = None, port: object = None, **options: Any
) -> None:
    if options.get("sock") is None:
        _check(host, port)


def _check_endpoint(
    loop: object, factory: object, local_addr: object = None, remote_addr: Any = None, **options: Any
) -> None:
    if isinstance(remote_addr, tuple):
        _check(*remote_addr[:2])


def _check_lookup(loop: object, host: object, port: object = None, **options: Any) -> None:
    _check_name(host, port)


# -- patching -----------------------------------------------------------------------------------------------

_LOCK = threading.Lock()
_ACTIVE: list[NetworkGuard] = []
_UNDO: list[Callable[[], None]] = []


def _guard(owner: Any, name: str, check: Callable[..., None]) -> None:
    """Let `check` see the arguments of ``owner.name`` before it runs, until `_restore`."""
    original = getattr(owner, name)
    inherited = name not in vars(owner)

    @functools.wraps(original)
    def guarded(*args: Any, **options: Any) -> Any:
        check(*args, **options)
        return original(*args, **options)

    setattr(owner, name, guarded)
    _UNDO.append(
        functools.partial(delattr, owner, name)
        if inherited
        else functools.partial(setattr, owner, name, original)
    )


def _install() -> None:
    for name in ("connect", "connect_ex", "sendto"):
        _guard(socket.socket, name, _check_socket)
    if hasattr(socket.socket, "sendmsg"):  # not on Windows
        _guard(socket.socket, "sendmsg", _check_message)
    for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex"):
        _guard(socket, name, _check_resolver)
    try:
        import uvloop
    except ImportError:
        return
    _guard(uvloop.Loop, "create_connection", _check_connection)
    _guard(uvloop.Loop, "create_datagram_endpoint", _check_endpoint)
    _guard(uvloop.Loop, "getaddrinfo", _check_lookup)


def _check_resolver(host: object = None, port: object = None, *args: Any, **options: Any) -> None:
    _check_name(options.get("hostname", host), port)


def _restore() -> None:
    while _UNDO:
        _UNDO.pop()()
