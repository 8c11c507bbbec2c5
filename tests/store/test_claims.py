"""A bucket has the packs of one data directory, and no other is let in."""

from pathlib import Path

import pytest
from bucket_world import MINE, Bucket
from s3_objects import vanish

from trunkline.errors import Conflict, InvalidInput, Unavailable
from trunkline.store import claims
from trunkline.store.chunks import ChunkStore

GOLDEN = Path(__file__).parents[1] / "golden" / "bucket"
CHUNKS = [bytes([n]) * (n * 300 + 1) for n in range(20)]


def test_two_data_directories_can_not_have_one_bucket(bucket: Bucket, tmp_path: Path) -> None:
    bucket.settle()

    with pytest.raises(Conflict, match="has the packs of another data directory"):
        bucket.settle(tmp_path / "other", installation="2" * 32)


def test_a_directory_that_was_taken_over_is_refused(bucket: Bucket, tmp_path: Path) -> None:
    first = bucket.open()
    ids = first.put_many(CHUNKS)
    first.flush()

    bucket.settle(tmp_path / "second")

    with pytest.raises(Conflict, match="another data directory has taken over"):
        bucket.settle()
    with pytest.raises(Conflict, match="taken over"), first.collection().exclusive():
        pass
    vanish(first)
    second = ChunkStore(tmp_path / "second")
    [added] = second.put_many([b"added by the second"])
    second.flush()
    assert list(second.get_many(ids).values()) == CHUNKS
    second.close()

    (bucket.directory / claims.RECORD).unlink()  # who comes back begins with what is there now
    back = bucket.open()
    assert back.get_many([*ids, added]).keys() == {*ids, added}
    with pytest.raises(Conflict, match="taken over"):
        bucket.settle(tmp_path / "second")
    back.close()


def test_a_store_that_knows_no_conditions_is_looked_at_first(
    bucket: Bucket, tmp_path: Path
) -> None:
    bucket.fail(lambda request: "not implemented" if request.conditional else None)
    store = bucket.open()
    ids = store.put_many(CHUNKS)
    store.flush()

    with pytest.raises(Conflict, match="has the packs of another data directory"):
        bucket.settle(tmp_path / "other", installation="2" * 32)
    assert list(store.get_many(ids).values()) == CHUNKS
    store.close()


def test_a_store_with_packs_in_files_is_not_taken_for_one_in_a_bucket(bucket: Bucket) -> None:
    local = ChunkStore(bucket.directory)
    local.put(b"x")
    local.close()

    with pytest.raises(Conflict, match="take a backup and restore it"):
        bucket.settle()
    assert bucket.objects.names() == []


def test_another_bucket_than_before_is_refused(bucket: Bucket) -> None:
    bucket.settle()
    place = claims.place_at(f"{bucket.objects.url}/other", plain_http=True, cache_bytes=1)

    with pytest.raises(Conflict, match="TRUNKLINE_STORE says s3://.*/other"):
        claims.settle(bucket.directory, place, installation=lambda: MINE, fresh=True)
    claims.settle(
        bucket.directory, None, installation=lambda: MINE, fresh=True
    )  # without it, as before
    assert claims.bucket_of(bucket.directory) == f"{bucket.objects.url}/a/prefix"


def test_a_place_without_its_owner_is_not_believed(bucket: Bucket) -> None:
    bucket.open().close()
    bucket.objects.delete("a/prefix/owner.json")

    with pytest.raises(Unavailable, match=r"has no owner.json, so it is not where the packs"):
        bucket.settle()


def test_a_bucket_that_is_not_there_is_told(bucket: Bucket) -> None:
    place = claims.place_at("s3://no-such-bucket-here/x", plain_http=True, cache_bytes=1)

    with pytest.raises(Unavailable, match="there is no bucket 'no-such-bucket-here'"):
        claims.settle(bucket.directory, place, installation=lambda: MINE, fresh=True)


def test_a_server_that_knows_nothing_is_told(bucket: Bucket) -> None:
    bucket.fail(lambda _: "nothing")

    with pytest.raises(Unavailable, match="there is no bucket 'bucket-.*look at the endpoint"):
        bucket.settle()


def test_refused_credentials_are_told_and_not_shown(bucket: Bucket) -> None:
    bucket.fail(lambda _: "refused")

    with pytest.raises(Unavailable, match="with the credentials in the environment") as caught:
        bucket.settle()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["/tmp/x", "https://example.com/x", "s3://b/../c", "s3://x", "s3:"]
)
def test_what_names_no_bucket_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        claims.place_at(text, plain_http=False, cache_bytes=1)


def test_both_records_are_read_and_written_as_the_first_version_did(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = (GOLDEN / "v1-owner.json").read_bytes()
    record = (GOLDEN / "v1-bucket.json").read_text()
    record = record.replace("s3://bucket/", f"{bucket.objects.url}/")
    monkeypatch.setattr(claims.secrets, "token_hex", lambda _: "2" * 32)

    bucket.settle()

    assert bucket.objects.get("a/prefix/owner.json") == owner
    assert (bucket.directory / claims.RECORD).read_text() == record
    (bucket.directory / claims.RECORD).unlink()
    bucket.objects.put("a/prefix/owner.json", owner.replace(b"2" * 32, b"3" * 32))
    (bucket.directory / claims.RECORD).write_text(record.replace("2" * 32, "3" * 32))
    bucket.settle()
    bucket.objects.put("a/prefix/owner.json", owner.replace(b": 1,", b": 2,", 1))
    with pytest.raises(Unavailable, match=r"owner.json has format 2; this Trunkline reads 1"):
        bucket.settle()
