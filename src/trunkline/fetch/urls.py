"""Reads URLs strictly: what two programs could take for two places is refused."""

import ipaddress
import re
from urllib.parse import SplitResult, quote, urlsplit

from trunkline.errors import InvalidInput, shown
from trunkline.values import dataclass

HTTP = ("http", "https")
# scheme → the store that it means
STORES = {
    "s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs",
    "az": "az", "azure": "az", "as": "az", "adl": "az", "abfs": "az", "abfss": "az",
    "wasb": "az", "wasbs": "az",
}  # fmt: skip
SCHEMES = (*HTTP, *STORES)
_PORTS = {"http": 80, "https": 443, "git": 9418}  # of the schemes that git remotes may have

_URL_CHARACTERS_MAX = 8192
_UNSAFE = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029\\]")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_BRACKETS = re.compile(r"\[[0-9a-fA-F:.]+\](:[0-9]+)?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_BUCKET = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{1,221}[a-zA-Z0-9]|\$root|\$web")
_ACCOUNT = re.compile(
    r"([a-z0-9]{3,24})(\.(blob|dfs)\.core\.(windows\.net|chinacloudapi\.cn|usgovcloudapi\.net))?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebUrl:
    """An http(s) URL, taken apart."""

    secure: bool
    host: str  # lower case, a name or an address without brackets
    port: int
    target: str  # path and query as they are asked for

    def __str__(self) -> str:
        standard = self.port == (443 if self.secure else 80)
        return f"{'https' if self.secure else 'http'}://{bracketed(self.host)}" + (
            self.target if standard else f":{self.port}{self.target}"
        )

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        standard = self.port == (443 if self.secure else 80)
        return bracketed(self.host) if standard else f"{bracketed(self.host)}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreUrl:
    """An object, or a prefix of objects, in a bucket."""

    store: str  # s3, gs or az
    bucket: str  # of Azure: the container
    key: str
    account: str | None = None  # of Azure, where the URL names it

    def __str__(self) -> str:
        return f"{self.store}://{self.bucket}/{self.key}"

    @property
    def place(self) -> str:
        """The bucket, with the account if the URL names one: what somebody may read from."""
        return f"{self.store}://{self.bucket}{f'@{self.account}' if self.account else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class GitUrl:
    """The URL of a git repository, taken apart."""

    scheme: str  # https, http or git
    web: WebUrl  # host, port and path

    def __str__(self) -> str:
        if self.scheme != "git":
            return str(self.web)
        return f"git://{self.authority}{self.web.target}"

    @property
    def authority(self) -> str:
        """Host and port, unless that is the standard one."""
        host = bracketed(self.web.host)
        standard = self.web.port == _PORTS[self.scheme]
        return host if standard else f"{host}:{self.web.port}"


def account_of(endpoint: str) -> str | None:
    """The account of Azure that stands behind the `@` of a URL; None if it is none."""
    found = _ACCOUNT.fullmatch(endpoint)
    return None if found is None else found[1]


def scheme_of(text: str) -> str:
    """The scheme of a URL in lower case, or nothing."""
    return text.partition("://")[0].lower() if "://" in text else ""


def parse_url(text: str) -> WebUrl | StoreUrl:
    """Read a URL that can be fetched; raises InvalidInput for any other.

    The sentence of the error repeats no more than scheme and host, since the rest may be secret.
    """
    scheme = scheme_of(text)
    if scheme not in SCHEMES:
        raise InvalidInput(
            f"{shown(text)} can't be fetched: only http, https and object stores "
            "(s3, gs, az and their other names) can"
        )
    if len(text) > _URL_CHARACTERS_MAX:
        raise _wrong(text, f"it is longer than {_URL_CHARACTERS_MAX:,} characters")
    if re.search(r"[\ud800-\udfff]", text):
        raise _wrong(text, "it is not valid UTF-8")
    if scheme in HTTP:
        return _web(text, scheme)
    return _store(text, STORES[scheme])


def parse_git(text: str) -> GitUrl:
    """Read the URL of a git repository that a server may follow; raises InvalidInput."""
    scheme = scheme_of(text)
    if scheme not in _PORTS:
        raise InvalidInput(
            f"{shown(without_secrets(text))} can't be followed: only https, http and git URLs can; "
            "for a repository that is reached by ssh write its https URL, and a `secret` with a "
            "token if it is private; one on this machine can be served by `git daemon`"
        )
    if len(text) > _URL_CHARACTERS_MAX:
        raise _wrong(text, f"it is longer than {_URL_CHARACTERS_MAX:,} characters")
    web = _web(text, scheme)
    if "?" in text or "#" in text:
        raise _wrong(text, "a git URL has no query and no fragment")
    if web.target.strip("/") == "":
        raise _wrong(text, "it names a host, but no repository there")
    return GitUrl(scheme=scheme, web=web)


def _web(text: str, scheme: str) -> WebUrl:
    if _UNSAFE.search(text):
        raise _wrong(text, "it has a space, a backslash or a control character")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise _wrong(text, "its host or port can't be read") from error
    if "@" in parts.netloc:
        raise _wrong(text, "it has a user name or password, which would be kept in histories")
    host = _host(text, parts)
    secure = scheme == "https"
    port = _PORTS[scheme] if port is None else port
    if not 0 < port < 65536 or parts.netloc.endswith(":"):
        raise _wrong(text, "its port can't be read")
    target = _quoted(parts.path or "/") + (f"?{_quoted(parts.query)}" if parts.query else "")
    return WebUrl(secure=secure, host=host, port=port, target=target)


def _host(text: str, parts: SplitResult) -> str:
    """The canonical host: a name of ordinary labels, or an address in its usual spelling."""
    host = (parts.hostname or "").removesuffix(".")
    if parts.netloc.startswith("["):
        if "%" in host or not _BRACKETS.fullmatch(parts.netloc):
            raise _wrong(text, "its address has a zone, or something behind it")
        try:
            return str(ipaddress.IPv6Address(host))
        except ValueError as error:
            raise _wrong(text, "its host is no IPv6 address") from error
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii").lower()
        except UnicodeError as error:
            raise _wrong(text, "its host is no name") from error
    labels = host.split(".")
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise _wrong(text, "its host is no name")
    if _NUMBER.fullmatch(labels[-1]):
        # 127.1, 2130706433, 0x7f.1 and 0177.0.0.1 are all read as 127.0.0.1 by somebody.
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError as error:
            raise _wrong(text, "its host is a number, but not in the usual form") from error
    return host


def _store(text: str, store: str) -> StoreUrl:
    if re.search(r"[\x00-\x1f\x7f]", text):
        raise _wrong(text, "it has a control character")
    authority, _, key = text.partition("://")[2].partition("/")
    bucket, at, endpoint = authority.partition("@")
    account = account_of(endpoint)
    if at and (store != "az" or account is None):
        raise _wrong(text, "what is behind the '@' is no account of Azure")
    if not _BUCKET.fullmatch(bucket) or ".." in bucket:
        raise _wrong(text, "its bucket is no name")
    return StoreUrl(store=store, bucket=bucket, key=key, account=account)


def _quoted(text: str) -> str:
    """Everything that can't stand in a request line as percent signs; what is quoted stays."""
    return quote(text, safe="/?:@!$&'()*+,;=-._~%")


def bracketed(host: str) -> str:
    """A host as it stands before a port."""
    return f"[{host}]" if ":" in host else host


def _wrong(text: str, why: str) -> InvalidInput:
    return InvalidInput(f"{shown(without_secrets(text))} can't be fetched: {why}")


def without_secrets(text: str) -> str:
    """The URL without user, query and fragment, for messages."""
    head, _, rest = text.partition("://")
    authority, slash, path = rest.partition("/")
    path = re.split(r"[?#]", path, maxsplit=1)[0]
    authority = re.split(r"[?#]", authority, maxsplit=1)[0]
    return f"{head}://{authority.rpartition('@')[2]}{slash}{path}"
