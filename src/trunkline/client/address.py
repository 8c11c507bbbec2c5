"""Where a server is: a private socket of this machine, or a host and port."""

from trunkline.errors import InvalidInput
from trunkline.values import dataclass

DEFAULT_PORT = 30650  # Pachyderm's, so that its addresses keep working


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketAddress:
    path: str

    def __str__(self) -> str:
        return f"unix://{self.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAddress:
    host: str
    port: int
    secure: bool = False  # https

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.secure else 'http'}://{host}:{self.port}"


ServerAddress = SocketAddress | HttpAddress


def parse_server_address(text: str) -> ServerAddress:
    """Read `unix:///path`, `http://host:port`, `https://host:port` or bare `host:port`.

    Raises InvalidInput for anything else, saying what to write.
    """
    scheme, separator, rest = text.strip().partition("://")
    if not separator:
        scheme, rest = "http", text.strip()
    if scheme == "unix":
        if not rest.startswith("/"):
            raise InvalidInput(f"{text!r} is not a server address: write unix:///path/to/socket")
        from pathlib import Path

        return SocketAddress(path=str(Path(rest)))
    if scheme in ("grpc", "grpcs", "pachd"):
        better = "https" if scheme == "grpcs" else "http"
        raise InvalidInput(
            f"{text!r} is a gRPC address, and Trunkline speaks HTTP; write {better}://{rest}"
        )
    if scheme not in ("http", "https"):
        raise InvalidInput(_rule(text))
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(f"{scheme}://{rest}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidInput(_rule(text)) from error
    if "@" in parts.netloc:
        raise InvalidInput(
            f"{parts.hostname!r}: a server address has no user or password in it; "
            "give the token apart"
        )
    if not host or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise InvalidInput(_rule(text))
    if any(c.isspace() or not c.isprintable() for c in host):
        raise InvalidInput(_rule(text))
    default = 443 if scheme == "https" else DEFAULT_PORT
    return HttpAddress(host=host, port=port or default, secure=scheme == "https")


def _rule(text: str) -> str:
    return (
        f"{text!r} is not a server address: write http://host:port, https://host:port, "
        "host:port or unix:///path"
    )
