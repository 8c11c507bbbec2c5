"""Repos, branches, commits and provenance as plain dicts: what the catalog has to agree with.

Written from the rules, not from the code: no numbers, no SQL, nothing incremental. Every question
is answered by walking everything. Errors are the classes of `trunkline.errors`; an operation that
raises leaves the model as it was.
"""

import copy
import functools
from dataclasses import dataclass, field

from trunkline.errors import (
    AlreadyExists,
    BranchNotFound,
    CommitFinished,
    CommitNotFound,
    CommitOpen,
    Conflict,
    HeadMoved,
    InUse,
    OutputBranch,
    ProjectNotFound,
    ProvenanceLoop,
    RepoNotFound,
)

SPEC = "__spec__"


def project_of(repo):
    return repo.split("/")[0] if "/" in repo else "default"


def is_spec(repo):
    return repo.split("/")[-1] == SPEC


@dataclass
class Commit:
    branch: str | None
    user: bool
    parent: str | None
    sources: list  # of (repo, branch, id)
    finished: bool = False
    size: int = 0
    error: str | None = None


@dataclass
class Branch:
    head: str | None = None
    sources: list = field(default_factory=list)  # of (repo, branch)
    loose: bool = False  # a source of it was deleted by force since its last commit


def atomic(method):
    """On an error, put everything back as it was."""

    @functools.wraps(method)
    def run(self, *arguments, **named):
        before = copy.deepcopy(self.__dict__)
        try:
            return method(self, *arguments, **named)
        except Exception:
            self.__dict__ = before
            raise

    return run


class VersionsModel:
    def __init__(self):
        self.projects = ["default"]  # names, last made first
        self.repos = []  # names, last changed first
        self.branches = {}  # repo -> {name: Branch}, last moved first
        self.commits = {}  # repo -> {id: Commit}, oldest first
        self.order = []  # every (repo, id), oldest first
        self.runs = []  # ids, oldest first
        self.births = {}  # repo -> names of branches, oldest first

    # --- changes ----------------------------------------------------------------------------------

    @atomic
    def create_project(self, name):
        if name in self.projects:
            raise AlreadyExists("project", name)
        self.projects.insert(0, name)

    @atomic
    def delete_project(self, name):
        self._need_project(name)
        inside = [repo for repo in self.repos if project_of(repo) == name]
        if name == "default" or not all(is_spec(repo) for repo in inside):
            raise InUse(name)
        for repo in inside:
            self.delete_repo(repo, True)
        self.projects.remove(name)

    @atomic
    def create_repo(self, name):
        self._need_project(project_of(name))
        if name in self.repos:
            raise AlreadyExists("repo", name)
        self._add_repo(name)

    @atomic
    def update_repo(self, name):
        self._need(name)
        self._touch(name)

    @atomic
    def delete_repo(self, name, force):
        self._need(name)
        inside = {(name, branch) for branch in self.branches[name]}
        outside = [b for r, b in self._all_branches() if r[0] != name and inside & set(b.sources)]
        others = [self.direct(n) for n, _ in self._all_commits() if n[0] != name]
        made = [repo for direct in others for repo, _ in direct if repo == name]
        if (outside or made) and not force:
            raise InUse(name)
        for _, branch in self._all_branches():
            branch.sources = [s for s in branch.sources if s[0] != name]
        for _, commit in self._all_commits():
            commit.sources = [s for s in commit.sources if s[0] != name]
        self.repos.remove(name)
        del self.branches[name], self.commits[name]
        self.order = [c for c in self.order if c[0] != name]
        self._drop_empty_runs()

    @atomic
    def start(self, repo, branch, parent, run):
        base = None
        if branch is not None:
            self._need_branch(repo, branch)
            if self.branches[repo][branch].sources:
                raise OutputBranch(repo, branch)
            base = self.branches[repo][branch].head
        elif is_spec(repo):
            self._need(repo, create=True)
        self._need(repo)
        if parent is not None:
            base = self.resolve(repo, parent, 0)
        if base is not None and not self.commits[repo][base].finished:
            raise CommitOpen(repo, base, "")
        self._insert(repo, run, Commit(branch=branch, user=True, parent=base, sources=[]))
        if branch is None:
            return []
        self._set_head(repo, branch, run)
        return self._propagate({(repo, branch)}, run)

    @atomic
    def finish(self, repo, commit, size, error, output):
        self._need(repo)
        if commit not in self.commits[repo]:
            raise CommitNotFound(repo, commit)
        found = self.commits[repo][commit]
        if found.finished:
            raise CommitFinished(repo, commit)
        if not found.user and not output:
            raise OutputBranch(repo, "")
        found.finished, found.size, found.error = True, 0 if error else size, error
        self._touch(repo)

    @atomic
    def put(self, repo, branch, expected, size, run):
        self._need_branch(repo, branch)
        if self.branches[repo][branch].sources:
            raise OutputBranch(repo, branch)
        if self.branches[repo][branch].head != expected:
            raise HeadMoved("")
        opened = self.start(repo, branch, None, run)
        self.finish(repo, run, size, None, False)
        return opened

    @atomic
    def create_branch(self, repo, branch, head, sources, run):
        self._need_branch(repo, branch)
        if head is not None:
            self._set_head(repo, branch, head)
        if sources is not None:
            self._set_sources(repo, branch, list(dict.fromkeys(sources)))
        self._touch(repo)
        return self._propagate({(repo, branch)}, run)

    @atomic
    def delete_branch(self, repo, branch, force):
        self._need(repo)
        if branch not in self.branches[repo]:
            raise BranchNotFound(repo, branch)
        below = [b for _, b in self._all_branches() if (repo, branch) in b.sources]
        if below and not force:
            raise InUse(branch)
        for other in below:
            other.sources.remove((repo, branch))
            other.loose = True
        del self.branches[repo][branch]
        self._touch(repo)

    @atomic
    def delete_commit(self, repo, commit, run):
        self._need(repo)
        if commit not in self.commits[repo]:
            raise CommitNotFound(repo, commit)
        if is_spec(repo):
            raise Conflict("")
        if not self.commits[repo][commit].user:
            raise OutputBranch(repo, "")
        doomed = {(repo, commit)}
        for name in self.order:  # upstream comes before downstream
            if doomed & set(self.direct(name)):
                doomed.add(name)
        moved = set()
        for name in [n for n in self.order if n in doomed]:
            where, gone = name
            parent = self.commits[where][gone].parent
            for branch in sorted(self.branches[where], key=self.births[where].index):
                if self.branches[where][branch].head == gone:
                    self._set_head(where, branch, parent)
                    moved.add((where, branch))
            for child in self.commits[where].values():
                if child.parent == gone:
                    child.parent = parent
            del self.commits[where][gone]
            self.order.remove(name)
            self._touch(where)
        self._drop_empty_runs()
        return sorted(doomed), self._propagate(moved, run)

    # --- questions --------------------------------------------------------------------------------

    def resolve(self, repo, ref, up):
        self._need(repo)
        if ref in self.commits[repo]:
            found = ref
        elif len(ref) == 32:
            raise CommitNotFound(repo, ref)
        elif ref not in self.branches[repo]:
            raise BranchNotFound(repo, ref)
        else:
            found = self.branches[repo][ref].head
        line = self.line(repo, found)
        if up >= len(line):
            raise CommitNotFound(repo, ref)
        return line[up]

    def line(self, repo, commit):
        """A commit and its ancestors."""
        found = []
        while commit is not None:
            found.append(commit)
            commit = self.commits[repo][commit].parent
        return found

    def direct(self, name):
        """What a commit was made from directly, each once."""
        return list(dict.fromkeys((r, c) for r, _, c in self._commit(name).sources))

    def provenance(self, name):
        """All that a commit was made from: by longest distance, repo, branch, age."""
        distance = {}

        def walk(at, far):
            for source in self.direct(at):
                distance[source] = max(far, distance.get(source, 0))
                walk(source, far + 1)

        walk(name, 1)
        return sorted(
            distance,
            key=lambda n: (distance[n], n[0], self._commit(n).branch or "", self.order.index(n)),
        )

    def size(self, repo):
        """Of master, else of the newest head; for an open one, of its newest finished ancestor."""
        heads = {}
        for name, branch in self.branches[repo].items():
            done = [c for c in self.line(repo, branch.head) if self.commits[repo][c].finished]
            if done:
                heads[name] = done[0]
        if not heads:
            return 0
        newest = max(heads.values(), key=lambda c: self.order.index((repo, c)))
        return self.commits[repo][heads.get("master", newest)].size

    # --- inside -----------------------------------------------------------------------------------

    def _commit(self, name):
        return self.commits[name[0]][name[1]]

    def _all_branches(self):
        return [((r, n), b) for r, bs in self.branches.items() for n, b in bs.items()]

    def _all_commits(self):
        return [((r, n), c) for r, cs in self.commits.items() for n, c in cs.items()]

    def _add_repo(self, name):
        self.repos.insert(0, name)
        self.branches[name] = {}
        self.commits[name] = {}
        self.births[name] = []

    def _need_project(self, name):
        if name not in self.projects:
            raise ProjectNotFound(name)

    def _need(self, repo, create=False):
        self._need_project(project_of(repo))
        if is_spec(repo) and create and repo not in self.repos:
            self._add_repo(repo)
        if repo not in self.repos:
            raise RepoNotFound(repo)

    def _need_branch(self, repo, branch):
        self._need(repo, create=True)
        if branch not in self.branches[repo]:
            self.branches[repo] = {branch: Branch(), **self.branches[repo]}
            self.births[repo] = [b for b in self.births[repo] if b != branch] + [branch]
            self._touch(repo)

    def _touch(self, *repos):
        self.repos = sorted(repos) + [r for r in self.repos if r not in repos]

    def _first(self, repo, branch):
        moved = self.branches[repo].pop(branch)
        self.branches[repo] = {branch: moved, **self.branches[repo]}

    def _set_head(self, repo, branch, head):
        self.branches[repo][branch].head = head
        self._first(repo, branch)

    def _insert(self, repo, run, commit):
        if run in self.commits[repo]:
            raise Conflict("one commit per repo and run")
        self.commits[repo][run] = commit
        self.order.append((repo, run))
        if run not in self.runs:
            self.runs.append(run)
        self._touch(repo)

    def _drop_empty_runs(self):
        there = {run for _, run in self.order}
        self.runs = [run for run in self.runs if run in there]

    def _below(self, starts):
        """These branches and all that is derived from them."""
        found = set(starts)
        while True:
            more = {n for n, b in self._all_branches() if found & set(b.sources)} - found
            if not more:
                return found
            found |= more

    def _above(self, start):
        found = {start}
        while True:
            more = {s for n in found for s in self.branches[n[0]][n[1]].sources} - found
            if not more:
                return found
            found |= more

    def _set_sources(self, repo, branch, sources):
        for other, name in sources:
            self._need(other)
            if name not in self.branches[other]:
                raise BranchNotFound(other, name)
        if set(sources) & self._below({(repo, branch)}):
            raise ProvenanceLoop(repo, branch)
        it = self.branches[repo][branch]
        if it.sources == sources:
            return
        it.sources = sources
        for start in self._above((repo, branch)):
            reached = [r for r, _ in self._below({start})]
            if len(reached) != len(set(reached)):
                raise Conflict("multiple branches of one repo")
        self._first(repo, branch)
        self._touch(*{r for r, _ in self._above((repo, branch))})

    def _propagate(self, starts, run):
        """Level by level: a branch is looked at once all its sources have been."""
        waiting = {n for n in self._below(starts) if self.branches[n[0]][n[1]].sources}
        opened = []
        new_in = set()
        while waiting:
            level = sorted(
                (n for n in waiting if not waiting & set(self.branches[n[0]][n[1]].sources)),
                key="@".join,
            )
            for repo, name in level:
                branch = self.branches[repo][name]
                heads = [(r, b, self.branches[r][b].head) for r, b in branch.sources]
                heads = [head for head in heads if head[2] is not None]
                if all(is_spec(r) for r, _, _ in heads):
                    continue
                if branch.head and set(self.commits[repo][branch.head].sources) == set(heads):
                    continue
                if repo in new_in:
                    raise Conflict("two commits of one repo in one run")
                new_in.add(repo)
                self._insert(repo, run, Commit(name, False, branch.head, heads))
                self._set_head(repo, name, run)
                branch.loose = False
                opened.append((repo, run))
            waiting -= set(level)
        return opened
