"""What a spec asks for, and the lock that keeps it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import Corrupt, InvalidInput
from trunkline.pipelines import requirements
from trunkline.pipelines.requirements import asked, file_in_code, made, options, parse

GOLDEN = Path(__file__).parents[1] / "golden" / "requirements-lock" / "v1.txt"
HASH = "--hash=sha256:" + "0" * 64


def test_a_lock_reads_and_writes_as_the_first_version_did() -> None:
    lock = parse(GOLDEN.read_bytes())

    assert lock.made_for == "cpython 3.11 on linux-x86_64"
    assert lock.asked == "0f" * 32
    assert lock.packages == (
        "alpha==1.0",
        "beta @ git+https://example.org/beta@0123456789abcdef0123456789abcdef01234567",
    )
    assert not lock.hashed
    assert lock.text().encode() == GOLDEN.read_bytes()


@given(st.binary(max_size=60))
def test_what_is_no_lock_is_refused(data: bytes) -> None:
    with pytest.raises(Corrupt, match="lock of a pipeline's packages"):
        parse(data)


@pytest.mark.parametrize(
    ("text", "file"),
    [
        ("requirements.txt", "requirements.txt"),
        (" needs/all.txt\n", "needs/all.txt"),
        ("numpy", None),
        ("numpy\npandas", None),
        ("-r requirements.txt", None),
        ("numpy==2.*", None),
        ("", None),
    ],
)
def test_one_word_that_ends_in_txt_is_a_file(text: str, file: str | None) -> None:
    assert file_in_code(text) == file


def test_only_lines_that_say_where_packages_are_go_into_the_lock() -> None:
    text = (
        "# x\n--index-url  https://a/simple  # mine\n--find-links=/w\nnumpy\n-r b.txt\n--no-index"
    )

    assert options(text) == ("--index-url https://a/simple", "--find-links=/w", "--no-index")


def test_what_is_asked_for_depends_on_the_code_only_where_files_are_included() -> None:
    assert asked("numpy", code="a") == asked("numpy", code="b") != asked("pandas", code="a")
    assert asked("-r b.txt", code="a") != asked("-r b.txt", code="b")
    assert asked("# -r b.txt\nnumpy", code="a") == asked("# -r b.txt\nnumpy", code="b")


@pytest.mark.parametrize(
    "entry", ["./alpha", "-e ./alpha", "alpha @ file:///alpha", "a @ git+https://x/a@main"]
)
def test_a_package_without_fixed_content_gets_no_lock(entry: str) -> None:
    with pytest.raises(InvalidInput, match="no fixed content"):
        made(f"beta==1 \\\n    {HASH}\n{entry}\n", made_for="x", asked="y", places=())


def test_what_has_a_hash_or_a_commit_gets_one() -> None:
    lock = made(
        f"alpha==1 \\\n    {HASH}\n    # via x\nbeta @ file:///b.whl \\\n    {HASH}\n",
        made_for="x",
        asked="y",
        places=("--no-index",),
    )

    assert lock.packages == ("alpha==1", "beta @ file:///b.whl")
    assert lock.hashed
    assert requirements.parse(lock.text().encode()) == lock


@pytest.mark.parametrize(
    ("made_for", "minor", "told"),
    [
        ("cpython 3.11 or newer on linux", "3.13", ""),
        ("cpython 3.11 or newer on linux", "3.9", "they are locked for Python 3.11 or newer"),
        ("cpython 3.11 on linux-x86_64", "3.11", ""),
        ("cpython 3.11 on linux-x86_64", "3.12", "they are locked for Python 3.11"),
    ],
)
def test_a_lock_says_for_which_python_it_is(made_for: str, minor: str, told: str) -> None:
    lock = made("", made_for=made_for, asked="", places=())

    assert lock.lacking("cpython", minor) == told


def test_packages_of_any_python_are_shown_with_what_they_are_for() -> None:
    lines = (
        "click==8.5.1 ; sys_platform == 'linux' \\\n    --hash=sha256:aa\n"
        "numpy==2.4.6 ; python_full_version < '3.12' and sys_platform == 'linux' --hash=sha256:bb\n"
    )
    lock = made(lines, made_for="", asked="", places=())

    assert lock.packages == ("click==8.5.1", "numpy==2.4.6 ; python_full_version < '3.12'")
