"""Object stores, with a real server of S3's protocol where `TRUNKLINE_TEST_S3` names one."""

import json
import os
import subprocess
import sys
import urllib.parse
import urllib.request
import uuid

import pytest

from trunkline.config import load
from trunkline.errors import InvalidInput, NotAllowed, NotFound, Unavailable
from trunkline.fetch.fetcher import Fetcher, as_typed
from trunkline.fetch.objects import key_prefix
from trunkline.fetch.policy import allow_list
from trunkline.fetch.urls import StoreUrl, parse_url
from trunkline.fetch.web import Limits

OBJECTS = {
    "top.txt": b"top",
    "dir/a.txt": b"a" * 10,
    "dir/b c.txt": b"b",
    "dir/sub/d%e.csv": b"d",
    "dir/sub/ü+.csv": b"",
    "dirx/z.csv": b"z",
    "big": bytes(range(256)) * 12_000,
}


@pytest.fixture(scope="module")
def s3():
    """The variables that lead to the test server, and a new bucket there with some objects."""
    endpoint = os.environ.get("TRUNKLINE_TEST_S3")
    if not endpoint:
        pytest.skip("TRUNKLINE_TEST_S3 names no server (.ci/run starts one)")
    bucket = f"bucket-{uuid.uuid4().hex}"
    _put(f"{endpoint}/{bucket}", b"")
    for key, content in {**OBJECTS, "dir/": b""}.items():
        _put(f"{endpoint}/{bucket}/{urllib.parse.quote(key)}", content)
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "bucket": bucket,
    }


def _put(url, content):
    request = urllib.request.Request(url, data=content, method="PUT")
    request.add_header("Content-Type", "application/octet-stream")
    urllib.request.urlopen(request).close()


@pytest.fixture
def environment(s3, monkeypatch):
    for name, value in s3.items():
        if name != "bucket":
            monkeypatch.setenv(name, value)
    return s3["bucket"]


@pytest.fixture
def fetcher(environment):
    config = load()
    return as_typed(bytes_max=1 << 30, seconds_max=60, plain_http=config.object_store_http)


def test_an_object_is_fetched(fetcher, environment):
    for key, content in OBJECTS.items():
        assert b"".join(fetcher.read(f"s3://{environment}/{key}")) == content


def test_everything_below_a_prefix_is_fetched_by_key(fetcher, environment):
    def found(place):
        pairs = fetcher.read_all(f"s3://{environment}/{place}")
        return {key: b"".join(content) for key, content in pairs}

    below = {key: data for key, data in OBJECTS.items() if key.startswith("dir/")}
    assert found("dir") == found("dir/") == below
    assert found("") == OBJECTS
    assert list(found("dir/*.txt")) == ["dir/a.txt", "dir/b c.txt"]
    assert list(found("**.csv")) == ["dir/sub/d%e.csv", "dir/sub/ü+.csv", "dirx/z.csv"]
    assert list(found("dir/[!a]*.txt")) == ["dir/b c.txt"]
    assert list(found("???.txt")) == ["top.txt"]


@pytest.mark.parametrize("place", ["none", "none/", "di", "dir/*.none"])
def test_a_prefix_with_nothing_below_is_told(fetcher, environment, place):
    with pytest.raises(NotFound, match=f"there is nothing at s3://{environment}/"):
        list(fetcher.read_all(f"s3://{environment}/{place}"))


@pytest.mark.parametrize(
    ("url", "error", "sentence"),
    [
        ("s3://{}/none", NotFound, "there is nothing at"),
        ("s3://{}/dir", NotFound, "there is nothing at"),
        ("s3://{}/dir/", InvalidInput, "names no object; add -r"),
        ("s3://{}/*", InvalidInput, "may mean several objects"),
        ("s3://{}/a/../b", InvalidInput, "can't be fetched"),
        ("s3://{}/a//b", InvalidInput, "can't be fetched"),
        ("s3://no-such-bucket-here/x", NotFound, "there is nothing at"),
    ],
)
def test_what_can_not_be_fetched_is_one_sentence(fetcher, environment, url, error, sentence):
    with pytest.raises(error, match=sentence) as caught:
        b"".join(fetcher.read(url.format(environment)))

    assert "\n" not in str(caught.value)


def test_a_bucket_that_is_not_there_is_told_when_it_is_listed(fetcher):
    with pytest.raises(NotFound, match="there is no bucket 'no-such-bucket-here'"):
        list(fetcher.read_all("s3://no-such-bucket-here/x"))


def test_an_object_that_is_too_large_is_not_fetched(environment):
    small = as_typed(bytes_max=1000, seconds_max=60, plain_http=True)

    with pytest.raises(Exception, match="it is larger than 1,000 bytes"):
        b"".join(small.read(f"s3://{environment}/big"))


def test_a_server_reads_only_the_buckets_that_are_listed(environment):
    limits = Limits(bytes_max=1 << 30, seconds_max=60)
    policy = allow_list(f"s3://{environment}/dir/*")
    server = Fetcher(policy=policy, limits=limits, plain_http=True)

    assert b"".join(server.read(f"s3://{environment}/dir/a.txt")) == OBJECTS["dir/a.txt"]
    for url in (f"s3://{environment}/top.txt", f"gs://{environment}/dir/a.txt"):
        with pytest.raises(NotAllowed, match="does not list it"):
            b"".join(server.read(url))


def test_a_command_puts_a_prefix_and_an_archive_out_of_a_bucket(command, environment):
    command("trunkline", "create", "repo", "r")
    place = f"s3://{environment}"

    command("trunkline", "put", "file", "r@a:/in", "-r", "-f", f"{place}/dir")
    command("trunkline", "put", "file", "r@b", "-f", f"{place}/big", "-f", f"{place}/*.txt")
    failed = command("trunkline", "put", "file", "r@c", "-f", f"{place}/none", ok=False)
    there = ("--server-fetch", "-f", f"{place}/big")
    denied = command("trunkline", "put", "file", "r@c:/x", *there, ok=False)

    def listed(branch):
        shown = command("trunkline", "list", "file", f"r@{branch}", "-r", "-o", "json").stdout
        return {info["path"]: info["size_bytes"] for info in json.loads(shown)}

    inside = {k.replace("dir/", "in/"): len(v) for k, v in OBJECTS.items() if k.startswith("dir/")}
    assert listed("a") == inside
    assert listed("b") == {"big": len(OBJECTS["big"]), "top.txt": 3}
    assert (failed.returncode, denied.returncode) == (3, 5)


# --- without a server -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "store", "bucket", "key", "account"),
    [
        ("s3://my-bucket/a/b", "s3", "my-bucket", "a/b", None),
        ("S3A://my-bucket/a b?c#d", "s3", "my-bucket", "a b?c#d", None),
        ("gcs://bucket", "gs", "bucket", "", None),
        ("gs://bucket/", "gs", "bucket", "", None),
        ("az://container/x", "az", "container", "x", None),
        ("as://container/x", "az", "container", "x", None),
        ("wasb://box@account1/x", "az", "box", "x", "account1"),
        ("wasbs://box@account1.blob.core.windows.net/x", "az", "box", "x", "account1"),
        ("abfss://box@account1.dfs.core.windows.net/x", "az", "box", "x", "account1"),
    ],
)
def test_urls_of_stores_are_taken_apart(url, store, bucket, key, account):
    assert parse_url(url) == StoreUrl(store=store, bucket=bucket, key=key, account=account)


@pytest.mark.parametrize(
    ("key", "prefix"),
    [("a/b", "a/b"), ("a/b/", "a/b"), ("a/b*", "a"), ("*", ""), ("a/**/b?", "a"), ("", "")],
)
def test_the_part_before_a_wild_card_is_listed(key, prefix):
    assert key_prefix(StoreUrl(store="s3", bucket="bucket", key=key)) == prefix


def test_too_many_stars_are_refused():
    with pytest.raises(InvalidInput, match="more than 8 stars"):
        key_prefix(StoreUrl(store="s3", bucket="bucket", key="a*" * 9))


def test_a_store_that_nobody_answers_for_is_told(monkeypatch):
    for name, value in {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_REGION": "c",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("trunkline.fetch.objects.RETRIES_MAX", 0)

    with pytest.raises(Unavailable, match="can't be reached"):
        b"".join(as_typed(bytes_max=1, seconds_max=5, plain_http=True).read("s3://nobody/x"))


def test_without_the_library_the_extra_is_named():
    program = (
        "import sys; sys.modules['obstore'] = None\n"
        "from trunkline.fetch.fetcher import as_typed\n"
        "try: list(as_typed(bytes_max=1, seconds_max=1, plain_http=False).read('s3://bucket/x'))\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert done.stdout.startswith("NotSupported object stores need the extra 's3'; install")


def test_nothing_of_it_is_loaded_for_other_urls():
    program = (
        "import sys; import trunkline.connect.urls, trunkline.cli.urls\n"
        "print('obstore' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert done.stdout == "False\n"
