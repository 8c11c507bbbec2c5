"""Content behind URLs, fetched by the user's own process with the rights of its machine."""

from collections.abc import Iterator

from trunkline.config import Config, load
from trunkline.fetch.fetcher import Fetcher, as_typed
from trunkline.fetch.proxies import Proxies
from trunkline.values import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlContent:
    """What is behind a URL; fetched anew whenever it is read."""

    url: str
    fetcher: Fetcher = field(repr=False)

    def __iter__(self) -> Iterator[bytes]:
        return self.fetcher.read(self.url)


def own_fetcher(config: Config | None = None) -> Fetcher:
    """Fetches whatever the user names: http(s) URLs and object stores."""
    settings = config or load()
    return as_typed(
        bytes_max=settings.fetch_bytes_max,
        seconds_max=settings.fetch_seconds_max,
        plain_http=settings.object_store_http,
        proxies=Proxies(
            http=settings.http_proxy, https=settings.https_proxy, bypass=settings.no_proxy
        ),
    )


def url_content(url: str) -> UrlContent:
    """The content behind a URL that a user names."""
    return UrlContent(url=url, fetcher=own_fetcher())
