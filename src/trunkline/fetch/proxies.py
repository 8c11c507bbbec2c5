"""Proxies through which a user's own process reaches the web, where its environment names them.

Never a server: the proxy would look up the host, and nothing could be checked.
"""

import base64
import socket
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # typeshed

from trunkline.errors import InvalidInput
from trunkline.fetch.urls import WebUrl, bracketed
from trunkline.values import dataclass

_HEAD_BYTES_MAX = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """One proxy; it is spoken to in plain HTTP."""

    host: str
    port: int
    credentials: str  # the value of Proxy-Authorization, or ""

    @property
    def headers(self) -> dict[str, str]:
        return {"Proxy-Authorization": self.credentials} if self.credentials else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxies:
    """What the environment says, as curl and others read it."""

    http: str = ""  # for http URLs: http://[user:password@]host[:port]
    https: str = ""  # for https URLs
    bypass: str = ""  # hosts and domains that are reached without one, or `*`

    def of(self, url: WebUrl) -> Proxy | None:
        """The proxy for a URL, or None. Raises InvalidInput for one that can't be used."""
        given = self.https if url.secure else self.http
        host = f"{url.host}:{url.port}"
        if not given or proxy_bypass_environment(host, {"no": self.bypass}):
            return None
        return _proxy(given, "HTTPS_PROXY" if url.secure else "HTTP_PROXY")


def tunnel(raw: socket.socket, proxy: Proxy, url: WebUrl) -> None:
    """Have the proxy connect to the host of a URL; raises OSError if it does not."""
    place = f"{bracketed(url.host)}:{url.port}"
    lines = [f"CONNECT {place} HTTP/1.1", f"Host: {place}", "User-Agent: trunkline"]
    lines += [f"{name}: {value}" for name, value in proxy.headers.items()]
    raw.sendall("\r\n".join([*lines, "", ""]).encode("ascii"))
    head = b""
    # One by one: what follows the head is the host's.
    while not head.endswith((b"\r\n\r\n", b"\n\n")):
        byte = raw.recv(1)
        if not byte or len(head) > _HEAD_BYTES_MAX:
            raise OSError(f"the proxy {proxy.host}:{proxy.port} broke off")
        head += byte
    status = head.split(b"\n", 1)[0].decode("latin-1").strip()
    words = status.split(None, 2)
    if len(words) < 2 or not words[0].startswith("HTTP/1.") or words[1] != "200":
        raise OSError(f"the proxy {proxy.host}:{proxy.port} answered {status!r}")


def _proxy(text: str, name: str) -> Proxy:
    parts = _parts(text)
    if parts is None or parts.scheme != "http" or not parts.hostname:
        raise InvalidInput(f"the proxy in {name} can't be used; write http://host:port")
    credentials = ""
    if parts.username is not None:
        plain = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        credentials = f"Basic {base64.b64encode(plain.encode('utf-8')).decode('ascii')}"
    return Proxy(host=parts.hostname, port=parts.port or 80, credentials=credentials)


def _parts(text: str) -> SplitResult | None:
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        _ = parts.port  # which is read only now
    except ValueError:
        return None
    return parts
