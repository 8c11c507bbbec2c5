"""Packs in a bucket beside the bare library: the same bytes, put and read back, as ratios.

Needs a server of S3's protocol: TRUNKLINE_TEST_S3 names it (`make services` has one that keeps
objects in memory: `.services/bin/moto_server -p 5001`). Such a server answers in a millisecond or
two, and slowly for parts of large objects, so what counts are ratios and numbers of requests.

    TRUNKLINE_TEST_S3=http://127.0.0.1:5001 python bench/buckets.py
"""

import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "harness"))

import obstore
from fault_proxy import FaultProxy
from obstore.store import S3Store
from s3_objects import Objects, new_bucket

from trunkline.api.changes import PutFile
from trunkline.config import load
from trunkline.engine.engine import Engine
from trunkline.store import claims
from trunkline.store.chunks import ChunkStore

ROUNDS = 3
MIB = 1024 * 1024


def main() -> None:
    bucket = new_bucket()
    os.environ.update(bucket.environment())
    print(f"{'':44} {'bare':>9} {'store':>9} {'ratio':>6}")
    large = [os.urandom(2 * MIB) for _ in range(48)]
    small = [os.urandom(1000) for _ in range(10_000)]
    commits = [os.urandom(1000) for _ in range(500)]
    show(
        "96 MiB in chunks of 2 MiB",
        bucket,
        [b"".join(large[n : n + 16]) for n in (0, 16, 32)],
        [large],
    )
    show("10,000 chunks of 1 KB in one commit", bucket, [b"".join(small)], [small])
    show("500 commits of 1 KB", bucket, commits, [[data] for data in commits])
    count_requests(bucket)


def show(what: str, bucket: Objects, objects: list[bytes], commits: list[list[bytes]]) -> None:
    """Medians of rounds that take turns; reading begins without a cache each time."""
    bare: list[tuple[float, float]] = []
    ours: list[tuple[float, float]] = []
    for number in range(ROUNDS):
        bare.append(_bare(bucket, f"bare-{what[:3]}-{number}", objects))
        ours.append(_ours(bucket, f"ours-{what[:3]}-{number}".replace(" ", ""), commits))
    for at, verb in enumerate(("put", "read")):
        one, other = (statistics.median(run[at] for run in runs) for runs in (bare, ours))
        print(f"{what + ', ' + verb:44} {one:8.3f}s {other:8.3f}s {other / one:6.2f}")


def _bare(bucket: Objects, name: str, objects: list[bytes]) -> tuple[float, float]:
    store = S3Store(bucket.bucket, client_options={"allow_http": True})

    def put() -> None:
        for number, data in enumerate(objects):
            obstore.put(store, f"{name}/{number}", data)

    def read() -> None:
        for number, data in enumerate(objects):
            assert len(obstore.get(store, f"{name}/{number}").bytes()) == len(data)

    return seconds(put), seconds(read)


def _ours(bucket: Objects, name: str, commits: list[list[bytes]]) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch) / "store"
        place = claims.place_at(f"{bucket.url}/{name}", plain_http=True, cache_bytes=1 << 30)
        claims.settle(directory, place, installation=lambda: "0" * 32, fresh=True)
        store = ChunkStore(directory)
        ids: list[list[bytes]] = []

        def put() -> None:
            for pieces in commits:
                ids.append([bytes.fromhex(chunk) for chunk in store.put_many(pieces)])
                store.flush()

        def read() -> None:
            # In the bites that bulk export takes.
            digests = [digest for commit in ids for digest in commit]
            for start in range(0, len(digests), 4096):
                some = digests[start : start + 4096]
                if len(commits[0][0]) > MIB:
                    for digest in some:
                        assert store.read_many([digest])
                else:
                    assert len(store.read_many(some)) == len(some)

        took = seconds(put)
        shutil.rmtree(directory / "cache")
        (directory / "cache").mkdir()
        store.let_go(cached=True)
        found = took, seconds(read)
        store.close()
        return found


def count_requests(bucket: Objects) -> None:
    """What the engine asks of the bucket."""
    proxy = FaultProxy(bucket.endpoint)
    environment = {
        **bucket.environment(endpoint=proxy.url),
        "TRUNKLINE_STORE": f"{bucket.url}/engine",
        "TRUNKLINE_GC_GRACE_S": "0",
        "TRUNKLINE_GC_INTERVAL_S": "0",
        "PATH": os.environ["PATH"],
    }
    os.environ.update(environment)
    with tempfile.TemporaryDirectory() as scratch:
        environment["HOME"] = scratch
        engine = Engine(load(environment, home=Path(scratch) / "home"))
        engine.repos.create_repo("data")

        def put(files: dict[str, bytes]) -> None:
            changes = [PutFile(path=path, content=[data]) for path, data in files.items()]
            engine.files.modify_files("data", "master", changes)

        def counted(what: str, work: Callable[[], object]) -> None:
            proxy.seen.clear()
            work()
            kinds = [request.method for request in proxy.seen]
            words = ", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds)))
            print(f"{what:44} {words or 'none'}")

        counted("a commit of 1 file", lambda: put({"a": b"1"}))
        counted(
            "a commit of 10,000 files", lambda: put({f"d/{n}": b"%d" % n for n in range(10_000)})
        )

        def hundred() -> None:
            for number in range(100):
                put({"a": b"%d" % number})

        counted("100 commits of 1 file", hundred)
        counted("gc, which merges them", engine.admin.gc)
        engine.close()
        shutil.rmtree(Path(scratch) / "home" / "store" / "cache")
        shutil.rmtree(Path(scratch) / "home" / "store" / "index.db", ignore_errors=True)
        (Path(scratch) / "home" / "store" / "index.db").unlink(missing_ok=True)

        def again() -> None:
            nonlocal engine
            engine = Engine(load(environment, home=Path(scratch) / "home"))

        counted("a start without index and cache", again)
        counted(
            "10,000 files read",
            lambda: [
                b"".join(engine.files.read_file("data", "master", f"d/{n}")) for n in range(10_000)
            ],
        )
        engine.close()
    proxy.close()


def seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
