"""A store in a bucket of the test server, behind a proxy that fails when it is told to."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from fault_proxy import FaultProxy, Plan, Request
from s3_objects import Objects, new_bucket, vanish

from trunkline.fetch import buckets
from trunkline.store import claims
from trunkline.store.chunks import ChunkStore

MINE = "1" * 32  # the installation


@dataclass(kw_only=True)
class Bucket:
    """A store in a bucket, behind a proxy."""

    objects: Objects
    proxy: FaultProxy
    directory: Path
    cache_bytes: int = 1 << 30

    def settle(self, directory: Path | None = None, *, installation: str = MINE) -> None:
        place = claims.place_at(
            f"{self.objects.url}/a/prefix", plain_http=True, cache_bytes=self.cache_bytes
        )
        claims.settle(
            directory or self.directory, place, installation=lambda: installation, fresh=True
        )

    def open(self) -> ChunkStore:
        self.settle()
        store = ChunkStore(self.directory)
        store.recover()
        return store

    def lose_this_machine(self, store: ChunkStore) -> None:
        vanish(store)
        shutil.rmtree(self.directory)

    def packs(self) -> list[str]:
        return self.objects.names("a/prefix/packs")

    def fail(self, plan: Plan) -> None:
        self.proxy.plan = plan

    def heal(self) -> None:
        self.proxy.plan = lambda _: None

    def requests(self) -> list[Request]:
        """Those since the last time."""
        seen, self.proxy.seen = self.proxy.seen, []
        return seen


@contextmanager
def bucket_world(monkeypatch: pytest.MonkeyPatch, directory: Path) -> Iterator[Bucket]:
    objects = new_bucket()
    proxy = FaultProxy(objects.endpoint)
    for name, value in objects.environment(endpoint=proxy.url).items():
        monkeypatch.setenv(name, value)
    quick = {
        "max_retries": 3,
        "backoff": {
            "init_backoff": timedelta(milliseconds=1),
            "max_backoff": timedelta(milliseconds=2),
            "base": 2,
        },
    }
    monkeypatch.setattr(buckets, "_RETRIES", quick)
    monkeypatch.setattr(buckets, "_FIRST_PAUSE_S", 0.001)
    yield Bucket(objects=objects, proxy=proxy, directory=directory)
    proxy.close()
