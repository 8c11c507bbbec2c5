"""Buckets of the S3 server that `TRUNKLINE_TEST_S3` names."""

import os
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import obstore
import pytest
from obstore.store import S3Store

from trunkline.store.chunks import ChunkStore

_WHY_NOT = "TRUNKLINE_TEST_S3 names no server (.ci/run starts one)"
needs_s3 = pytest.mark.skipif("TRUNKLINE_TEST_S3" not in os.environ, reason=_WHY_NOT)


class Objects:
    """All objects of one bucket."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.bucket = f"bucket-{uuid.uuid4().hex}"
        request = urllib.request.Request(f"{endpoint}/{self.bucket}", data=b"", method="PUT")
        urllib.request.urlopen(request).close()
        self._store = S3Store(
            self.bucket,
            endpoint=endpoint,
            region="us-east-1",
            access_key_id="test",
            secret_access_key="test",
            client_options={"allow_http": True},
        )

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}"

    def environment(self, *, endpoint: str = "") -> dict[str, str]:
        """The variables that lead there."""
        return {
            "AWS_ENDPOINT_URL": endpoint or self.endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test-secret-of-the-bucket",
            "AWS_REGION": "us-east-1",
        }

    def names(self, below: str = "") -> list[str]:
        return [
            meta["path"] for batch in obstore.list(self._store, below or None) for meta in batch
        ]

    def get(self, key: str) -> bytes:
        return bytes(obstore.get(self._store, key).bytes())

    def put(self, key: str, data: bytes) -> None:
        obstore.put(self._store, key, data)

    def delete(self, key: str) -> None:
        obstore.delete(self._store, key)


def new_bucket() -> Objects:
    """A bucket of its own; skips the test where there is no server."""
    endpoint = os.environ.get("TRUNKLINE_TEST_S3")
    if not endpoint:
        pytest.skip(_WHY_NOT)
    return Objects(endpoint)


@contextmanager
def variables(values: dict[str, str]) -> Iterator[None]:
    """The environment with these variables."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def vanish(store: ChunkStore) -> None:
    """End a store as its process would that is killed: nothing is flushed, sealed or told."""
    store._flusher.shutdown()
    store._encoders.shutdown()
    for pack in (store._pack, *(batch.pack for batch in store._late)):
        if pack is not None:
            pack.close()
    store._readers.clear()
    store._index.close()
    store.epochs.close()
    store.depot.close()
