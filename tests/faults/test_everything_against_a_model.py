"""Any sequence of operations, crashes and collections leaves what a plain dict says, and no damage.

Through the operations of the engine, with its real store and catalog. The model knows trees as
dicts and history as parents; a crash is a copy of the data directory as it lies there, opened anew.
"""

import itertools
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from crash_session import scratch
from engine_state import damages, open_engine, tree, without_workers
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from trunkline.api.changes import CopyFile, DeleteFile, FileChange, PutFile
from trunkline.engine.restore import restore
from trunkline.errors import Corrupt, StorageFull, TrunklineError, Unavailable

STEPS = int(os.environ.get("TRUNKLINE_MODEL_STEPS", "30"))

Tree = dict[str, bytes]

repos = st.sampled_from(["a", "b"])
branches = st.sampled_from(["master", "master", "dev"])
picks = st.integers(0, 10**6)
paths = st.sampled_from(["f", "g", "d/f", "d/e/g", "d/é", "d-/x"])
doomed = st.sampled_from(["f", "d", "d/e", "/", "c", "missing"])
targets = st.sampled_from(["c", "d/c"])
contents = st.one_of(st.binary(max_size=20), st.integers(1, 9).map(lambda n: bytes([n]) * 3000))
puts = st.builds(lambda p, c, a: ("put", p, c, a), paths, contents, st.booleans())
deletes = st.builds(lambda p: ("delete", p), doomed)
changes = st.lists(st.one_of(puts, puts, puts, deletes), min_size=1, max_size=4)


@dataclass
class Commit:
    parent: str | None
    tree: Tree | None = None  # once it is finished
    writes: list[Callable[[Tree], Tree]] = field(default_factory=list)  # while it is open


@dataclass
class Repo:
    branches: dict[str, str | None] = field(default_factory=dict)
    commits: dict[str, Commit] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def tree(self, commit: str | None) -> Tree:
        if commit is None:
            return {}
        found = self.commits[commit]
        if found.tree is not None:
            return found.tree
        made = dict(self.tree(found.parent))
        for write in found.writes:
            made = write(made)
        return made

    def forget(self, commit: str) -> None:
        """Children and heads move to the parent."""
        parent = self.commits.pop(commit).parent
        for child in self.commits.values():
            child.parent = parent if child.parent == commit else child.parent
        self.branches = {b: parent if h == commit else h for b, h in self.branches.items()}


def below(found: Tree, path: str) -> Tree:
    prefix = path.strip("/")
    return {
        p: c for p, c in found.items() if not prefix or p == prefix or p.startswith(prefix + "/")
    }


def written(change: tuple[Any, ...]) -> Callable[[Tree], Tree]:
    def apply(found: Tree) -> Tree:
        made = dict(found)
        if change[0] == "delete":
            return {p: c for p, c in made.items() if p not in below(made, change[1])}
        _, path, content, append = change
        made[path] = (made.get(path, b"") if append else b"") + content
        return made

    return apply


def as_sent(many: list[tuple[Any, ...]]) -> list[FileChange]:
    return [
        DeleteFile(path=c[1])
        if c[0] == "delete"
        else PutFile(path=c[1], content=[c[2]], append=c[3])
        for c in many
    ]


class EverythingMachine(RuleBasedStateMachine):
    done = 0

    def __init__(self) -> None:
        super().__init__()
        self.place = scratch()
        self.home = self.place.__enter__() / "home"
        self.generations = itertools.count(1)
        self.engine = open_engine(self.home)
        self.model = {name: Repo() for name in ("a", "b")}
        self.batches: dict[str, list[tuple[str, list[tuple[Any, ...]]]]] = {}
        self.roots: dict[str, frozenset[tuple[str, bytes]]] = {}
        self.trees: dict[frozenset[tuple[str, bytes]], str] = {}
        for name in self.model:
            self.engine.repos.create_repo(name)

    def teardown(self) -> None:
        self.engine.close()
        self.place.__exit__(None, None, None)

    def attempt(self, call: Callable[[], Any]) -> Any:
        """The answer, or None where the operation is refused (and has to change nothing)."""
        try:
            return call()
        except (Corrupt, StorageFull, Unavailable):
            raise
        except TrunklineError:
            return None

    # --- files ------------------------------------------------------------------------------------

    def write(self, repo: str, branch: str, sent: list[FileChange], writes: list[Any]) -> None:
        it = self.model[repo]
        head = it.branches.get(branch)
        info = self.attempt(lambda: self.engine.files.modify_files(repo, branch, sent))
        if info is None:
            return
        if head is not None and it.commits[head].tree is None:
            assert info.id == head
            it.commits[head].writes += writes
            return
        made = dict(it.tree(head))
        for write in writes:
            made = write(made)
        it.commits[info.id] = Commit(parent=head, tree=made)
        it.branches[branch] = info.id

    @rule(repo=repos, branch=branches, many=changes)
    def modify(self, repo: str, branch: str, many: list[tuple[Any, ...]]) -> None:
        self.write(repo, branch, as_sent(many), [written(change) for change in many])

    @initialize(first=changes, second=changes, third=changes)
    def begin(self, first: Any, second: Any, third: Any) -> None:
        """No history is without writes, whatever rules it is made of."""
        for many in (first, second, third):
            self.modify("a", "master", many)

    @rule(repo=repos, many=changes)
    def modify_master(self, repo: str, many: list[tuple[Any, ...]]) -> None:
        self.modify(repo, "master", many)

    @rule(repo=repos, branch=branches, source=repos, path=st.sampled_from(["f", "d"]), to=targets)
    def copy(self, repo: str, branch: str, source: str, path: str, to: str) -> None:
        head = self.model[source].branches.get("master")
        taken = below(self.model[source].tree(head), path)
        if head is None or not taken or len(taken) > 40:
            return

        def write(found: Tree) -> Tree:
            gone = below(found, to)
            kept = {p: c for p, c in found.items() if p not in gone}
            return kept | {to + p[len(path) :]: c for p, c in taken.items()}

        sent = CopyFile(path=to, source_repo=source, source_commit=head, source_path=path)
        self.write(repo, branch, [sent], [write])

    @rule(repo=repos, branch=branches, many=changes)
    def modify_if_changed(self, repo: str, branch: str, many: list[tuple[Any, ...]]) -> None:
        """No commit is made for the tree that the head has already."""
        it = self.model[repo]
        head = it.branches.get(branch)
        if head is None or it.commits[head].tree is None:
            return
        before = made = it.tree(head)
        for change in many:
            made = written(change)(made)
        info = self.attempt(
            lambda: self.engine.files.modify_files(repo, branch, as_sent(many), if_changed=True)
        )
        if info is not None:
            assert (info.id == head) == (made == before)
            it.commits.setdefault(info.id, Commit(parent=head, tree=made))
            it.branches[branch] = info.id

    # --- several changes at once ------------------------------------------------------------------

    @rule(steps=st.lists(st.tuples(repos, changes), min_size=1, max_size=3), give_up=st.booleans())
    def transaction(self, steps: list[tuple[str, list[tuple[Any, ...]]]], give_up: bool) -> None:
        batch = self.engine.transactions.start_transaction().id
        for repo, many in steps:
            self.engine.transactions.add_files(batch, repo, "master", as_sent(many))
        self.batches[batch] = steps
        if give_up:
            self.engine.transactions.delete_transaction(batch)
            del self.batches[batch]

    @rule(pick=picks)
    def finish_transaction(self, pick: int) -> None:
        """All steps on the heads that there are by then, or nothing."""
        if not self.batches:
            return
        batch = list(self.batches)[pick % len(self.batches)]
        call = lambda: self.engine.transactions.finish_transaction(batch)  # noqa: E731
        if self.attempt(call) is None:
            self.engine.transactions.delete_transaction(batch)
            del self.batches[batch]
            return
        for repo, many in self.batches.pop(batch):
            it = self.model[repo]
            head = it.branches.get("master")
            writes = [written(change) for change in many]
            if head is None or (head != batch and it.commits[head].tree is not None):
                it.commits[batch] = Commit(parent=head, tree=it.tree(head))
                it.branches["master"] = head = batch
            at = it.commits[head]
            if at.tree is None:
                at.writes += writes
            else:
                for write in writes:
                    at.tree = write(at.tree)

    # --- history ----------------------------------------------------------------------------------

    @rule(repo=repos, branch=branches)
    def start(self, repo: str, branch: str) -> None:
        info = self.attempt(lambda: self.engine.commits.start_commit(repo, branch=branch))
        if info is not None:
            it = self.model[repo]
            it.commits[info.id] = Commit(parent=it.branches.get(branch))
            it.branches[branch] = info.id

    @rule(repo=repos, branch=branches)
    def finish(self, repo: str, branch: str) -> None:
        it = self.model[repo]
        head = it.branches.get(branch)
        info = self.attempt(lambda: self.engine.commits.finish_commit(repo, branch))
        assert (info is not None) == (head is not None and it.commits[head].tree is None)
        if info is not None:
            it.commits[info.id].tree = it.tree(info.id)

    @rule(repo=repos, branch=branches, pick=picks)
    def move_branch(self, repo: str, branch: str, pick: int) -> None:
        it = self.model[repo]
        there = [c for c, commit in it.commits.items() if commit.tree is not None]
        if there:
            head = there[pick % len(there)]
            self.engine.branches.create_branch(repo, branch, head=head)
            it.branches[branch] = head

    @rule(repo=repos, branch=branches)
    def delete_branch(self, repo: str, branch: str) -> None:
        if self.attempt(lambda: self.engine.branches.delete_branch(repo, branch)) is not None:
            del self.model[repo].branches[branch]

    @rule(repo=repos, tag=st.sampled_from(["v1", "v2"]), pick=picks, force=st.booleans())
    def tag(self, repo: str, tag: str, pick: int, force: bool) -> None:
        it = self.model[repo]
        if it.commits:
            commit = list(it.commits)[pick % len(it.commits)]
            create = self.engine.tags.create_tag
            may = it.commits[commit].tree is not None
            may &= force or it.tags.get(tag, commit) == commit
            made = self.attempt(lambda: create(repo, tag, commit=commit, force=force))
            assert (made is not None) == may
            if may:
                it.tags[tag] = commit

    @rule(repo=repos, tag=st.sampled_from(["v1", "v2"]), back=st.booleans())
    def delete_tag(self, repo: str, tag: str, back: bool) -> None:
        it = self.model[repo]
        if tag in it.tags:
            self.engine.tags.delete_tag(repo, tag)
            if back:
                self.engine.trash.undelete("tag", f"{repo}@{tag}")
            else:
                del it.tags[tag]

    @rule(repo=repos, pick=picks, how=st.sampled_from(["delete", "squash", "drop"]))
    def remove_commit(self, repo: str, pick: int, how: str) -> None:
        it = self.model[repo]
        if it.commits:
            commit = list(it.commits)[pick % len(it.commits)]
            call = getattr(self.engine.commits, f"{how}_commit")
            if self.attempt(lambda: call(repo, commit)) is not None:
                assert how != "squash" or commit not in it.branches.values()
                assert commit not in it.tags.values()
                it.forget(commit)

    @rule(repo=repos, pick=picks, kind=st.sampled_from(["commit", "branch", "repo"]))
    def delete_and_undelete(self, repo: str, pick: int, kind: str) -> None:
        """Nothing has changed afterwards."""
        it = self.model[repo]
        if kind == "repo":
            name, call = repo, lambda: self.engine.repos.delete_repo(repo)
        elif kind == "branch":
            name, call = (
                f"{repo}@master",
                lambda: self.engine.branches.delete_branch(repo, "master"),
            )
        elif it.commits:
            commit = list(it.commits)[pick % len(it.commits)]
            name = f"{repo}@{commit}"
            call = lambda: self.engine.commits.delete_commit(repo, commit)  # noqa: E731
        else:
            return
        if self.attempt(call) is not None:
            self.engine.trash.undelete(kind, name)

    # --- lifetime ---------------------------------------------------------------------------------

    @rule(grace_s=st.sampled_from([0, 0, None]))
    def collect(self, grace_s: float | None) -> None:
        self.engine.admin.gc(grace_s=grace_s)

    @rule()
    def back_up_and_restore(self) -> None:
        """What is restored is all there was; a second backup goes over the first."""
        place = self.home.parent
        assert self.engine.admin.backup(str(place / "backup")).problems == ()
        self.engine.close()
        self.home = place / f"home-{next(self.generations)}"
        restore(place / "backup", self.home, force=False, now=datetime.now(UTC))
        self.engine = open_engine(self.home)

    @rule()
    def crash(self) -> None:
        after = self.home.with_name(f"home-{next(self.generations)}")
        shutil.copytree(self.home, after, ignore=shutil.ignore_patterns("*-shm", "*.sock"))
        self.engine.close()
        self.home = after
        self.engine = open_engine(after)

    @rule()
    def reopen(self) -> None:
        self.engine.close()
        self.engine = open_engine(self.home)

    # --- what holds after every step --------------------------------------------------------------

    @invariant()
    def everything_is_as_the_model_says(self) -> None:
        type(self).done += 1
        for name, it in self.model.items():
            heads = {b.name: b.head for b in self.engine.branches.list_branches(name)}
            assert heads == it.branches
            tags = {t.name: t.commit for t in self.engine.tags.list_tags(name)}
            assert tags == it.tags
            found = {c.id: c for c in self.engine.commits.list_commits(name)}
            assert found.keys() == it.commits.keys()
            for commit, wanted in it.commits.items():
                assert found[commit].parent == wanted.parent
                assert (found[commit].finished is None) == (wanted.tree is None)
                assert tree(self.engine, name, commit) == it.tree(commit)
                if wanted.tree is not None:
                    self.equal_trees_have_equal_roots(found[commit].root, wanted.tree)

    def equal_trees_have_equal_roots(self, root: str, found: Tree) -> None:
        whole = frozenset(found.items())
        assert self.roots.setdefault(root, whole) == whole
        assert self.trees.setdefault(whole, root) == root

    @invariant()
    def nothing_is_damaged(self) -> None:
        assert damages(self.engine) == []


def test_every_history_is_as_a_plain_model_says(tally: Callable[..., None]) -> None:
    EverythingMachine.done = 0
    examples = max(settings.default.max_examples // 2, 1)

    with without_workers():
        run_state_machine_as_test(
            EverythingMachine, settings=settings(max_examples=examples, stateful_step_count=STEPS)
        )

    tally("histories against the model", examples)
    tally("steps of histories", EverythingMachine.done)
