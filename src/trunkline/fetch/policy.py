"""From where may be fetched: a server, from what its settings list; a user, from what they name."""

import ipaddress
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

from trunkline.errors import InvalidInput, NotAllowed
from trunkline.fetch.addresses import Address, Network, kind_of, plain
from trunkline.fetch.proxies import Proxies
from trunkline.fetch.urls import STORES, StoreUrl, WebUrl, account_of, scheme_of
from trunkline.values import dataclass

_HOST = re.compile(r"\*|(\*\.)?[\w-]+(\.[\w-]+)*\.?")
SETTING = "TRUNKLINE_FETCH_ALLOW"


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowList:
    """What a server fetches on behalf of its callers: nothing, unless it is listed.

    A URL is allowed if its host is listed and all its addresses are public, or if its addresses are
    listed themselves. Redirects are held to the same.
    """

    hosts: tuple[str, ...] = ()  # `*`, a name, or `*.` and a name: at public addresses
    networks: tuple[Network, ...] = ()  # public or not
    buckets: tuple[StoreUrl, ...] = ()  # bucket and key are patterns
    otherwise: str = "without --server-fetch your own machine fetches"  # what else can be done

    @property
    def proxies(self) -> Proxies:
        """None: what a proxy connects to can't be checked."""
        return Proxies()

    def check_name(self, url: WebUrl) -> None:
        """Raise NotAllowed where the host is not listed and no address could make up for that.

        So that nothing is even looked up for those who may not fetch.
        """
        if not self.networks and not any(_names(pattern, url.host) for pattern in self.hosts):
            raise self._not_listed(f"the host '{url.host}'", None)

    def check(
        self,
        url: WebUrl,
        addresses: Sequence[Address],
        *,
        came_from: str | None,
        public_before: bool,
    ) -> None:
        """Raise NotAllowed unless every address of the URL's host may be connected to.

        `came_from` is the host that redirects to it; `public_before` whether any host on the way
        was a public one, which changes nothing here.
        """
        named = any(_names(pattern, url.host) for pattern in self.hosts)
        for address in addresses:
            reached = plain(address)
            if any(reached.version == n.version and reached in n for n in self.networks):
                continue
            kind = kind_of(address)
            if not named:
                raise self._not_listed(f"the host '{url.host}'", came_from)
            if kind is not None:
                raise NotAllowed(
                    f"'{url.host}' is at {address}, which is a {kind} address{_on_way(came_from)}; "
                    f"the server fetches from such an address only if {SETTING} lists it"
                )

    def check_store(self, url: StoreUrl) -> None:
        """Raise NotAllowed unless the bucket is listed."""
        if not any(_holds(pattern, url) for pattern in self.buckets):
            raise self._not_listed(f"'{url.place}'", None)

    def _not_listed(self, what: str, came_from: str | None) -> NotAllowed:
        return NotAllowed(
            f"the server may not fetch from {what}{_on_way(came_from)}: its setting {SETTING} does "
            f"not list it; {self.otherwise}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AsTyped:
    """What a user fetches with the rights of their own machine: whatever they name.

    A redirect may not lead from a public host to an address that only this machine or its network
    reaches: nobody typed that. Of a host that a proxy looks up, only the proxy can tell.
    """

    proxies: Proxies = Proxies()

    def check_name(self, url: WebUrl) -> None:
        pass

    def check(
        self,
        url: WebUrl,
        addresses: Sequence[Address],
        *,
        came_from: str | None,
        public_before: bool,
    ) -> None:
        kinds = {kind_of(address) for address in addresses} - {None}
        if came_from is not None and public_before and kinds:
            raise NotAllowed(
                f"'{came_from}' redirects to '{url.host}', which is a {sorted(map(str, kinds))[0]} "
                "address; if that is meant, fetch it by its own URL"
            )

    def check_store(self, url: StoreUrl) -> None:
        pass


Policy = AllowList | AsTyped


def allow_list(text: str) -> AllowList:
    """Read the setting: hosts, addresses, networks and buckets, separated by commas or spaces.

    Raises InvalidInput for an entry that is none of these.
    """
    hosts: list[str] = []
    networks: list[Network] = []
    buckets: list[StoreUrl] = []
    for entry in text.replace(",", " ").split():
        scheme = scheme_of(entry)
        if scheme in STORES:
            buckets.append(_bucket(entry, STORES[scheme]))
            continue
        try:
            networks.append(ipaddress.ip_network(entry, strict=False))
        except ValueError:
            if not _HOST.fullmatch(entry):
                raise InvalidInput(
                    f"{SETTING} has the entry {entry!r}; write a host, '*.' and a domain, '*', an "
                    "address, a network (10.0.0.0/8) or a bucket (s3://name)"
                ) from None
            hosts.append(entry.lower().removesuffix("."))
    return AllowList(hosts=tuple(hosts), networks=tuple(networks), buckets=tuple(buckets))


def _bucket(entry: str, store: str) -> StoreUrl:
    authority, _, key = entry.partition("://")[2].partition("/")
    bucket, at, endpoint = authority.partition("@")
    account = account_of(endpoint)
    if at and (store != "az" or account is None):
        raise InvalidInput(
            f"{SETTING} has the entry {entry!r}; what is behind the '@' is no account of Azure"
        )
    return StoreUrl(store=store, bucket=bucket, key=key or "*", account=account)


def _names(pattern: str, host: str) -> bool:
    if pattern == "*":
        return True
    if pattern.startswith("*."):
        return host.endswith(pattern[1:])
    return host == pattern


def _holds(pattern: StoreUrl, url: StoreUrl) -> bool:
    """Each part for itself: a bucket of the same name in another account is another one."""
    return (
        (url.store, url.account) == (pattern.store, pattern.account)
        and fnmatchcase(url.bucket, pattern.bucket)
        and any(fnmatchcase(key, pattern.key) for key in (url.key, url.key + "/"))
    )


def _on_way(came_from: str | None) -> str:
    return f" (where '{came_from}' redirects to)" if came_from else ""
