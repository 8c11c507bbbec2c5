"""Full names, addresses and names of jobs: parse, print, and parse again."""

import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline import errors
from trunkline.errors import InvalidInput, InvalidName
from trunkline.model import names
from trunkline.model.names import (
    Address,
    bare_name,
    check_full_name,
    full_name,
    in_project,
    job_in_project,
    parse_address,
    parse_job,
    project_of,
)

words = st.from_regex(r"[a-z0-9][a-zA-Z0-9_-]{0,20}", fullmatch=True)
projects = st.one_of(st.just("default"), words)
RUN = "5c0606144d234fa09d25e682589b0a8b"


@given(project=projects, name=words)
def test_a_full_name_can_be_taken_apart_and_is_right(project: str, name: str) -> None:
    full = full_name(project, name)

    assert (project_of(full), bare_name(full)) == (project, name)
    assert check_full_name("repo", full) == full
    assert in_project("other", f"{project}/{name}") == full
    assert in_project(project, name) == full


@given(first=st.tuples(projects, words), second=st.tuples(projects, words))
def test_two_things_never_have_one_full_name(first, second) -> None:
    assert (full_name(*first) == full_name(*second)) is (first == second)


@given(project=projects, own=projects, name=words, ref=words, path=st.text(max_size=20))
def test_an_address_names_its_project_or_takes_the_given_one(
    project: str, own: str, name: str, ref: str, path: str
) -> None:
    plain = parse_address(f"{name}@{ref}:{path}", project=project)
    named = parse_address(f"{own}/{name}@{ref}:{path}", project=project)

    assert plain == Address(repo=full_name(project, name), ref=ref, path=path)
    assert named == Address(repo=full_name(own, name), ref=ref, path=path)
    printed = parse_address(f"{named.repo}@{ref}")  # what we print is read again as the same
    assert printed == Address(repo=named.repo, ref=ref)


@pytest.mark.parametrize(
    ("text", "repo", "ref"),
    [
        ("training/master", "p/training", "master"),
        ("q/training/master", "q/training", "master"),
        ("default/training/master", "training", "master"),
        ("training", "p/training", None),
        ("training/master^2", "p/training", "master^2"),
    ],
)
def test_a_slash_without_an_at_sign_is_that_of_1_7_on_a_command_line(
    text: str, repo: str, ref: str | None
) -> None:
    assert parse_address(text, project="p", classic=True) == Address(repo=repo, ref=ref)


@pytest.mark.parametrize(
    ("text", "repo", "path"),
    [("q/training", "q/training", None), ("q/training:/a/b", "q/training", "/a/b")],
)
def test_elsewhere_a_slash_is_behind_a_project(text: str, repo: str, path: str | None) -> None:
    assert parse_address(text, project="p") == Address(repo=repo, ref=None, path=path)


@pytest.mark.parametrize("text", ["", "@master", "p/@master", "a@", "a/", "/a", ":/x", "p/a@:/x"])
def test_an_address_without_a_repo_or_reference_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="does not name a repo or commit"):
        parse_address(text)


@pytest.mark.parametrize("name", ["a/b/c", "/a", "a/", "default/a", "_p/a", "p/ä", "p" * 52 + "/a"])
def test_what_is_no_full_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidName):
        check_full_name("pipeline", name)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"train@{RUN}", ("p/train", RUN)),
        (f"train/{RUN}", ("p/train", RUN)),
        (f"q/train@{RUN}", ("q/train", RUN)),
        (f"q/train/{RUN}", ("q/train", RUN)),
        (f"default/train@{RUN}", ("train", RUN)),
        ("train@master^2", ("p/train", "master^2")),
        (f"train/{RUN}^", ("p/train", f"{RUN}^")),
        ("train", ("p/train", "")),
        ("q/train", ("q/train", "")),
        (f"{RUN}@master", (f"p/{RUN}", "master")),
        (RUN, ("", RUN)),
    ],
)
def test_all_spellings_of_a_job(text: str, found: tuple[str, str]) -> None:
    assert parse_job(text, project="p") == found
    assert parse_job(job_in_project("p", text)) == found


@pytest.mark.parametrize(
    "text", ["", "@", "@master", "p/@master", "p/", "a@", "a^", f"{RUN}^", "a.1"]
)
def test_what_is_no_name_of_a_job_is_refused_with_the_spellings(text: str) -> None:
    with pytest.raises(InvalidInput, match="does not name a job; write pipeline@id"):
        parse_job(text)


def test_what_is_printable_needs_no_look_for_control_characters():
    """`check_path` and `errors.plain` look for them only in text that is not printable."""
    every = "".join(map(chr, range(sys.maxunicode + 1)))

    for pattern in (names._CONTROL, errors._UNPRINTABLE):
        assert not [found for found in re.findall(pattern, every) if found.isprintable()]
