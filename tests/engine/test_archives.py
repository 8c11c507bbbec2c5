"""Archives that are put: all of one or nothing, whether the content travels or lies in a file."""

import bz2
import gzip
import lzma
import os
import random

import pytest
from archives import END, entry, header, raw_zip, tar_of, zip_of

from trunkline.api.changes import PutFile, PutLocal, Unpack
from trunkline.errors import InvalidArchive, InvalidInput, PathConflict

FILES = {"a.txt": b"a", "dir/b": b"b" * 3000, "dir/sub/ü": b"", "big": bytes(3_000_000)}
TEXTS = {path: data.decode() for path, data in FILES.items()}


def packed():
    plain = tar_of(FILES)
    forms = {"tar": plain, "zip": zip_of(FILES), "gz": gzip.compress(plain)}
    return {**forms, "bz2": bz2.compress(plain), "xz": lzma.compress(plain)}


def put(driver, data, path="/", *, form="auto", links="refuse", append=False, branch="master"):
    change = PutFile(
        path=path,
        content=[data[at : at + 100_000] for at in range(0, len(data), 100_000)],
        append=append,
        unpack=Unpack(format=form, links=links),
    )
    return driver.engine.files.modify_files("data", branch, [change])


@pytest.fixture
def data(engine):
    engine.engine.repos.create_repo("data")
    return engine


@pytest.mark.parametrize("form", ["tar", "zip", "gz", "bz2", "xz"])
def test_an_archive_becomes_its_files(data, form):
    put(data, packed()[form])

    assert data.tree("data") == TEXTS


def test_a_local_archive_is_read_where_it_lies(data, tmp_path):
    for form, content in packed().items():
        source = tmp_path / form
        source.write_bytes(content)
        about = source.stat()
        change = PutLocal(
            path=form,
            source=str(source),
            device=about.st_dev,
            inode=about.st_ino,
            unpack=Unpack(),
        )

        data.engine.files.modify_files("data", form, [change])

        assert data.tree("data", form) == {f"{form}/{path}": text for path, text in TEXTS.items()}


def test_a_directory_is_no_archive(data, tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").touch()
    about = os.stat(tmp_path / "d")
    change = PutLocal(
        path="x",
        source=str(tmp_path / "d"),
        device=about.st_dev,
        inode=about.st_ino,
        unpack=Unpack(),
    )

    with pytest.raises(InvalidInput, match="is a directory; name the archives"):
        data.engine.files.modify_files("data", "master", [change])


@pytest.mark.parametrize(
    ("archive", "reason"),
    [
        (entry(b"ok", b"1") + header(b"../evil") + END, "entry 2 of the archive, '../evil'"),
        (entry(b"ok", b"1") + entry(b"cut", b"x" * 600)[:-300], "broke off"),
        (entry(b"ok", b"1") + header(b"l", kind=b"2", link=b"ok") + END, "symbolic link; --links"),
        (entry(b"ok", b"1") + header(b"d", kind=b"3") + END, "it is a character device; --links"),
        (raw_zip((b"ok", b"1"), (b"/evil", b"")), "entry 2 of the archive, '/evil'"),
        (gzip.compress(tar_of({"ok": b"1"}), mtime=0)[:-4], "the gzip stream broke off"),
        (gzip.compress(bytes(100_000_000), mtime=0), "more than 200 times its size"),
        (b"just text", "neither a tar nor a zip archive"),
        (b"", "there is nothing"),
    ],
)  # fmt: skip
def test_one_bad_entry_changes_nothing(data, archive, reason):
    data.put("data", {"before": "x"})
    head = data.head("data")

    with pytest.raises(InvalidArchive, match=reason) as caught:
        put(data, archive)

    assert str(caught.value).endswith("; nothing was changed")
    assert data.head("data") == head
    assert data.tree("data") == {"before": "x"}


def test_the_wrong_format_is_told(data):
    with pytest.raises(InvalidArchive, match="it is not a zip archive"):
        put(data, packed()["tar"], form="zip")
    with pytest.raises(InvalidArchive, match="it is not a tar archive"):
        put(data, packed()["zip"], form="tar")


def test_a_file_that_would_be_a_directory_too_changes_nothing(data):
    with pytest.raises(PathConflict):
        put(data, entry(b"a", b"1") + entry(b"a/b", b"2") + END)
    with pytest.raises(PathConflict):
        put(data, raw_zip((b"a/b", b"1"), (b"a", b"2")))

    assert list(data.engine.branches.list_branches("data")) == []


def test_the_last_of_several_entries_counts_as_tar_has_it(data):
    put(data, entry(b"a", b"old") + entry(b"b", b"") + entry(b"a", b"new") + END)

    assert data.tree("data") == {"a": "new", "b": ""}


def test_an_archive_may_be_appended_but_not_with_a_name_twice(data):
    put(data, tar_of({"a": b"1"}))
    put(data, tar_of({"a": b"2"}), append=True)

    assert data.tree("data") == {"a": "12"}
    with pytest.raises(
        InvalidArchive, match="entry 2 of the archive, 'a', is refused: it is there"
    ):
        put(data, entry(b"a", b"1") + entry(b"a", b"2") + END, append=True)


LINKS = (
    header(b"early", kind=b"2", link=b"dir/f")
    + entry(b"dir/f", b"content")
    + header(b"dir/near", kind=b"2", link=b"f")
    + header(b"dir/up", kind=b"2", link=b"../dir/./near")
    + header(b"hard", kind=b"1", link=b"./dir/f")
    + END
)


def test_links_are_followed_inside_of_the_archive_or_left_out(data):
    put(data, LINKS, links="follow", branch="follow")
    put(data, LINKS + b"", links="skip", branch="skip")

    names = ("dir/f", "dir/near", "dir/up", "early", "hard")
    assert data.tree("data", "follow") == dict.fromkeys(names, "content")
    assert data.tree("data", "skip") == {"dir/f": "content"}


@pytest.mark.parametrize(
    ("kind", "link", "reason"),
    [
        (b"2", b"/etc/passwd", "a link that leads out of the archive: /etc/passwd"),
        (b"2", b"../../x", "a link that leads out of the archive"),
        (b"2", b"nothing", "it is a link to 'd/nothing', no file of the archive"),
        (b"2", b".", "it is a link to 'd', no file of the archive"),
        (b"2", b"l", "it is a link that leads in a circle"),
        (b"1", b"/etc/passwd", "its name is an absolute path"),
        (b"1", b"../x", "an empty, '.' or '..' part"),
        (b"6", b"", "it is a named pipe, which can't be stored"),
    ],
)
def test_links_that_lead_out_or_nowhere_are_refused(data, kind, link, reason):
    archive = entry(b"d/f", b"1") + header(b"d/l", kind=kind, link=link) + END

    with pytest.raises(InvalidArchive, match=reason):
        put(data, archive, links="follow")


def test_limits_come_from_the_settings_and_are_named(open_engine):
    driver = open_engine(
        TRUNKLINE_ARCHIVE_BYTES_MAX="1000000",
        TRUNKLINE_ARCHIVE_ENTRIES_MAX="3",
        TRUNKLINE_ARCHIVE_RATIO_MAX="10",
    )
    driver.engine.repos.create_repo("data")

    with pytest.raises(InvalidArchive, match="more than 3 entries; TRUNKLINE_ARCHIVE_ENTRIES_MAX"):
        put(driver, tar_of({f"{n}": b"" for n in range(4)}))
    with pytest.raises(InvalidArchive, match="than 1,000,000 bytes; TRUNKLINE_ARCHIVE_BYTES_MAX"):
        put(driver, tar_of({"a": bytes(1_000_000)}))
    with pytest.raises(InvalidArchive, match="larger than 1,000,000 bytes"):
        put(driver, zip_of({"a": random.Random(1).randbytes(1_000_000)}))


def test_archives_travel_to_a_server(remote):
    remote.engine.repos.create_repo("data")

    put(remote, packed()["gz"], "in")
    with pytest.raises(InvalidArchive, match="is refused"):
        put(remote, entry(b"ok", b"1") + header(b"../evil") + END)

    assert remote.tree("data") == {f"in/{path}": text for path, text in TEXTS.items()}
