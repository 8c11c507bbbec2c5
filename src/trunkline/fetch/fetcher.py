"""The one object through which the rest of Trunkline fetches: a policy, limits and the ways."""

from collections.abc import Iterator

from trunkline.errors import InvalidInput
from trunkline.fetch.policy import AsTyped, Policy
from trunkline.fetch.proxies import Proxies
from trunkline.fetch.urls import StoreUrl, parse_url
from trunkline.fetch.web import Limits, Net, fetch_web
from trunkline.values import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetcher:
    """Fetches what its policy allows."""

    policy: Policy
    limits: Limits
    plain_http: bool = False  # the endpoint of the object store is an http URL
    net: Net | None = None  # None: the Internet

    def read(self, url: str) -> Iterator[bytes]:
        """The content behind a URL, in pieces; nothing is fetched before the first is asked for.

        Raises InvalidInput, NotAllowed, NotFound, NotSupported, OperationFailed, Unavailable.
        """
        parsed = parse_url(url)
        if not isinstance(parsed, StoreUrl):
            yield from fetch_web(parsed, policy=self.policy, limits=self.limits, net=self.net)
            return
        from trunkline.fetch.objects import check_available, fetch_object, is_pattern

        self.policy.check_store(parsed)
        check_available()
        if is_pattern(parsed):
            raise InvalidInput(f"{parsed} may mean several objects; name one")
        size = self.limits.bytes_max
        yield from fetch_object(parsed, plain_http=self.plain_http, bytes_max=size)

    def read_all(self, url: str) -> Iterator[tuple[str, Iterator[bytes]]]:
        """(key, content) of every object below a prefix or that matches a pattern, by key.

        Each content is read before the next one is asked for. Raises NotFound if there is none.
        """
        from trunkline.fetch.objects import check_available, fetch_objects, list_objects

        parsed = parse_url(url)
        if not isinstance(parsed, StoreUrl):
            raise InvalidInput(f"{url} is no object store: an http server can't be listed")
        self.policy.check_store(parsed)
        check_available()
        objects = list_objects(parsed, plain_http=self.plain_http)
        found = False
        size = self.limits.bytes_max
        for one, content in fetch_objects(
            parsed, objects, plain_http=self.plain_http, bytes_max=size
        ):
            found = True
            yield one.key, content
        if not found:
            from trunkline.errors import NotFound

            raise NotFound(f"there is nothing at {parsed}")


def as_typed(
    *, bytes_max: int, seconds_max: float, plain_http: bool, proxies: Proxies | None = None
) -> Fetcher:
    """A fetcher with the rights of the user whose machine this is."""
    return Fetcher(
        policy=AsTyped(proxies=proxies or Proxies()),
        limits=Limits(bytes_max=bytes_max, seconds_max=seconds_max),
        plain_http=plain_http,
    )
