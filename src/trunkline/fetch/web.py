"""Fetches http(s) URLs: resolves a host once, has every address checked, and connects to that one.

Nothing is looked up a second time between the check and the connection, so a name that changes its
address meanwhile gains nothing. Redirects go through the same again. No cookies, no credentials.
Where a policy has a proxy (a user's has), the proxy looks the host up and connects.
"""

import http.client
import io
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol
from urllib.parse import urljoin

from trunkline.errors import InvalidInput, NotAllowed, NotFound, OperationFailed, shown
from trunkline.fetch.addresses import Address, kind_of
from trunkline.fetch.policy import Policy
from trunkline.fetch.proxies import Proxy, tunnel
from trunkline.fetch.urls import StoreUrl, WebUrl, parse_url, without_secrets
from trunkline.values import dataclass

_PIECE_BYTES = 1024 * 1024
_CONNECT_TIMEOUT_S = 20.0
_IDLE_TIMEOUT_S = 60.0  # without a byte
_REDIRECTS_MAX = 5
_ADDRESSES_TRIED_MAX = 4
_REDIRECTS = (301, 302, 303, 307, 308)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much one URL may take."""

    bytes_max: int
    seconds_max: float


class Net(Protocol):
    """Names and connections; tests have others."""

    def resolve(self, host: str, port: int) -> Sequence[Address]:
        """All addresses of a host, which may be one itself; raises OSError."""

    def connect(self, address: Address, port: int, timeout_s: float) -> socket.socket:
        """A connection to that very address; raises OSError."""


class Internet:
    """The real ones."""

    def resolve(self, host: str, port: int) -> Sequence[Address]:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
        return list(dict.fromkeys(addresses))

    def connect(self, address: Address, port: int, timeout_s: float) -> socket.socket:
        return socket.create_connection((str(address), port), timeout_s)


def fetch_web(
    url: WebUrl, *, policy: Policy, limits: Limits, net: Net | None = None
) -> Iterator[bytes]:
    """The content behind a URL, in pieces.

    Raises NotAllowed where the policy forbids an address, NotFound (404, 410), and OperationFailed
    when it can't be had whole.
    """
    deadline = time.monotonic() + limits.seconds_max
    name = without_secrets(str(url))
    try:
        yield from _Fetch(policy, limits, net or Internet(), deadline, name).run(url)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise OperationFailed(f"fetching {name} failed: {_reason(error)}") from error


class _Fetch:
    def __init__(
        self, policy: Policy, limits: Limits, net: Net, deadline: float, name: str
    ) -> None:
        self._policy = policy
        self._limits = limits
        self._net = net
        self._deadline = deadline
        self._name = name  # of what was asked for, in messages

    def run(self, url: WebUrl) -> Iterator[bytes]:
        came_from: str | None = None
        public = False  # whether a host on the way was
        for _ in range(_REDIRECTS_MAX + 1):
            if came_from is None:
                self._policy.check_name(url)
            proxy = self._policy.proxies.of(url)
            addresses = self._known(url) if proxy else self._resolved(url.host, url.port)
            self._policy.check(url, addresses, came_from=came_from, public_before=public)
            public = public or all(kind_of(address) is None for address in addresses)
            connection, raw = self._connected(url, addresses, proxy)
            try:
                answer = self._ask(connection, url, proxy)
                if answer.status not in _REDIRECTS:
                    yield from self._content(answer)
                    return
                url, came_from = self._onward(url, answer), url.host
            finally:
                raw.close()
        raise OSError(f"it redirects more than {_REDIRECTS_MAX} times")

    def _resolved(self, host: str, port: int) -> Sequence[Address]:
        addresses = self._net.resolve(host, port)
        if not addresses:
            raise OSError(f"'{host}' has no address")
        return addresses

    def _known(self, url: WebUrl) -> Sequence[Address]:
        """The address that the URL itself names, if it does: a proxy looks up the others."""
        try:
            return [ipaddress.ip_address(url.host)]
        except ValueError:
            return []

    def _connected(
        self, url: WebUrl, addresses: Sequence[Address], proxy: Proxy | None
    ) -> tuple[http.client.HTTPConnection, socket.socket]:
        port = url.port
        if proxy is not None:
            addresses, port = self._resolved(proxy.host, proxy.port), proxy.port
        failure: OSError | None = None
        for address in addresses[:_ADDRESSES_TRIED_MAX]:
            try:
                raw = self._net.connect(address, port, min(_CONNECT_TIMEOUT_S, self._left()))
            except OSError as error:
                failure = error
                continue
            try:
                raw.settimeout(min(_CONNECT_TIMEOUT_S, self._left()))
                if url.secure:
                    if proxy is not None:
                        tunnel(raw, proxy, url)
                    raw = ssl.create_default_context().wrap_socket(raw, server_hostname=url.host)
            except OSError:
                raw.close()
                raise
            # It has its socket already, so it never looks up or connects by itself.
            connection = http.client.HTTPConnection(url.host, url.port)
            connection.auto_open = 0
            connection.sock = _TimedSocket(raw, self._left)
            return connection, raw
        assert failure is not None
        raise failure

    def _ask(
        self, connection: http.client.HTTPConnection, url: WebUrl, proxy: Proxy | None
    ) -> http.client.HTTPResponse:
        headers = {
            "Host": url.authority,
            "User-Agent": "trunkline",
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "Connection": "close",
        }
        target = url.target
        if proxy is not None and not url.secure:  # it reads the request itself
            target = str(url)
            headers |= proxy.headers
        connection.putrequest("GET", target, skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        return connection.getresponse()

    def _onward(self, url: WebUrl, answer: http.client.HTTPResponse) -> WebUrl:
        location = answer.headers.get("Location")
        if not location:
            raise OSError("it redirects to nowhere")
        try:
            onward = parse_url(urljoin(str(url), location))
        except (InvalidInput, ValueError) as error:
            raise NotAllowed(
                f"{self._name} redirects to {shown(without_secrets(location))}, which is not "
                "fetched: only http and https URLs without a user are"
            ) from error
        if isinstance(onward, StoreUrl):
            raise NotAllowed(f"{self._name} redirects to an object store, which is not followed")
        if url.secure and not onward.secure:
            raise NotAllowed(f"{self._name} redirects from https to http, which is not followed")
        return onward

    def _content(self, answer: http.client.HTTPResponse) -> Iterator[bytes]:
        if answer.status in (404, 410):
            raise NotFound(f"there is nothing at {self._name} ({answer.status})")
        if answer.status != 200:
            raise OSError(f"the answer was {answer.status} {answer.reason}")
        expected = answer.length
        if expected is not None and expected > self._limits.bytes_max:
            raise self._too_large()
        received = 0
        while piece := answer.read1(_PIECE_BYTES):
            received += len(piece)
            if received > self._limits.bytes_max:
                raise self._too_large()
            self._left()
            yield piece
        if expected is not None and received < expected:
            raise OSError(f"it broke off after {received:,} of {expected:,} bytes")

    def _left(self) -> float:
        """Seconds that are left; raises OSError."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise OSError(f"it took more than {self._limits.seconds_max:,.0f} seconds")
        return left

    def _too_large(self) -> OSError:
        return OSError(f"it is larger than {self._limits.bytes_max:,} bytes")


class _TimedSocket:
    """What http.client uses of a socket; each wait ends with the time that is left in all."""

    def __init__(self, raw: socket.socket, left: Callable[[], float]) -> None:
        self._raw = raw
        self._left = left

    def sendall(self, data: bytes) -> None:
        self._raw.settimeout(min(_IDLE_TIMEOUT_S, self._left()))
        self._raw.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_TimedReader(self._raw, self._left), _PIECE_BYTES)

    def close(self) -> None:
        """Nothing: http.client closes before the content is read; the fetch closes at its end."""


class _TimedReader(io.RawIOBase):
    def __init__(self, raw: socket.socket, left: Callable[[], float]) -> None:
        super().__init__()
        self._raw = raw
        self._left = left

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        self._raw.settimeout(min(_IDLE_TIMEOUT_S, self._left()))
        return self._raw.recv_into(buffer)


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    if isinstance(error, http.client.IncompleteRead):
        return "it broke off"
    if isinstance(error, socket.gaierror):
        return "its host has no address"
    strerror = getattr(error, "strerror", None)
    return strerror or str(error) or type(error).__name__
