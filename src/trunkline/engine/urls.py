"""What the server reaches by URLs: what it fetches for its callers, and where its own packs are.

The server may reach places that its callers can't, so nobody's URL is fetched unless the host, the
network or the bucket is listed, callers on the private socket included: theirs is the machine that
can fetch by itself.
"""

from dataclasses import replace

from trunkline.config import Config
from trunkline.fetch.policy import AllowList, allow_list
from trunkline.store.claims import Place, place_at


def chosen_place(config: Config) -> Place | None:
    """The bucket that the settings name for packs; raises InvalidInput for what is none."""
    if not config.store:
        return None
    return place_at(
        config.store,
        plain_http=config.object_store_http,
        cache_bytes=config.store_cache_bytes,
    )


def follower_policy(config: Config) -> AllowList:
    """Whose git repositories are followed: what users can't do on their own machines."""
    return replace(allow_list(config.fetch_allow), otherwise="whoever runs the server can add it")
