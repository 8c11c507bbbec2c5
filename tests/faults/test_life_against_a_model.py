"""Data that lives: triggers, deferred processing, deletion, return and collection, against a model.

Through the operations of the engine, with its real store and catalog and a clock that the machine
sets. Packs are small, so that collections rewrite them; puts are interrupted in their middle by
everything else.
"""

import hashlib
import itertools
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

from crash_session import scratch
from engine_state import damages, tree, without_workers
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from life_model import TRASH_S, Branch, LifeModel, Name, Repo, Tree, Trigger, Write

from trunkline.api.changes import CopyFile, DeleteFile, FileChange, PutFile
from trunkline.config import load
from trunkline.engine import collector
from trunkline.engine.clockwork import TriggerTicks
from trunkline.engine.engine import Engine
from trunkline.errors import Corrupt, NotFound, StorageFull, TrunklineError, Unavailable
from trunkline.files import delta
from trunkline.model.versions import BranchTrigger, Retention
from trunkline.store import packs

STEPS = int(os.environ.get("TRUNKLINE_MODEL_STEPS", "30"))
T0 = datetime(2024, 2, 28, 22, 30, tzinfo=UTC)

INPUTS = ["staging", "staging", "staging", "mid", "master", "dev"]
OUTPUTS: list[Name] = [("report", "out"), ("summary", "sum")]
FOLLOWS = {"mid": ["staging"], "master": ["staging", "mid"], "dev": ["staging", "mid", "master"]}

picks = st.integers(0, 10**6)
inputs = st.sampled_from(INPUTS)
seeds = st.integers(0, 5)
conditions = st.tuples(
    st.sampled_from([0, 1, 2, 3]),
    st.sampled_from([0, 0, 500, 3000]),
    st.sampled_from([0, 0, 3600, 5 * 3600]),
    st.booleans(),
).filter(lambda given: any(given[:3]))
waits = st.sampled_from([1200, 3600, 2 * 3600, 86400, 3 * 86400, 8 * 86400])
beside = st.lists(st.tuples(st.sampled_from(["gc", "wait", "remove", "undelete", "put"]), picks))


def noise(seed: int) -> bytes:
    """Contents that take their place in a pack; few, so that what is garbage is wanted again."""
    return hashlib.shake_128(bytes([seed])).digest(300 + 700 * seed)


def writing(path: str, content: bytes) -> Write:
    return lambda found: {**found, path: content}


def removing(path: str) -> Write:
    return lambda found: {p: c for p, c in found.items() if p != path}


class LifeMachine(RuleBasedStateMachine):
    done = 0

    def __init__(self) -> None:
        super().__init__()
        self.held = ExitStack()
        self.home = self.held.enter_context(scratch()) / "home"
        self.generations = itertools.count(1)
        self.now = T0
        self.model = LifeModel()
        self.model.ids = self.next_id
        self.fresh: dict[str, deque[str]] = {}  # ids that the engine has given out
        self.seen: dict[Name, tuple[str, Tree]] = {}  # root and content of what was read
        self.open()
        for name in ("data", "report", "summary", "side"):
            self.engine.repos.create_repo(name)
            self.model.repos[name] = Repo()
        self.derive("report", "out", [("data", "master")])
        self.derive("summary", "sum", [("report", "out"), ("data", "mid")])
        for seed in (0, 1):
            self.put("data", "staging", [seed], [])

    def open(self) -> None:
        environment = {"HOME": str(self.home.parent), "PATH": os.environ["PATH"]}
        for name in ("GC", "RETENTION"):
            environment[f"TRUNKLINE_{name}_INTERVAL_S"] = "0"
        self.engine = Engine(load(environment, home=self.home), clock=lambda: self.now)
        services = self.engine._services
        self.ticks = TriggerTicks(services.database, services.new_id)

    def teardown(self) -> None:
        self.seen.clear()
        self.everything_is_as_the_model_says()
        self.engine.close()
        self.held.close()

    @property
    def now_s(self) -> float:
        return (self.now - T0).total_seconds()

    def attempt(self, call: Callable[[], Any]) -> Any:
        """The answer, or None where the operation is refused (and has to change nothing)."""
        try:
            return call()
        except (Corrupt, StorageFull, Unavailable):
            raise
        except TrunklineError:
            return None

    # --- ids --------------------------------------------------------------------------------------

    def next_id(self, repo: str) -> str:
        if repo not in self.fresh:
            known = self.model.repos[repo].commits
            there = [c.id for c in self.engine.commits.list_commits(repo)]
            self.fresh[repo] = deque(c for c in reversed(there) if c not in known)
        assert self.fresh[repo], f"a commit was to be opened in {repo}"
        return self.fresh[repo].popleft()

    # --- branches ---------------------------------------------------------------------------------

    @initialize(first=conditions, second=conditions, order=st.permutations(["mid", "master"]))
    def a_chain(self, first: Any, second: Any, order: list[str]) -> None:
        """Of two triggers, made in any order; what follows the last branch is processed."""
        for branch, given in zip(order, (first, second), strict=True):
            self.follow(branch, FOLLOWS[branch].index("staging") + (branch == "master"), given)

    def derive(self, repo: str, branch: str, sources: list[Name]) -> None:
        for source, name in sources:
            self.engine.branches.create_branch(source, name)
            self.model.repos[source].branches.setdefault(name, Branch())
        given = [f"{r}@{b}" for r, b in sources]
        self.engine.branches.create_branch(repo, branch, provenance=given)
        self.model.repos[repo].branches[branch] = Branch(sources=tuple(sources))

    @rule(branch=st.sampled_from(list(FOLLOWS)), pick=picks, given=conditions)
    def follow(self, branch: str, pick: int, given: tuple[int, int, int, bool]) -> None:
        commits, size, every_s, all_ = given
        source = FOLLOWS[branch][pick % len(FOLLOWS[branch])]
        trigger = BranchTrigger(
            source=source,
            commits=commits,
            size=f"{size}B" if size else "",
            cron=f"@every {every_s}s" if every_s else "",
            all=all_,
        )
        self.engine.branches.create_branch("data", branch, trigger=trigger)
        it = self.model.repos["data"]
        it.branches.setdefault(source, Branch())
        at = it.branches.setdefault(branch, Branch())
        at.trigger = Trigger(source, commits, size, every_s, all_, self.now_s + every_s)
        self.model.settle({("data", branch)})
        self.all_is_settled()

    @rule(branch=inputs, pick=picks)
    def move(self, branch: str, pick: int) -> None:
        """By hand: what is derived from it becomes due."""
        it = self.model.repos["data"]
        there = [c for c, commit in it.commits.items() if commit.tree is not None]
        if there:
            head = there[pick % len(there)]
            self.engine.branches.create_branch("data", branch, head=head)
            self.model.move("data", branch, head)

    @rule(pick=picks)
    def move_master(self, pick: int) -> None:
        self.move("master", pick)

    @rule()
    def delete_dev(self) -> None:
        found = self.attempt(lambda: self.engine.branches.delete_branch("data", "dev"))
        assert (found is not None) == ("dev" in self.model.repos["data"].branches)
        if found is not None:
            self.model.remove_branch("data", "dev", found.number, self.now_s)

    # --- commits ----------------------------------------------------------------------------------

    def put(
        self, repo: str, branch: str, contents: list[int], between: list[tuple[str, int]]
    ) -> None:
        """A put between whose files other things happen."""
        writes: list[Write] = []

        def pieces(content: bytes) -> Iterator[bytes]:
            yield content[:100]
            self.happen(between)
            yield content[100:]

        def changes() -> Iterator[FileChange]:
            for n, seed in enumerate(contents):
                path = f"{'d/' * (seed % 2)}{n}"
                writes.append(writing(path, noise(seed)))
                yield PutFile(path=path, content=pieces(noise(seed)))
            if contents[0] == 5:
                writes.append(removing("d/1"))
                yield DeleteFile(path="d/1")

        info = self.attempt(lambda: self.engine.files.modify_files(repo, branch, changes()))
        if info is not None:
            self.model.put(repo, branch, info.id, writes)

    def happen(self, between: list[tuple[str, int]]) -> None:
        while between:
            what, pick = between.pop()
            match what:
                case "gc":
                    self.engine.admin.gc(grace_s=0)
                case "wait":
                    self.wait(7200)
                    self.engine.admin.gc()
                case "remove":
                    self.remove(pick, how=("squash", "drop", "delete")[pick % 3], recursive=True)
                case "undelete":
                    self.undelete(pick)
                case "put":
                    self.put("data", "mid", [pick % 6], [])
            self.all_is_settled()

    @rule(branch=inputs, contents=st.lists(seeds, min_size=1, max_size=3))
    def put_alone(self, branch: str, contents: list[int]) -> None:
        self.put("data", branch, contents, [])

    @rule(branch=inputs, contents=st.lists(seeds, min_size=2, max_size=4), between=beside)
    def put_beside_others(
        self, branch: str, contents: list[int], between: list[tuple[str, int]]
    ) -> None:
        self.put("data", branch, contents, between[:4])

    @rule(contents=st.lists(seeds, min_size=1, max_size=2), between=beside)
    def put_into_a_repo_that_comes_and_goes(
        self, contents: list[int], between: list[tuple[str, int]]
    ) -> None:
        if "side" in self.model.repos:
            self.put("side", "master", contents, between[:2])

    @rule(pick=picks)
    def copy(self, pick: int) -> None:
        """Between repos, without a byte that moves."""
        it = self.model.repos["data"]
        done = [(c, p) for c, commit in it.commits.items() for p in commit.tree or {}]
        if done and "side" in self.model.repos:
            commit, path = done[pick % len(done)]
            sent = CopyFile(path="copy", source_repo="data", source_commit=commit, source_path=path)
            info = self.attempt(lambda: self.engine.files.modify_files("side", "master", [sent]))
            if info is not None:
                content = it.tree(commit)[path]
                self.model.put("side", "master", info.id, [writing("copy", content)])

    @rule(branch=inputs)
    def start(self, branch: str) -> None:
        info = self.attempt(lambda: self.engine.commits.start_commit("data", branch=branch))
        if info is not None:
            self.model.start("data", branch, info.id)

    @rule(pick=picks)
    def finish(self, pick: int) -> None:
        """Of users, or one that is due and nobody computes."""
        names = [
            (r, c)
            for r, it in self.model.repos.items()
            for c, commit in it.commits.items()
            if commit.tree is None
        ]
        if names:
            repo, commit = names[pick % len(names)]
            if repo in ("report", "summary"):
                sent = [PutFile(path="made", content=[noise(pick % 6)])]
                self.engine.files.modify_files(repo, commit, sent)
                self.model.put(repo, "", commit, [writing("made", noise(pick % 6))])
            self.engine.commits.finish_commit(repo, commit)
            self.model.finish(repo, commit)

    @rule(pick=picks)
    def tag(self, pick: int) -> None:
        it = self.model.repos["data"]
        there = [c for c, commit in it.commits.items() if commit.tree is not None]
        if there:
            commit = there[pick % len(there)]
            self.engine.tags.create_tag("data", "kept", commit=commit, force=True)
            it.tags["kept"] = commit

    # --- taking away and bringing back ------------------------------------------------------------

    @rule(pick=picks, how=st.sampled_from(["squash", "drop", "delete"]), recursive=st.booleans())
    def remove(self, pick: int, how: str, recursive: bool) -> None:
        names = [(r, c) for r, it in self.model.repos.items() for c in it.commits]
        if not names:
            return
        repo, commit = names[pick % len(names)]
        more = {} if how == "delete" else {"recursive": recursive}
        call = getattr(self.engine.commits, f"{how}_commit")
        doomed = self.model.with_derived([(repo, commit)])
        found = self.attempt(lambda: call(repo, commit, **more))
        alone = doomed == [(repo, commit)] or recursive or how == "delete"
        assert (found is not None) == (alone and self.may_go(how, (repo, commit), doomed))
        if found is not None:
            self.model.remove(doomed, found.number, f"{repo}@{commit}", self.now_s)

    def may_go(self, how: str, asked: Name, doomed: list[Name]) -> bool:
        for repo, commit in doomed:
            it = self.model.repos[repo]
            rest = [c for c in it.children(commit) if (repo, c) not in doomed]
            if commit in it.tags.values():
                return False
            if how == "squash":
                is_head = commit in [at.head for at in it.branches.values()]
                blocked = [c for c in rest if it.commits[c].tree is None]
                if is_head or blocked or not it.children(commit):
                    return False
            if how == "drop" and rest:
                return False
        return how == "squash" or self.model.repos[asked[0]].commits[asked[1]].user

    @rule()
    def delete_side(self) -> None:
        if "side" in self.model.repos:
            found = self.engine.repos.delete_repo("side")
            self.model.remove_repo("side", found.number, self.now_s)

    @rule()
    def create_side(self) -> None:
        if "side" not in self.model.repos:
            self.engine.repos.create_repo("side")
            self.model.repos["side"] = Repo()

    @rule(pick=picks)
    def undelete(self, pick: int) -> None:
        if not self.model.trash:
            return
        entry = self.model.trash[pick % len(self.model.trash)]
        undelete = self.engine.trash.undelete
        found = self.attempt(lambda: undelete(entry.kind, entry.name, number=entry.number))
        assert (found is not None) == self.model.can_return(entry)
        if found is not None:
            self.model.give_back(entry)

    @rule(repo=st.sampled_from(["data", "side"]), last=st.integers(1, 2), pick=picks)
    def apply_rules(self, repo: str, last: int, pick: int) -> None:
        """What a branch without rules has stays, so either all have some or one alone."""
        branches = self.model.repos.get(repo, Repo()).branches
        if not branches:
            return
        branch = list(branches)[pick % len(branches)]
        for name in branches if pick % 3 else [branch]:
            self.engine.retention.set_retention(repo, name, rules=Retention(last=last))
            branches[name].last = last
        doomed = [(repo, c) for c in reversed(self.model.judged(repo, branch))]
        report = self.engine.retention.apply_retention(repo, branch)
        assert report.removed == len(doomed)
        for deletion in report.deletions:
            self.model.remove(doomed, deletion.number, deletion.name, self.now_s)

    # --- time and space ---------------------------------------------------------------------------

    @rule(seconds=waits)
    def wait(self, seconds: int) -> None:
        """Until schedules have had their ticks, and some of what was deleted is gone for good."""
        expired = [e for e in self.model.trash if e.when_s + TRASH_S <= self.now_s + seconds]
        self.now += timedelta(seconds=seconds)
        self.model.expire(self.now_s)
        self.ticks.attend(self.now)
        self.model.tick(self.now_s)
        for entry in expired:
            try:
                self.engine.trash.undelete(entry.kind, entry.name, number=entry.number)
            except NotFound:
                continue
            raise AssertionError(f"{entry.kind} {entry.name} came back after its grace period")

    @rule()
    def collect(self) -> None:
        """As the server does by itself: what is unneeded for so long goes."""
        self.engine.admin.gc()

    @rule(later=st.booleans())
    def collect_all(self, later: bool) -> None:
        """Nothing that nobody needs is left then."""
        if later:
            self.wait(8 * 86400)
            self.all_is_settled()
        self.engine.admin.gc(grace_s=0)
        assert self.engine.admin.gc(dry_run=True).waiting_objects == 0

    @rule()
    def crash(self) -> None:
        after = self.home.with_name(f"home-{next(self.generations)}")
        shutil.copytree(self.home, after, ignore=shutil.ignore_patterns("*-shm", "*.sock"))
        self.engine.close()
        shutil.rmtree(self.home)
        self.home = after
        self.open()

    # --- what holds after every step --------------------------------------------------------------

    def all_is_settled(self) -> None:
        assert not any(self.fresh.values()), f"more was opened than is due: {self.fresh}"
        self.fresh.clear()

    @invariant()
    def everything_is_as_the_model_says(self) -> None:
        type(self).done += 1
        self.all_is_settled()
        for name, it in self.model.repos.items():
            heads = {b.name: b.head for b in self.engine.branches.list_branches(name)}
            assert heads == {b: at.head for b, at in it.branches.items()}
            found = {c.id: c for c in self.engine.commits.list_commits(name)}
            assert found.keys() == it.commits.keys()
            for commit, wanted in it.commits.items():
                info = found[commit]
                assert info.parent == it.parent(commit)
                assert (info.finished is None) == (wanted.tree is None)
                made_from = {(p.repo, p.id) for p in info.provenance}
                assert made_from == self.provenance(name, commit)
                self.holds(name, commit, info.root)

    def provenance(self, repo: str, commit: str) -> set[Name]:
        direct = {(r, c) for r, _, c in self.model.repos[repo].commits[commit].sources}
        return direct.union(*(self.provenance(*name) for name in direct))

    def holds(self, repo: str, commit: str, root: str) -> None:
        """Byte for byte; what was read once under its root is read again at the end."""
        wanted = self.model.repos[repo].tree(commit)
        if not root or self.seen.get((repo, commit)) != (root, wanted):
            assert tree(self.engine, repo, commit) == wanted
        self.seen[repo, commit] = (root, wanted)

    @invariant()
    def what_can_come_back_is_listed(self) -> None:
        listed = {d.number: (d.kind, d.commits) for d in self.engine.trash.list_deleted()}
        assert listed == {
            e.number: (e.kind, len(e.repo.commits) if e.repo else len(e.commits))
            for e in self.model.trash
        }

    @invariant()
    def nothing_is_damaged(self) -> None:
        assert damages(self.engine) == []

    @invariant()
    def usage_adds_up(self) -> None:
        *uses, total = self.engine.admin.disk_usage()
        assert {use.name for use in uses} == self.model.repos.keys()
        for use in uses:
            it = self.model.repos[use.name]
            trees = [commit.tree for commit in it.commits.values() if commit.tree is not None]
            assert (use.commits, use.files) == (len(trees), sum(map(len, trees)))
            assert use.logical_bytes == sum(len(c) for made in trees for c in made.values())
            assert use.exclusive_bytes <= use.stored_bytes
        stored = [use.stored_bytes for use in uses]
        assert max(stored) <= total.stored_bytes <= sum(stored)
        assert sum(use.exclusive_bytes for use in uses) <= total.stored_bytes
        assert total.logical_bytes == sum(use.logical_bytes for use in uses)


def test_every_life_is_as_a_plain_model_says(tally: Callable[..., None]) -> None:
    LifeMachine.done = 0
    examples = max(settings.default.max_examples // 3, 1)

    with ExitStack() as held:
        held.enter_context(without_workers())
        held.enter_context(mock.patch.object(packs, "PACK_BYTES", 8 * 1024))
        held.enter_context(mock.patch.object(delta, "_BATCH_FILES_MAX", 1))  # stored one by one,
        held.enter_context(mock.patch.object(delta, "_LOOSE_CONTENTS_MAX", 0))  # and at once
        held.enter_context(mock.patch.object(collector, "_DRAIN_S", 0.0))  # the put has to go on
        run_state_machine_as_test(
            LifeMachine, settings=settings(max_examples=examples, stateful_step_count=STEPS)
        )

    tally("lives against the model", examples)
    tally("steps of lives", LifeMachine.done)
