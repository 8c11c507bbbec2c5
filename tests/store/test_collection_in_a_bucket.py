"""Garbage goes from a bucket, and nothing else, though machines are lost in the midst of all."""

import shutil
from contextlib import ExitStack
from pathlib import Path

from hypothesis import Phase, settings
from hypothesis.stateful import initialize
from s3_objects import needs_s3, new_bucket, vanish, variables

from trunkline.store import claims
from trunkline.store.chunks import ChunkStore

from .test_collection import Interleavings


class InABucket(Interleavings):
    """The same where packs are in a bucket, and a process that ends takes all with it but that."""

    def opened(self) -> ChunkStore:
        place = claims.place_at(self.bucket.url, plain_http=True, cache_bytes=1 << 20)
        claims.settle(Path(self.directory.name), place, installation=lambda: "i" * 32, fresh=True)
        return ChunkStore(Path(self.directory.name))

    @initialize()
    def open_store(self) -> None:
        self.bucket = new_bucket()
        self.variables = ExitStack()
        self.variables.enter_context(variables(self.bucket.environment()))
        super().open_store()

    def end_process(self) -> None:
        vanish(self.store)
        for entry in Path(self.directory.name).iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

    def teardown(self) -> None:
        super().teardown()
        self.variables.close()


TestInABucket = needs_s3(InABucket.TestCase)
TestInABucket.settings = settings(
    max_examples=settings().max_examples // 6,
    stateful_step_count=30,
    report_multiple_bugs=False,
    phases=[Phase.explicit, Phase.generate],
)
