"""What counts in the identity of work, and that different work is never taken for equal."""

import dataclasses
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.files.manifest import RootId
from trunkline.model.versions import FileType
from trunkline.pipelines.datums import Datum, DatumFile
from trunkline.pipelines.identity import datum_key, salt
from trunkline.pipelines.spec import spec_from_document


def file(name: str = "in", path: str = "a", digest: str = "d" * 64, **other: object) -> DatumFile:
    described = {
        "name": name,
        "repo": "repo",
        "commit": "commit",
        "root": RootId("0" * 64),
        "path": path,
        "type": FileType.FILE,
        "size_bytes": 1,
        "digest": digest,
    }
    return DatumFile(**(described | other))  # type: ignore[arg-type]


def key(*files: DatumFile, pipeline: str = "p", salt: str = "s") -> str:
    return datum_key(pipeline, Datum(files=files), salt)


def test_the_key_of_a_datum_never_changes() -> None:
    # A golden vector: results remembered by every installation hang on it.
    files = (
        file("attributes", "test1.csv", "ab" * 32),
        file("train", "", "cd" * 32, type=FileType.DIR),
    )

    found = key(*files, pipeline="inference", salt="ef" * 32)

    assert found == "a12b46de35a9947aa58f0e539cc3050b8270cede7f0d0da7c4f83a0f7e8c0c33"


def test_the_key_of_a_datum_of_a_join_or_group_never_changes() -> None:
    # A golden vector, as above.
    files = (
        file("sales", "7/b.csv", "ab" * 32, join_on="7", group_by=""),
        file("sales", "7/a.csv", "ab" * 32, join_on="7"),
        file("model", "", "cd" * 32, type=FileType.DIR),
    )

    found = key(*files, pipeline="inference", salt="ef" * 32)

    assert found == "f997df36110f322826968516ef9170edfdfb031c36e4e56281f0757c65acad6e"


def test_the_salt_of_a_spec_never_changes() -> None:
    # A golden vector: another value would recompute everything after an upgrade.
    document = {
        "pipeline": {"name": "inference"},
        "transform": {
            "image": "nb-to-prod:infer",
            "cmd": ["/bin/bash"],
            "stdin": ["python3 /code/infer.py"],
            "env": {"B": "2", "A": "1"},
            "accept_return_code": [4, 3],
        },
        "input": {"pfs": {"repo": "a", "glob": "/"}},
    }

    found = salt(spec_from_document(document), code="ab" * 32, nonce="n")

    assert found == "14c80ff16611b3a90af89ed7fd7b3ac2bc610fdd73d699c1aff536268f42d750"


def test_the_salt_of_a_spec_that_runs_in_containers_never_changes() -> None:
    # A golden vector, as above. What counts is what is in the image, not what it is called.
    documents = [
        {
            "pipeline": {"name": "inference"},
            "transform": {"image": name, "cmd": ["/bin/bash"], "image_pull_secrets": secrets},
            "input": {"pfs": {"repo": "a", "glob": "/"}},
        }
        for name, secrets in (("nb-to-prod:infer", ["hub"]), ("mirror/infer:2", []))
    ]

    found = {
        salt(spec_from_document(document), code="", image_id=f"sha256:{'cd' * 32}")
        for document in documents
    }

    assert found == {"dd6588e0b2690c666edbf6f911c87363cde2856a427ca1fe29b37bcd763e9767"}


@pytest.mark.parametrize(
    "other",
    [
        {"name": "in2"},
        {"path": "b"},
        {"digest": "e" * 64},
        {"type": FileType.DIR},
        {"join_on": ""},
        {"join_on": "x"},
        {"group_by": ""},
    ],
)
def test_what_the_code_could_see_counts(other: dict[str, object]) -> None:
    assert key(file(**other)) != key(file())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "other",
    [{"repo": "r2"}, {"commit": "c2"}, {"root": RootId("1" * 64)}, {"size_bytes": 2}],
)
def test_where_equal_content_comes_from_does_not_count(other: dict[str, object]) -> None:
    assert key(file(**other)) == key(file())


def test_pipeline_and_salt_count() -> None:
    assert len({key(file()), key(file(), pipeline="q"), key(file(), salt="t")}) == 3


def test_the_order_of_a_crosss_members_does_not_count() -> None:
    assert key(file("a"), file("b")) == key(file("b"), file("a"))


def test_the_order_of_the_files_of_one_input_does_not_count() -> None:
    files = [file("a", "x"), file("a", "y"), file("a", "y", type=FileType.DIR), file("b", "")]

    assert {key(*order) for order in itertools.permutations(files)} == {key(*files)}


BYTES = st.text(st.sampled_from("\0\1ab"), max_size=3)
KEYS = st.none() | st.sampled_from(["", "0", "1", "a"])
FIELDS = st.tuples(
    BYTES,
    BYTES,
    st.lists(
        st.tuples(BYTES, BYTES, st.sampled_from(FileType), BYTES.filter(bool), KEYS, KEYS),
        max_size=3,
        unique_by=lambda each: each[:4],
    ),
)


@given(one=FIELDS, other=FIELDS)
def test_no_two_descriptions_have_one_key(one, other) -> None:
    def key_of(fields) -> str:
        pipeline, salted, files = fields
        described = [file(n, p, d, type=t, join_on=j, group_by=g) for n, p, t, d, j, g in files]
        return key(*described, pipeline=pipeline, salt=salted)

    def plain(fields) -> object:
        return (fields[:2], sorted(map(repr, fields[2])))

    assert (key_of(one) == key_of(other)) == (plain(one) == plain(other))


CHANGES = [
    {"image": "other"},
    {"cmd": ["cp", "-a"]},
    {"cmd": ["cp", ""]},
    {"cmd": ["cp -a"]},
    {"stdin": ["-a"]},
    {"stdin": [""]},
    {"stdin": ["", ""]},
    {"err_cmd": ["-a"]},
    {"err_stdin": ["-a"]},
    {"env": {"A": "1"}},
    {"env": {"A": "12"}},
    {"env": {"A1": "2"}},
    {"user": "x"},
    {"working_dir": "x"},
    {"accept_return_code": [1]},
    {"accept_return_code": [1, 2]},
    {"accept_return_code": [12]},
]


def test_everything_that_can_change_results_changes_the_salt(minimal: dict[str, object]) -> None:
    salts = {salt(spec_from_document(minimal), code="")}
    for change in CHANGES:
        document = minimal | {"transform": {"cmd": ["cp"]} | change}
        salts.add(salt(spec_from_document(document), code=""))
    empty = {"input": {"pfs": {"repo": "images", "glob": "/*", "empty_files": True}}}
    salts.add(salt(spec_from_document(minimal | empty), code=""))
    salts.add(salt(spec_from_document(minimal | {"incremental": True}), code=""))
    salts.add(salt(spec_from_document(minimal), code="c"))
    salts.add(salt(spec_from_document(minimal), code="", nonce="c"))
    salts.add(salt(spec_from_document(minimal | {"salt": "c"}), code=""))

    assert len(salts) == len(CHANGES) + 6


@pytest.mark.parametrize(
    "change",
    [
        {"parallelism_spec": {"constant": 3}},
        {"description": "x"},
        {"datum_tries": 1},
        {"datum_timeout": "1s"},
        {"job_timeout": "1s"},
        {"resource_limits": {"memory": "1G"}},
        {"output_merge": "concat"},
        {"output_branch": "x"},
        {"reprocess_spec": "every_job"},
        {"autoscaling": True},
        {"pipeline": {"name": "other"}},
        {"input": {"pfs": {"repo": "other", "glob": "/"}}},
        {"transform": {"cmd": ["cp"], "debug": True, "accept_return_code": []}},
    ],
)
def test_what_cannot_change_results_keeps_the_salt(
    change: dict[str, object], minimal: dict[str, object]
) -> None:
    before = salt(spec_from_document(minimal), code="c")

    assert salt(spec_from_document(minimal | change), code="c") == before


def test_the_order_of_variables_and_codes_does_not_count(minimal: dict[str, object]) -> None:
    one = {"cmd": ["cp"], "env": {"A": "1", "B": "2"}, "accept_return_code": [3, 4, 3]}
    two = {"cmd": ["cp"], "env": {"B": "2", "A": "1"}, "accept_return_code": [4, 3]}

    first, second = (
        salt(spec_from_document(minimal | {"transform": transform}), code="")
        for transform in (one, two)
    )

    assert first == second


def test_a_datum_without_content_digest_has_no_identity() -> None:
    with pytest.raises(AssertionError, match="no content digest"):
        key(dataclasses.replace(file(), digest=""))
