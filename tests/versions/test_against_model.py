"""Any sequence of changes leaves the catalog as the plain model says, and the invariants hold."""

import importlib.util
import itertools
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from versions_model import VersionsModel

from trunkline.errors import NotFound, TrunklineError
from trunkline.model.versions import SPEC_REPO, BranchName, Origin, is_spec_repo
from trunkline.versions import branches, commits, projects, provenance, repos, trash

HERE = Path(__file__).parent


def _load(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


Catalog = _load(HERE / "conftest.py").Catalog

REPOS = ["a", "b", "p/a", "p/b", "c", "q/a"]
SPECS = [(SPEC_REPO, "p"), (f"p/{SPEC_REPO}", "p")]

repo_names = st.sampled_from(REPOS)
branch_names = st.sampled_from(["master", "master", "dev"])
picks = st.integers(0, 10**6)
many_picks = st.lists(picks, min_size=1, max_size=3)
sizes = st.integers(0, 50)
seldom = st.sampled_from([False] * 9 + [True])


class VersionsMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.catalog = Catalog(Path(self.directory.name) / "catalog.db")
        self.model = VersionsModel(lambda run, n: provenance.derived_run(run, f"part {n}"))
        self.changed = True  # since the invariants were last looked at

    # --- steps ------------------------------------------------------------------------------------

    @initialize(data=st.data())
    def a_graph_with_data(self, data: st.DataObject) -> None:
        """Repos in layers, each derived from some of those before it and a spec."""
        for name in ("p", "q"):
            self.create_project(name)
        for name in REPOS:
            self.create_repo(name)
        self.put_at(*SPECS[0], 1)
        self.put_at("a", "master", 1)
        for index, name in enumerate(REPOS[1:], start=1):
            before = [(repo, "master") for repo in REPOS[:index]]
            chosen = data.draw(st.lists(st.sampled_from(before), max_size=3))
            self.create_branch(name, "master", None, [*chosen, SPECS[0]] if chosen else [])

    @rule(name=st.sampled_from(["p", "q", "q"]))
    def create_project(self, name: str) -> None:
        self.both(
            lambda: self.model.create_project(name),
            lambda: self.catalog.change(
                projects.create_project, name, description="", now=self.catalog.now
            ),
        )

    @rule(name=st.sampled_from(["default", "p", "q", "q"]), empty_first=st.booleans())
    def delete_project(self, name: str, empty_first: bool) -> None:
        for repo in [r for r in REPOS if r.startswith(f"{name}/")] if empty_first else []:
            self.delete_repo(repo, force=True)
        self.both(
            lambda: self.model.delete_project(name),
            lambda: self.catalog.delete_project(name),
        )

    @rule(name=repo_names)
    def create_repo(self, name: str) -> None:
        self.both(lambda: self.model.create_repo(name), lambda: self.catalog.repo(name))

    @rule(name=repo_names)
    def update_repo(self, name: str) -> None:
        self.both(
            lambda: self.model.update_repo(name),
            lambda: self.catalog.change(
                repos.update_repo, name, description="x", now=self.catalog.now
            ),
        )

    @rule(name=repo_names, force=seldom)
    def delete_repo(self, name: str, force: bool) -> None:
        self.both(
            lambda: self.model.delete_repo(name, force),
            lambda: self.catalog.remove_with(
                "repo",
                name,
                lambda tx, entry: trash.keep_repo(tx, entry, name),
                lambda tx: repos.delete_repo(tx, name, force=force, now=self.catalog.now),
            ),
        )

    @rule(pick=picks, anything=seldom, repo=repo_names, branch=branch_names)
    def start(self, pick: int, anything: bool, repo: str, branch: str) -> None:
        where = (repo, branch) if anything else self.input_branch(pick)
        self.finish_head(*where, often=pick % 4)
        self.start_at(*where, None)

    @rule(pick=picks, where=st.sampled_from(["none", "same", "dev"]))
    def start_below(self, pick: int, where: str) -> None:
        if self.model.order:
            repo, parent = self.model.order[pick % len(self.model.order)]
            same = self.model.commits[repo][parent].branch
            self.start_at(repo, {"none": None, "same": same, "dev": "dev"}[where], parent)

    def input_branch(self, pick: int) -> tuple[str, str]:
        """A branch that users write to, or (so that there is one) a@master."""
        there = [name for name, branch in self.model._all_branches() if not branch.sources]
        there = [name for name in there if not is_spec_repo(name[0])] or [("a", "master")]
        return there[pick % len(there)]

    def start_at(self, repo: str, branch: str | None, parent: str | None) -> None:
        when = self.catalog.moment()
        self.both(
            lambda: self.model.start(repo, branch, parent, when["run_id"]),
            lambda: names(self.catalog.start(repo, branch, parent=parent, **when).opened),
        )

    @rule(pick=picks, size=sizes, fails=st.booleans(), output=st.sampled_from([1, 1, 1, 0]))
    def finish(self, pick: int, size: int, fails: bool, output: int) -> None:
        waiting = [n for n in self.model.order if not self.model.commits[n[0]][n[1]].finished]
        there = waiting if pick % 5 else self.model.order
        if not there:
            return
        self.finish_at(*there[pick % len(there)], size, fails, output)

    def finish_head(self, repo: str, branch: str, *, often: int) -> None:
        """Or else most commits would be refused for an open parent."""
        there = self.model.branches.get(repo, {}).get(branch)
        if often and there and there.head and not self.model.commits[repo][there.head].finished:
            self.finish_at(repo, there.head, 3, fails=False, output=1)

    def finish_at(self, repo: str, commit: str, size: int, fails: bool, output: int) -> None:
        error = "it failed" if fails and output else None
        self.both(
            lambda: self.model.finish(repo, commit, size, error, bool(output)),
            lambda: self.catalog.finish(
                repo, commit, size=0 if error else size, error=error, output=bool(output)
            ),
        )

    @rule(pick=picks, size=sizes, stale=seldom)
    def put(self, pick: int, size: int, stale: bool) -> None:
        where = self.input_branch(pick)
        self.finish_head(*where, often=pick % 4)
        self.put_at(*where, size, stale)

    @rule(where=st.sampled_from([*SPECS, *SPECS[:1] * 3]))
    def put_spec(self, where: tuple[str, str]) -> None:
        self.put_at(*where, 1)

    def put_at(self, repo: str, branch: str, size: int, stale: bool = False) -> None:
        there = self.model.branches.get(repo, {}).get(branch)
        head = there.head if there and not stale else None
        when = {**self.catalog.moment(), "expected_head": head}
        self.both(
            lambda: self.model.put(repo, branch, head, size, when["run_id"]),
            lambda: names(self.catalog.put(repo, branch, size, **when).opened),
        )

    @rule(repo=repo_names, branch=branch_names, of=many_picks, missing=seldom)
    def derive(self, repo: str, branch: str, of: list[int], missing: bool) -> None:
        there = [name for name, _ in self.model._all_branches()]
        chosen = [there[pick % len(there)] for pick in of] if there else []
        self.create_branch(repo, branch, None, [*chosen, (repo, "none")] if missing else chosen)

    @rule(pick=picks, most=st.integers(0, 2))
    def derive_less(self, pick: int, most: int) -> None:
        outputs = [(name, b) for name, b in self.model._all_branches() if b.sources]
        if outputs:
            (repo, branch), it = outputs[pick % len(outputs)]
            self.create_branch(repo, branch, None, it.sources[:most])

    @rule(repo=repo_names, branch=branch_names, pick=picks)
    def move(self, repo: str, branch: str, pick: int) -> None:
        there = list(self.model.commits.get(repo, {}))
        self.create_branch(repo, branch, there[pick % len(there)] if there else None, None)

    def create_branch(self, repo, branch, head, of) -> None:
        when = self.catalog.moment()
        given = None if of is None else [BranchName(repo=r, branch=b) for r, b in of]
        self.both(
            lambda: self.model.create_branch(repo, branch, head, of, when["run_id"]),
            lambda: names(
                self.catalog.change(
                    branches.create_branch,
                    repo,
                    branch,
                    head=head and self.catalog.get(f"{repo}@{head}"),
                    provenance=given,
                    **when,
                )
            ),
        )

    @rule(repo=repo_names, branch=branch_names, force=seldom)
    def delete_branch(self, repo: str, branch: str, force: bool) -> None:
        self.both(
            lambda: self.model.delete_branch(repo, branch, force),
            lambda: self.catalog.remove_with(
                "branch",
                f"{repo}@{branch}",
                lambda tx, entry: trash.keep_branch(
                    tx, entry, BranchName(repo=repo, branch=branch)
                ),
                lambda tx: branches.delete_branch(tx, repo, branch, force=force),
            ),
        )

    @rule(pick=picks, newest=st.booleans(), anything=seldom)
    def delete_commit(self, pick: int, newest: bool, anything: bool) -> None:
        there = self.model.order
        if not anything:
            there = [
                n for n in there if self.model.commits[n[0]][n[1]].user and not is_spec_repo(n[0])
            ]
        there = there[-3:] if newest else there
        if not there:
            return
        self.delete_at(*there[pick % len(there)])

    @rule(pick=picks)
    def delete_what_was_there_before_a_new_spec(self, pick: int) -> None:
        users = [n for n in self.model.order if self.model.commits[n[0]][n[1]].user]
        users = [name for name in users if not is_spec_repo(name[0])]
        if users:
            self.put_at(*SPECS[0], 1)
            self.delete_at(*users[-1 - pick % min(3, len(users))])

    def delete_at(self, repo: str, commit: str) -> None:
        when = self.catalog.moment()

        def real():
            return removed(self.catalog.delete(repo, commit, **when))

        self.both(lambda: self.model.delete_commit(repo, commit, when["run_id"]), real)

    @rule(pick=picks, whole=st.booleans(), recursive=st.booleans())
    def squash(self, pick: int, whole: bool, recursive: bool) -> None:
        self.shorten("squash", self.pick_commits(pick, whole), recursive)

    @rule(pick=picks, back=st.integers(0, 3), whole=st.booleans(), recursive=st.booleans())
    def drop(self, pick: int, back: int, whole: bool, recursive: bool) -> None:
        users = [n for n in self.model.order if self.model.commits[n[0]][n[1]].user]
        newest = self.model.order.index(users[-1 - back % len(users)]) if users else pick
        self.shorten("drop", self.pick_commits(newest if pick % 8 else pick, whole), recursive)

    def pick_commits(self, pick: int, whole: bool) -> list[tuple[str, str]]:
        there = self.model.order
        if not there:
            return []
        chosen = there[pick % len(there)]
        return [n for n in there if n[1] == chosen[1]] if whole else [chosen]

    def shorten(self, way: str, chosen: list[tuple[str, str]], recursive: bool) -> None:
        if not chosen:
            return
        when = self.catalog.moment()
        refs = [f"{repo}@{commit}" for repo, commit in chosen]
        self.both(
            lambda: getattr(self.model, way)(chosen, recursive, when["run_id"]),
            lambda: removed(getattr(self.catalog, way)(*refs, recursive=recursive, **when)),
        )

    @rule(pick=picks, newest=st.booleans(), part=picks)
    def undelete(self, pick: int, newest: bool, part: int) -> None:
        if not self.model.trash:
            return
        entry = self.model.trash[-1 if newest else pick % len(self.model.trash)]
        name = entry.name
        if entry.kind == "commit":
            there = list(entry.commits)
            name = "@".join(there[part % len(there)])
        self.undelete_at(entry.kind, name)

    @rule(pick=picks)
    def undelete_a_commit(self, pick: int) -> None:
        there = list(self.model.gone)
        if there:
            self.undelete_at("commit", "@".join(there[pick % len(there)]))

    @rule(kind=st.sampled_from(["repo", "branch"]), repo=repo_names, branch=branch_names)
    def undelete_by_name(self, kind: str, repo: str, branch: str) -> None:
        self.undelete_at(kind, repo if kind == "repo" else f"{repo}@{branch}")

    def undelete_at(self, kind: str, name: str) -> None:
        when = self.catalog.moment()
        self.both(
            lambda: self.model.undelete(kind, name, when["run_id"]),
            lambda: names(self.catalog.undelete(kind, name, **when).opened),
        )

    def both(self, model, real) -> None:
        """Both give the same result, or refuse with the same class of error."""
        expected, expected_error = attempt(model)
        self.changed = self.changed or expected_error is None
        found, found_error = attempt(real)
        assert found_error is expected_error, (found_error, expected_error)
        assert expected is None or found == expected

    # --- what must hold after each change ---------------------------------------------------------

    @invariant()
    def all_is_well(self) -> None:
        if self.changed:
            self.lists_agree()
            self.commits_agree()
            self.direct_provenance_agrees_both_ways()
            self.heads_are_made_from_the_heads_of_their_sources()
            self.ancestry_resolves()
        self.changed = False

    def teardown(self) -> None:
        if self.changed is False:
            self.changed = True  # what was refused must have changed nothing either
            self.all_is_well()
        self.catalog.db.close()
        self.directory.cleanup()

    def lists_agree(self) -> None:
        with self.catalog.db.read() as tx:
            assert [info.name for info in projects.list_projects(tx)] == self.model.projects
            users = [name for name in self.model.repos if not is_spec_repo(name)]
            assert [info.name for info in repos.list_repos(tx)] == users
            inside = [name for name in users if name.startswith("p/")]
            if "p" in self.model.projects:
                assert [info.name for info in repos.list_repos(tx, "p")] == inside
            for name in self.model.repos:
                info = repos.repo_info(tx, name)
                assert info.size_bytes == self.model.size(name)
                assert info.branches == tuple(sorted(self.model.branches[name]))
                assert [
                    (b.name, b.head, [(s.repo, s.branch) for s in b.provenance])
                    for b in branches.list_branches(tx, name)
                ] == [(n, b.head, b.sources) for n, b in self.model.branches[name].items()]
                listed = [c.id for c in commits.list_commits(tx, name)]
                assert listed == list(self.model.commits[name])[::-1]
                assert len(set(listed)) == len(listed)  # one commit per repo and run
            assert [run.id for run in commits.list_runs(tx)] == self.model.runs[::-1]

    def commits_agree(self) -> None:
        with self.catalog.db.read() as tx:
            for repo, commit in self.model.order:
                expected = self.model.commits[repo][commit]
                info = commits.commit_info(tx, commits.get_commit(tx, repo, commit))
                parent = self.model.parent((repo, commit))
                assert (info.branch, info.parent, info.error, info.size_bytes) == (
                    (expected.branch, parent, expected.error, expected.size)
                )
                assert (info.finished is not None) is expected.finished
                assert (info.origin is Origin.USER) is expected.user
                full = [(n.repo, n.id) for n in info.provenance]
                assert full == self.model.provenance((repo, commit))
                assert (repo, commit) not in full  # acyclic

    def direct_provenance_agrees_both_ways(self) -> None:
        with self.catalog.db.read() as tx:
            below: dict[tuple[str, str], list[tuple[str, str]]] = {}
            for name in self.model.order:
                record = commits.get_commit(tx, *name)
                direct = [(n.repo, n.id) for n in provenance.direct_provenance(tx, record)]
                assert direct == self.model.direct(name)
                by_branch = provenance.input_commits(tx, *name)
                assert [(b.repo, b.branch, c.id) for b, c in by_branch.items()] == (
                    self.model.sources(name)
                )
                for source in self.model.provenance(name):
                    below.setdefault(source, []).append(name)
            for name in self.model.order:
                found = provenance.subvenance_of(tx, commits.get_commit(tx, *name))
                assert [(n.repo, n.id) for n in found] == below.get(name, [])

    def heads_are_made_from_the_heads_of_their_sources(self) -> None:
        """Invariant 4, asked of the catalog alone but for which branches lost a source."""
        with self.catalog.db.read() as tx:
            for repo, branch in [n for n, _ in self.model._all_branches()]:
                info = branches.branch_info(tx, repo, branch)
                heads = {
                    found.name
                    for source in info.provenance
                    if (found := branches.branch_head(tx, source.repo, source.branch))
                }
                if all(is_spec_repo(head.repo) for head in heads):
                    continue
                head = branches.branch_head(tx, repo, branch)
                made_from = set(provenance.direct_provenance(tx, head))
                assert heads <= made_from
                assert heads == made_from or self.model.branches[repo][branch].loose

    def ancestry_resolves(self) -> None:
        with self.catalog.db.read() as tx:
            for (repo, branch), it in self.model._all_branches():
                line = self.model.line(repo, it.head)
                for up, commit in enumerate(line):
                    nth = len(line) - up
                    assert commits.resolve(tx, repo, f"{branch}~{up}").id == commit
                    assert commits.resolve(tx, repo, f"{branch}.{nth}").id == commit
                for beyond in (f"{branch}~{len(line)}", f"{branch}.{len(line) + 1}"):
                    with pytest.raises(NotFound):
                        commits.resolve(tx, repo, beyond)
                if line:
                    listed = commits.list_commits(tx, repo, to=branch)
                    assert [commit.id for commit in listed] == line


def attempt(change) -> tuple[object, type[TrunklineError] | None]:
    try:
        return change(), None
    except TrunklineError as error:
        return None, type(error)


def removed(done) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    return sorted((n.repo, n.id) for n in done.removed), names(done.opened)


def names(opened) -> list[tuple[str, str]]:
    for one, later in itertools.pairwise(opened):
        assert one.commit.number < later.commit.number
    return [(o.commit.repo, o.commit.id) for o in opened]


class TestAgainstModel(VersionsMachine.TestCase):
    settings = settings(stateful_step_count=40)


@pytest.mark.parametrize("before", [1, 3])
def test_what_two_branches_stand_on_is_deleted_and_comes_back_as_the_model_says(
    before: int,
) -> None:
    """Which takes two runs: a branch of one repo is derived from each. Seldom found by chance."""
    it = VersionsMachine()
    for repo in ("a", "b"):
        it.create_repo(repo)
    for _ in range(before + 1):
        it.put_at("a", "trunk", 1)
    last = it.model.order[-1]
    for branch in ("master", "dev"):
        it.create_branch("a", branch, last[1], None)
        it.create_branch("b", branch, None, [("a", branch)])

    it.delete_at(*last)
    it.heads_are_made_from_the_heads_of_their_sources()
    it.undelete_at("commit", "@".join(last))
    it.heads_are_made_from_the_heads_of_their_sources()

    it.teardown()
