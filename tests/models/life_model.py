"""A plain model of data that lives: triggers, derived branches, deletion and return, rules.

Trees are dicts, history is parents, time is a number of seconds that the caller passes on. The
model says what an operation that is accepted leads to; ids are the engine's, given to it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

Tree = dict[str, bytes]
Write = Callable[[Tree], Tree]
Name = tuple[str, str]  # repo and branch, or repo and commit

TRASH_S = 7 * 86400.0


@dataclass
class Commit:
    made_on: str | None
    user: bool = True
    sources: frozenset[tuple[str, str, str]] = frozenset()  # repo, branch, commit
    tree: Tree | None = None  # once it is finished
    writes: list[Write] = field(default_factory=list)  # while it is open


@dataclass
class Trigger:
    source: str
    commits: int
    size: int
    every_s: int  # of its schedule; 0: none
    all: bool
    next_s: float = 0.0
    due: bool = False

    def is_met(self, commits: int, size: int) -> bool:
        met = []
        if self.commits:
            met.append(commits >= self.commits)
        if self.size:
            met.append(size >= self.size)
        if self.every_s:
            met.append(self.due)
        return all(met) if self.all else any(met)


@dataclass
class Branch:
    head: str | None = None
    sources: tuple[Name, ...] = ()
    trigger: Trigger | None = None
    last: int = 0  # of its retention; 0: all stay


@dataclass
class Repo:
    branches: dict[str, Branch] = field(default_factory=dict)
    commits: dict[str, Commit] = field(default_factory=dict)  # oldest first
    gone: dict[str, Commit] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def parent(self, commit: str) -> str | None:
        """The nearest one that is there of those that a commit was made on."""
        above = self.commits[commit].made_on
        while above is not None and above not in self.commits:
            above = self.gone[above].made_on
        return above

    def line(self, commit: str | None) -> list[str]:
        found = []
        while commit is not None:
            found.append(commit)
            commit = self.parent(commit)
        return found

    def children(self, commit: str) -> list[str]:
        return [c for c in self.commits if self.parent(c) == commit]

    def tree(self, commit: str | None) -> Tree:
        if commit is None:
            return {}
        found = self.commits[commit].tree
        if found is not None:
            return found
        done = [c for c in self.line(commit)[1:] if self.commits[c].tree is not None]
        made = dict(self.tree(done[0])) if done else {}
        for write in self.commits[commit].writes:
            made = write(made)
        return made

    def size(self, commit: str | None) -> int:
        return sum(map(len, self.tree(commit).values()))


@dataclass
class Deletion:
    number: int
    kind: str
    name: str
    when_s: float
    commits: dict[Name, Commit] = field(default_factory=dict)
    homes: dict[str, Repo] = field(default_factory=dict)  # of the commits
    heads: list[tuple[Name, Branch, str]] = field(default_factory=list)  # what they were
    left: list[str | None] = field(default_factory=list)  # and where they were left
    branch: Branch | None = None
    repo: Repo | None = None


class LifeModel:
    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.trash: list[Deletion] = []
        self.ids: Callable[[str], str] = lambda _: ""  # of the next commit opened in a repo

    # --- writing ----------------------------------------------------------------------------------

    def put(self, repo: str, branch: str, commit: str, writes: list[Write]) -> None:
        """What a put that made or changed this commit has done."""
        it = self.repos[repo]
        there = it.commits.get(commit)
        if there is not None:
            assert there.tree is None
            there.writes += writes
            return
        at = it.branches.setdefault(branch, Branch())
        made = dict(it.tree(at.head))
        for write in writes:
            made = write(made)
        it.commits[commit] = Commit(made_on=at.head, tree=made)
        at.head = commit
        self.settle({(repo, branch)})

    def start(self, repo: str, branch: str, commit: str) -> None:
        at = self.repos[repo].branches.setdefault(branch, Branch())
        self.repos[repo].commits[commit] = Commit(made_on=at.head)
        at.head = commit
        self.settle({(repo, branch)})

    def finish(self, repo: str, commit: str) -> None:
        """Branches that lead to it are told, as whatever they have before them has changed."""
        it = self.repos[repo]
        it.commits[commit].tree = it.tree(commit)
        self.settle({(repo, b) for b, at in it.branches.items() if at.head == commit})

    def move(self, repo: str, branch: str, head: str) -> None:
        self.repos[repo].branches.setdefault(branch, Branch()).head = head
        self.settle({(repo, branch)})

    # --- what a change sets off -------------------------------------------------------------------

    def settle(self, changed: set[Name]) -> None:
        self.propagate()
        for moved in self.fire(changed):
            self.propagate_from(moved)

    def propagate(self) -> None:
        """Every derived branch has a commit made from the present heads of its sources."""
        self.propagate_from(None)

    def propagate_from(self, start: Name | None) -> None:
        below = {start}
        for name, at in self.derived():
            if start is not None and not below & set(at.sources):
                continue
            below.add(name)
            heads = frozenset(
                (r, b, head) for r, b in at.sources if (head := self.repos[r].branches[b].head)
            )
            it = self.repos[name[0]]
            if heads and (at.head is None or it.commits[at.head].sources != heads):
                commit = self.ids(name[0])
                it.commits[commit] = Commit(made_on=at.head, user=False, sources=heads)
                at.head = commit

    def derived(self) -> list[tuple[Name, Branch]]:
        """Upstream first."""
        waiting = {
            (r, b): at
            for r, it in self.repos.items()
            for b, at in it.branches.items()
            if at.sources
        }
        found: list[tuple[Name, Branch]] = []
        while waiting:
            ready = sorted(n for n, at in waiting.items() if not set(at.sources) & waiting.keys())
            found += [(name, waiting.pop(name)) for name in ready]
        return found

    def depth(self, it: Repo, branch: str) -> int:
        trigger = it.branches[branch].trigger
        return 0 if trigger is None else 1 + self.depth(it, trigger.source)

    def fire(self, changed: Iterable[Name], *, ticked: Iterable[Name] = ()) -> list[Name]:
        """Look at each trigger once, after the branch that it follows; what has moved, in order."""
        moved: list[Name] = []
        touched = {*changed, *ticked}
        for repo in sorted({r for r, _ in touched}):
            it = self.repos[repo]
            targets = [b for b, at in it.branches.items() if at.trigger]
            for branch in sorted(targets, key=lambda b: self.depth(it, b)):
                trigger = it.branches[branch].trigger
                around = {(repo, branch), (repo, trigger.source)}
                if around & touched and self._looks_and_moves(it, it.branches[branch], trigger):
                    touched.add((repo, branch))
                    moved.append((repo, branch))
        return moved

    def _looks_and_moves(self, it: Repo, at: Branch, trigger: Trigger) -> bool:
        if at.head is not None and it.commits[at.head].tree is None:
            return False
        line = it.line(it.branches[trigger.source].head)
        good = next((c for c in line if it.commits[c].tree is not None), None)
        met = False
        if good is not None and good != at.head:
            shared = set(it.line(at.head))
            ahead = [c for c in it.line(good) if c not in shared]
            met = trigger.is_met(len(ahead), it.size(good) - it.size(at.head))
            if met:
                at.head = good
        if trigger.due and (met or not trigger.all):
            trigger.due = False
        return met

    def tick(self, now_s: float) -> None:
        """Look at all schedules."""
        ticked = []
        for repo, it in self.repos.items():
            for branch, at in it.branches.items():
                trigger = at.trigger
                if trigger is not None and trigger.every_s and trigger.next_s <= now_s:
                    trigger.due = True
                    passed = (now_s - trigger.next_s) // trigger.every_s + 1
                    trigger.next_s += passed * trigger.every_s
                    ticked.append((repo, branch))
        for moved in self.fire((), ticked=ticked):
            self.propagate_from(moved)

    # --- taking away ------------------------------------------------------------------------------

    def with_derived(self, names: Iterable[Name]) -> list[Name]:
        """These commits and all made from them, each repo's oldest first."""
        doomed = set(names)
        for (repo, _), _ in self.derived():
            for commit, it in self.repos[repo].commits.items():
                if {(r, c) for r, _, c in it.sources} & doomed:
                    doomed.add((repo, commit))
        return [(r, c) for r, it in self.repos.items() for c in it.commits if (r, c) in doomed]

    def remove(self, doomed: list[Name], number: int, name: str, now_s: float) -> None:
        entry = Deletion(number, "commit", name, now_s)
        moved: set[Name] = set()
        for repo, commit in doomed:
            it = entry.homes[repo] = self.repos[repo]
            parent = it.parent(commit)
            for branch, at in it.branches.items():
                if at.head == commit:
                    if (repo, branch) not in moved:
                        entry.heads.append(((repo, branch), at, commit))
                    moved.add((repo, branch))
                    at.head = parent
            entry.commits[repo, commit] = it.gone[commit] = it.commits.pop(commit)
        self.settle(moved)
        entry.left = [at.head for _, at, _ in entry.heads]
        self.trash.append(entry)

    def remove_branch(self, repo: str, branch: str, number: int, now_s: float) -> None:
        at = self.repos[repo].branches.pop(branch)
        name = f"{repo}@{branch}"
        self.trash.append(Deletion(number, "branch", name, now_s, branch=at))

    def remove_repo(self, repo: str, number: int, now_s: float) -> None:
        it = self.repos.pop(repo)
        self.trash.append(Deletion(number, "repo", repo, now_s, repo=it))

    def expire(self, now_s: float) -> None:
        self.trash = [entry for entry in self.trash if entry.when_s + TRASH_S > now_s]

    def can_return(self, entry: Deletion) -> bool:
        if entry.repo is not None:
            return entry.name not in self.repos
        if any(self.repos.get(repo) is not home for repo, home in entry.homes.items()):
            return False
        if entry.branch is not None:
            repo, _, branch = entry.name.partition("@")
            it, head = self.repos[repo], entry.branch.head
            free = branch not in it.branches and branch not in it.tags
            return free and (head is None or head in it.commits)
        needed = {(r, c) for commit in entry.commits.values() for r, _, c in commit.sources}
        return all(n in entry.commits or n[1] in self.repos[n[0]].commits for n in needed)

    def give_back(self, entry: Deletion) -> None:
        self.trash.remove(entry)
        changed: set[Name] = set()
        if entry.repo is not None:
            self.repos[entry.name] = entry.repo
            return
        if entry.branch is not None:
            repo, _, branch = entry.name.partition("@")
            at = self.repos[repo].branches[branch] = entry.branch
            if at.trigger is not None and at.trigger.source not in self.repos[repo].branches:
                at.trigger = None
            changed.add((repo, branch))
        for (repo, commit), kept in entry.commits.items():
            self.repos[repo].commits[commit] = kept
        for (name, at, was), left in zip(entry.heads, entry.left, strict=True):
            if self.repos[name[0]].branches.get(name[1]) is at and at.head == left:
                at.head = was
                changed.add(name)
        self.settle(changed)

    # --- rules ------------------------------------------------------------------------------------

    def judged(self, repo: str, branch: str) -> list[str]:
        """The commits of a branch that its rules and nothing else let go."""
        it = self.repos[repo]
        line = it.line(it.branches[branch].head)
        closed = [c for c in line if it.commits[c].tree is not None]
        wanted = set(closed[: it.branches[branch].last]) | {c for c in line if c not in closed}
        heads = {at.head for at in it.branches.values()}
        made = [x for o in self.repos.values() for x in o.commits.values()]
        used = {c for x in made for r, _, c in x.sources if r == repo}
        shared: set[str] = set()
        for name, at in it.branches.items():
            if name != branch:
                theirs = it.line(at.head)
                done = [c for c in theirs if it.commits[c].tree is not None]
                let_go = set(done[at.last :]) if at.last else set()
                shared |= set(theirs) - let_go
        below_open = {it.parent(c) for c in it.commits if it.commits[c].tree is None}
        stay = wanted | heads | set(it.tags.values()) | shared | below_open | used
        return [c for c in line if c not in stay]
