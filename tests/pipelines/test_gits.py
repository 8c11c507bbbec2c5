"""Which look at a remote makes which commit, in whatever order looks end; how a spec is read."""

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import InvalidSpec
from trunkline.model.pipelines import Git, PipelineSpec, SecretUse
from trunkline.pipelines import gits
from trunkline.pipelines.git_tables import GitRow
from trunkline.pipelines.inputs import git_leaves, git_secrets, shorthand
from trunkline.pipelines.spec import spec_from_document

URL = "https://git.example.com/team/models.git"


# --- which look makes which commit ----------------------------------------------------------------

ONE = Git(url=URL, branch="master")
OTHER = replace(ONE, branch="other")


def row(pipeline: str, git: Git = ONE, commit: str = "") -> GitRow:
    return GitRow(pipeline=pipeline, repo=f"{pipeline}_x", git=git, owned=True, commit=commit)


def test_an_input_that_is_elsewhere_gets_a_commit_and_the_others_none() -> None:
    rows = [row("a", commit="1"), row("b"), row("c", commit="2"), row("d", OTHER)]

    found = gits.news(rows, gits.standing(rows), {ONE: "2"})

    assert found == [row("a", commit="2"), row("b", commit="2")]


def test_an_input_that_moved_or_came_since_the_look_began_is_left_to_the_next_one() -> None:
    before = gits.standing([row("moved", commit="1")])

    assert gits.news([row("moved", commit="3"), row("new")], before, {ONE: "2"}) == []


@dataclass
class _World:
    """A remote, a catalog, and looks that are under way, of which each took down what it saw."""

    remote: int = 1
    rows: dict[str, GitRow] = field(default_factory=dict)
    looks: list[tuple[dict[tuple[str, str], str], str]] = field(default_factory=list)
    made: dict[str, list[str]] = field(default_factory=dict)

    def look(self) -> None:
        self.looks.append((gits.standing(self.rows.values()), str(self.remote)))

    def end(self, which: int) -> None:
        before, seen = self.looks.pop(which % len(self.looks))
        for new in gits.news(self.rows.values(), before, {ONE: seen}):
            self.rows[new.pipeline] = new
            self.made[new.pipeline].append(new.commit)


STEPS = st.one_of(
    st.sampled_from(["push", "look", "crash"]).map(lambda word: (word, 0)),
    st.tuples(st.sampled_from(["end", "create", "delete"]), st.integers(0, 3)),
)


@given(st.lists(STEPS, max_size=40))
def test_however_looks_end_no_commit_is_lost_or_doubled_nor_goes_back(steps) -> None:
    world = _World()
    for word, number in steps:
        name = "abcd"[number]
        match word:
            case "push":
                world.remote += 1
            case "look":
                world.look()
            case "crash":  # what was under way is forgotten, and what was recorded is not
                world.looks.clear()
            case "end" if world.looks:
                world.end(number)
            case "create" if name not in world.rows:
                world.rows[name] = row(name)
                world.made[name] = []
            case "delete":
                world.rows.pop(name, None)
                world.made.pop(name, None)
    while world.looks:
        world.end(0)
    world.look()
    world.end(0)

    for name, made in world.made.items():
        assert made == sorted(set(made), key=int), name
        assert made[-1] == str(world.remote), name
        assert world.rows[name].commit == made[-1]


# --- in specs -------------------------------------------------------------------------------------


def spec(pipeline: str = "p", **git: object) -> PipelineSpec:
    project, _, name = pipeline.rpartition("/")
    document = {
        "pipeline": {"name": name, **({"project": {"name": project}} if project else {})},
        "transform": {"cmd": ["true"]},
        "input": {"git": {"URL": URL, **git}},
    }
    return spec_from_document(document)


def leaf(found: PipelineSpec):
    [(one, _)] = git_leaves(found.input)
    return one


def test_a_git_input_reads_the_repo_of_its_checkouts() -> None:
    plain, named = leaf(spec()), leaf(spec(name="code", repo="mine", branch="a/b"))

    assert (plain.name, plain.repo, plain.branch, plain.glob) == (
        *("models", "p_models", "master"),
        "/",
    )
    assert plain.git == Git(url=URL, branch="master")
    assert (named.name, named.repo, named.branch) == ("code", "mine", "master")
    assert named.git == Git(url=URL, branch="a/b")
    assert shorthand(named) == "code:a/b"


def test_its_repo_is_in_the_project_of_the_pipeline_unless_another_is_named() -> None:
    assert leaf(spec("vision/p")).repo == "vision/p_models"
    assert leaf(spec("vision/p", project="default")).repo == "p_models"


def test_what_a_spec_leaves_out_is_written_into_it() -> None:
    document = spec().document["input"]

    assert document == {
        "git": {"name": "models", "repo": "p_models", "URL": URL, "branch": "master"}
    }


def test_its_secret_is_one_of_the_pipeline() -> None:
    found = spec(secret={"name": "forge", "key": "token"})

    assert git_secrets(found.input) == (SecretUse(name="forge", key="token"),)
    assert URL in repr(found)


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("HTTPS://Git.Example.com:443/a/b.git", "https://git.example.com/a/b.git"),
        ("http://git.example.com:8080/a/b", "http://git.example.com:8080/a/b"),
        ("git://git.example.com/a/b", "git://git.example.com/a/b"),
        ("git://git.example.com:9418/a/b", "git://git.example.com/a/b"),
        ("git://[::1]:99/a/b", "git://[::1]:99/a/b"),
    ],
)
def test_a_url_is_followed_in_its_usual_spelling(url: str, seen: str) -> None:
    assert leaf(spec(URL=url)).git == Git(url=seen, branch="master")
    assert leaf(spec(URL=url)).name == "b"


@pytest.mark.parametrize(
    ("git", "sentence"),
    [
        ({"URL": ""}, "input must specify a URL: 'input.git' has none"),
        ({"URL": "ssh://git@host/a.git"}, "only https, http and git URLs can"),
        ({"URL": "git@host:a.git"}, "can't be followed"),
        ({"URL": "file:///srv/a.git"}, "can be served by `git daemon`"),
        ({"URL": "/srv/a.git"}, "can't be followed"),
        ({"URL": "ext::sh -c id"}, "can't be followed"),
        ({"URL": "--upload-pack=id"}, "can't be followed"),
        ({"URL": "https://user:word@host/a.git"}, "it has a user name or password"),
        ({"URL": "https://host/a.git?x=1"}, "no query"),
        ({"URL": "https://host/"}, "it names a host, but no repository"),
        ({"URL": "https://host/a b.git"}, "it has a space"),
        ({"URL": "https://2130706433/a.git"}, "its host is a number"),
        ({"URL": "https://host/my.models"}, "'my.models' is not a pfs input name"),
        ({"branch": "-x"}, "'input.git.branch' is '-x', and git lets no branch be called so"),
        ({"branch": "a..b"}, "git lets no branch"),
        ({"branch": "a b"}, "git lets no branch"),
        ({"branch": "refs/heads/*"}, "git lets no branch"),
        ({"branch": "x:y"}, "git lets no branch"),
        ({"name": "out"}, 'input cannot be named "out"'),
        ({"repo": "p"}, "can't go to the pipeline's own output repo"),
        ({"secret": {"name": "x"}}, "'input.git.secret' needs a `name` and a `key`"),
        ({"commit": "HEAD"}, "'input.git.commit' is not supported yet"),
    ],
)
def test_a_git_input_that_can_not_be_is_refused(git: dict[str, object], sentence: str) -> None:
    with pytest.raises(InvalidSpec, match=sentence) as caught:
        spec(**git)

    assert "word" not in str(caught.value).replace("password", "")


@pytest.mark.parametrize(
    ("second", "sentence"),
    [
        ({"git": {"URL": URL, "name": "a", "repo": "r"}}, "two git inputs write in repo 'r'"),
        (
            {"cron": {"name": "t", "spec": "@daily", "repo": "r"}},
            "a cron and a git input write in repo 'r'",
        ),
    ],
)
def test_no_two_inputs_write_to_one_repo(second: dict[str, object], sentence: str) -> None:
    first = {"git": {"URL": URL, "repo": "r"}}
    document = {
        "pipeline": {"name": "p"},
        "transform": {"cmd": ["true"]},
        "input": {"union": [first, second]},
    }
    with pytest.raises(InvalidSpec, match=sentence):
        spec_from_document(document)


def test_a_checkout_alone_has_no_key_for_a_join() -> None:
    document = {
        "pipeline": {"name": "p"},
        "transform": {"cmd": ["true"]},
        "input": {"join": [{"git": {"URL": URL}}]},
    }
    with pytest.raises(InvalidSpec, match="has none; a checkout can have none: cross it with"):
        spec_from_document(document)
