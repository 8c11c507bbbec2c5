"""What a put makes of links in a directory: the same, whether the server reads it or it is sent."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trunkline.client.local_files import put_local, with_content
from trunkline.errors import InvalidInput, TrunklineError

Put = Callable[..., Any]


@pytest.fixture
def data(engine: Any) -> Any:
    engine.engine.repos.create_repo("data")
    return engine


@pytest.fixture(params=["read by the server", "sent"])
def put(request: pytest.FixtureRequest, data: Any) -> Put:
    def run(source: Path, path: str = "/", *, if_changed: bool = False, **options: Any) -> Any:
        changes: Any = [put_local(path, source, **options)]
        if request.param == "sent":
            changes = with_content(changes)
        return data.engine.files.modify_files("data", "master", changes, if_changed=if_changed)

    return run


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A directory with a link of each kind; beside it what lies outside."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "o").write_text("outside")
    place = tmp_path / "put"
    (place / "d").mkdir(parents=True)
    (place / "a").write_text("a")
    (place / "d" / "b").write_text("b")
    os.symlink("../a", place / "d" / "file")
    os.symlink("d", place / "directory")
    os.symlink("../outside", place / "out")
    os.symlink("../outside/o", place / "out-file")
    return place


PLAIN = {"a": "a", "d/b": "b"}
FOLLOWED = {
    **PLAIN,
    "d/file": "a",
    "directory/b": "b",
    "directory/file": "a",
    "out/o": "outside",
    "out-file": "outside",
}


def test_links_are_left_out_followed_or_refused(data: Any, put: Put, tree: Path) -> None:
    put(tree, "/skip", links="skip")
    put(tree, "/follow", links="follow")
    for links in ("inside", "refuse"):
        with pytest.raises(InvalidInput, match="is a symbolic link"):
            put(tree, "/other", links=links)

    assert data.tree("data") == {
        **{f"skip/{path}": content for path, content in PLAIN.items()},
        **{f"follow/{path}": content for path, content in FOLLOWED.items()},
    }


def test_a_word_that_is_none_is_refused(tree: Path) -> None:
    with pytest.raises(InvalidInput, match="'all' is not what to do about links; use inside, "):
        put_local("/", tree, links="all")


def test_a_mirror_has_what_the_links_mean_today(data: Any, put: Put, tree: Path) -> None:
    put(tree, links="follow")
    (tree / "gone").write_text("gone")
    same = put(tree, mirror=True, if_changed=True, links="skip")
    assert data.tree("data") == {**PLAIN, "gone": "gone"}

    (tree / "gone").unlink()
    (tree.parent / "outside" / "o").write_text("longer than it was")
    put(tree, mirror=True, if_changed=True, links="follow")
    assert data.tree("data") == {
        **FOLLOWED,
        "out/o": "longer than it was",
        "out-file": "longer than it was",
    }
    latest = put(tree, mirror=True, if_changed=True, links="follow")
    assert put(tree, mirror=True, if_changed=True, links="follow").id == latest.id != same.id


def test_what_is_behind_a_link_may_change_without_the_link(data: Any, put: Put, tree: Path) -> None:
    for content in ("one", "two", "six"):  # of the same size, the link not touched
        (tree.parent / "outside" / "o").write_text(content)
        put(tree, links="follow")
        assert data.tree("data")["out/o"] == data.tree("data")["out-file"] == content


def test_one_put_may_skip_links_and_the_next_follow_those_to_files(
    data: Any, put: Put, tree: Path
) -> None:
    for name in ("out", "out-file", "directory"):
        (tree / name).unlink()

    for _ in range(2):
        put(tree, links="skip", mirror=True)
        assert data.tree("data") == PLAIN
        put(tree, mirror=True)
        assert data.tree("data") == {**PLAIN, "d/file": "a"}


def test_a_refused_loop_changes_nothing(data: Any, put: Put, tree: Path) -> None:
    put(tree, links="follow")
    os.symlink("..", tree / "d" / "up")

    with pytest.raises(TrunklineError, match="d/up can't be stored: .* would never end"):
        put(tree, links="follow", mirror=True)
    assert data.tree("data") == FOLLOWED
    put(tree, links="skip", mirror=True)
    assert data.tree("data") == PLAIN


# --- any tree -------------------------------------------------------------------------------------

NAMES = ["a", "b", "c"]
Plan = dict[str, Any]  # name: content, ("link", target), or such a dict
nodes = st.recursive(
    st.one_of(
        st.text("xy", max_size=3),
        st.tuples(
            st.just("link"),
            st.lists(st.sampled_from([*NAMES, ".."]), min_size=1, max_size=3).map("/".join),
        ),
    ),
    lambda inner: st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=8,
)
plans = st.dictionaries(st.sampled_from(NAMES), nodes, max_size=3)


def build(place: Path, plan: Plan) -> None:
    place.mkdir()
    for name, what in plan.items():
        if isinstance(what, dict):
            build(place / name, what)
        elif isinstance(what, tuple):
            os.symlink(what[1], place / name)
        else:
            (place / name).write_text(what)


class _NotStorable(Exception):
    pass


def model(place: Path, links: str, above: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """What `os.path` says is there, by asking for the real path of everything."""
    real = os.path.realpath(place)
    if real in above:
        raise _NotStorable
    for name in sorted(os.listdir(place)):
        child = place / name
        if child.is_symlink():
            if links == "skip":
                continue
            if links == "refuse" or not os.path.exists(child):
                raise _NotStorable
        if child.is_dir():
            inside = model(child, links, (*above, real))
            yield from ((f"{name}/{path}", content) for path, content in inside)
        else:
            yield name, child.read_text()


@given(plan=plans, links=st.sampled_from(["skip", "refuse", "follow"]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_tree_of_links_is_stored_as_the_system_sees_it_or_refused(
    data: Any, tmp_path_factory: pytest.TempPathFactory, plan: Plan, links: str
) -> None:
    place = tmp_path_factory.mktemp("trees") / "put"
    build(place, plan)
    try:
        expected = dict(model(place, links))
    except _NotStorable:
        expected = None

    for sent in (False, True):
        changes: Any = [put_local("/", place, mirror=True, links=links)]
        try:
            commit = data.engine.files.modify_files(
                "data", "master", with_content(changes) if sent else changes
            )
            found = data.tree("data", commit.id)
        except InvalidInput:
            found = None
        assert found == expected
