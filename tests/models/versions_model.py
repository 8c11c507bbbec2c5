"""Repos, branches, commits and provenance as plain dicts: what the catalog has to agree with.

Written from the rules, not from the code: no numbers, no SQL, nothing incremental. Every question
is answered by walking everything. Errors are the classes of `trunkline.errors`; an operation that
raises leaves the model as it was.
"""

import copy
import functools

from versions_records import Branch, Commit, Deletion

from trunkline import errors

SPEC = "__spec__"


def project_of(repo):
    return repo.split("/")[0] if "/" in repo else "default"


def is_spec(repo):
    return repo.split("/")[-1] == SPEC


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
    def __init__(self, part_of=None):
        """`part_of(run, number)` gives the id of one more run that a run is divided into."""
        self.part_of = part_of
        self.projects = ["default"]  # names, last made first
        self.repos = []  # names, last changed first
        self.branches = {}  # repo -> {name: Branch}, last moved first
        self.commits = {}  # repo -> {id: Commit}, oldest first
        self.run_births = {}  # id -> birth of the commit that began it
        self.homes = {}  # repo -> birth
        self.gone = {}  # (repo, id) -> deleted Commit
        self.trash = []  # of Deletion, oldest first
        self.clock = 0  # of births

    # --- changes ----------------------------------------------------------------------------------

    @atomic
    def create_project(self, name):
        if name in self.projects:
            raise errors.AlreadyExists("project", name)
        self.projects.insert(0, name)

    @atomic
    def delete_project(self, name):
        self._need_project(name)
        inside = [repo for repo in self.repos if project_of(repo) == name]
        if name == "default" or not all(is_spec(repo) for repo in inside):
            raise errors.InUse(name)
        for repo in inside:
            self.delete_repo(repo, True)
        self.projects.remove(name)

    @atomic
    def create_repo(self, name):
        self._need_project(project_of(name))
        if name in self.repos:
            raise errors.AlreadyExists("repo", name)
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
            raise errors.InUse(name)
        entry = Deletion("repo", name, self.homes[name], repos={name: self.homes[name]})
        entry.branches = {(name, b): branch for b, branch in self.branches[name].items()}
        self._note_provenance(entry)
        for _, branch in self._all_branches():
            branch.sources = [s for s in branch.sources if s[0] != name]
        entry.commits = {(name, c): commit for c, commit in self.commits[name].items()}
        self.repos.remove(name)
        del self.branches[name], self.commits[name], self.homes[name]
        self._throw_away(entry)

    @atomic
    def start(self, repo, branch, parent, run):
        base = None
        if branch is not None:
            self._need_branch(repo, branch)
            if self.branches[repo][branch].sources:
                raise errors.OutputBranch(repo, branch)
            base = self.branches[repo][branch].head
        elif is_spec(repo):
            self._need(repo, create=True)
        self._need(repo)
        if parent is not None:
            base = self.resolve(repo, parent, 0)
        if base is not None and not self.commits[repo][base].finished:
            raise errors.CommitOpen(repo, base, "")
        self._insert(repo, run, Commit(branch=branch, user=True, made_on=base, sources=[]))
        if branch is None:
            return []
        self._set_head(repo, branch, run)
        return self._propagate({(repo, branch)}, run)

    @atomic
    def finish(self, repo, commit, size, error, output):
        self._need(repo)
        if commit not in self.commits[repo]:
            raise errors.CommitNotFound(repo, commit)
        found = self.commits[repo][commit]
        if found.finished:
            raise errors.CommitFinished(repo, commit)
        if not found.user and not output:
            raise errors.OutputBranch(repo, "")
        found.finished, found.size, found.error = True, 0 if error else size, error
        self._touch(repo)

    @atomic
    def put(self, repo, branch, expected, size, run):
        self._need_branch(repo, branch)
        if self.branches[repo][branch].sources:
            raise errors.OutputBranch(repo, branch)
        if self.branches[repo][branch].head != expected:
            raise errors.HeadMoved("")
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
            raise errors.BranchNotFound(repo, branch)
        below = [b for _, b in self._all_branches() if (repo, branch) in b.sources]
        if below and not force:
            raise errors.InUse(branch)
        entry = Deletion("branch", f"{repo}@{branch}", self.homes[repo])
        entry.branches = {(repo, branch): self.branches[repo][branch]}
        self._note_provenance(entry)
        for other in below:
            other.sources.remove((repo, branch))
            other.loose = True
        del self.branches[repo][branch]
        self.trash.append(entry)
        self._touch(repo)

    @atomic
    def delete_commit(self, repo, commit, run):
        self._need(repo)
        if commit not in self.commits[repo]:
            raise errors.CommitNotFound(repo, commit)
        if is_spec(repo):
            raise errors.Conflict("")
        if not self.commits[repo][commit].user:
            raise errors.OutputBranch(repo, "")
        return self._remove(self._with_derived({(repo, commit)}), f"{repo}@{commit}", run)

    @atomic
    def squash(self, names, recursive, run):
        doomed = self._doomed(names, recursive)
        for name in [n for n in self.order if n in doomed]:
            if any((r, b.head) == name for (r, _), b in self._all_branches()):
                raise errors.Conflict("a head")
            children = self.children(name)
            if not children:
                raise errors.Conflict("nothing on top")
            if any(not self._commit(c).finished for c in children if c not in doomed):
                raise errors.InUse("open on top")
        return self._remove(doomed, "@".join(names[0]), run)

    @atomic
    def drop(self, names, recursive, run):
        doomed = self._doomed(names, recursive)
        if not any(self._commit(name).user for name in names):
            raise errors.OutputBranch(names[0][0], "")
        if any(child not in doomed for name in doomed for child in self.children(name)):
            raise errors.InUse("something on top")
        return self._remove(doomed, "@".join(names[0]), run)

    def _doomed(self, names, recursive):
        doomed = self._with_derived(set(names))
        if doomed != set(names) and not recursive:
            raise errors.InUse("derived")
        if any(is_spec(repo) for repo, _ in doomed):
            raise errors.Conflict("a spec")
        return doomed

    def _with_derived(self, doomed):
        for name in self.order:  # upstream comes before downstream
            if doomed & set(self.direct(name)):
                doomed = doomed | {name}
        return doomed

    def _remove(self, doomed, name, run):
        entry = Deletion("commit", name, 0)
        first = {}
        moved = set()
        for where, gone in [n for n in self.order if n in doomed]:
            parent = self.parent((where, gone))
            for branch in self._by_birth(where):
                if self.branches[where][branch].head == gone:
                    first.setdefault((where, branch), gone)
                    self._set_head(where, branch, parent)
                    moved.add((where, branch))
            self.gone[where, gone] = entry.commits[where, gone] = self.commits[where].pop(gone)
            self._touch(where)
        self._throw_away(entry)
        opened = self._settle(moved, run)
        for (where, branch), was in first.items():
            it = self.branches[where][branch]
            entry.heads[it.birth] = (was, it.head)
        return sorted(doomed), opened

    @atomic
    def undelete(self, kind, name, run):
        entry = self._find(kind, name)
        for repo, birth in entry.repos.items():
            if repo in self.repos:
                raise errors.Conflict("the name is taken")
            if project_of(repo) not in self.projects:
                raise errors.Conflict("its project is deleted")
            self.repos.insert(0, repo)
            self.homes[repo], self.branches[repo], self.commits[repo] = birth, {}, {}
        self.trash.remove(entry)
        self._commits_back(entry)
        due = self._branches_back(entry)
        due |= self._provenance_back(entry)
        for birth, (was, left) in entry.heads.items():
            for (repo, branch), it in self._all_branches():
                if it.birth == birth and it.head == left:
                    self._set_head(repo, branch, was)
                    due.add((repo, branch))
        return self._settle(due, run)

    def _find(self, kind, name):
        if kind == "commit":
            repo, commit = name.split("@")
            found = [e for e in self.trash if (repo, commit) in e.commits]
        else:
            found = [e for e in self.trash if (e.kind, e.name) == (kind, name)]
        if not found:
            raise errors.NotFound("")
        if found[-1].kind != kind:
            raise errors.Conflict("it was deleted with something larger")
        return found[-1]

    def _commits_back(self, entry):
        for (repo, _), commit in entry.commits.items():
            if self.homes.get(repo) != commit.home:
                raise errors.Conflict("its repo is deleted")
        for r, c in entry.needs:
            there = c in self.commits.get(r, {}) or (r, c) in entry.commits
            if not there and entry.kind == "commit":
                raise errors.Conflict("what it was made from is deleted")
        for other in self.trash:  # whose commits have again what they had lost by force
            other.needs |= self._sources_of(other) & entry.commits.keys()
        for (repo, commit), it in sorted(entry.commits.items(), key=lambda item: item[1].birth):
            del self.gone[repo, commit]
            self.commits[repo][commit] = it
            self.run_births.setdefault(commit, it.birth)
        for repo in {repo for repo, _ in entry.commits}:
            back = sorted(self.commits[repo].items(), key=lambda item: item[1].birth)
            self.commits[repo] = dict(back)
        if entry.kind == "commit":
            self._touch(*{repo for repo, _ in entry.commits})
        else:
            self._touch(*entry.repos)

    def _branches_back(self, entry):
        due = set()
        for (repo, name), it in sorted(entry.branches.items(), key=lambda item: item[1].birth):
            if self.homes.get(repo) != entry.repo:
                raise errors.Conflict("its repo is deleted")
            if name in self.branches[repo]:
                raise errors.Conflict("the name is taken")
            if it.head is not None and it.head not in self.commits[repo]:
                raise errors.Conflict("its head is deleted")
            it.sources = []
            self.branches[repo] = {name: it, **self.branches[repo]}
            self._touch(repo)
            due.add((repo, name))
        if entry.repos:  # in the order that they had
            for repo in entry.repos:
                self.branches[repo] = {n: b for (_, n), b in entry.branches.items()}
        return due

    def _provenance_back(self, entry):
        there = {it.birth: name for name, it in self._all_branches()}
        due = set()
        for birth, before in entry.derived.items():
            if any(source not in there for source in before):
                raise errors.Conflict("a source is deleted")
            it = self._branch(there[birth])
            it.sources = [there[source] for source in before]
            due.add(there[birth])
        for birth, (before, after) in entry.cuts.items():
            if birth not in there:
                raise errors.Conflict("what was derived is deleted")
            it = self._branch(there[birth])
            due.add(there[birth])
            if [self._branch(source).birth for source in it.sources] == after:
                it.sources = [there[source] for source in before]
                it.loose = False
        for name in due:
            below = self._below({name}) - {name}
            if set(self._branch(name).sources) & below:
                raise errors.ProvenanceLoop(*name)
        for name in due:
            self._refuse_shared_runs(*name)
        return due

    def _note_provenance(self, entry):
        mine = {it.birth for it in entry.branches.values()}
        for _, it in self._all_branches():
            births = [self._branch(source).birth for source in it.sources]
            if it.birth in mine:
                entry.derived[it.birth] = births
            elif mine & set(births):
                entry.cuts[it.birth] = (births, [b for b in births if b not in mine])

    def _sources_of(self, entry):
        return {(r, c) for commit in entry.commits.values() for r, _, c in commit.sources}

    def _throw_away(self, entry):
        self.gone.update(entry.commits)
        entry.needs = {
            (r, c)
            for r, c in self._sources_of(entry)
            if c in self.commits.get(r, {}) or (r, c) in entry.commits
        }
        self.trash.append(entry)
        there = {run for _, run in self.order}
        self.run_births = {run: birth for run, birth in self.run_births.items() if run in there}

    # --- questions --------------------------------------------------------------------------------

    def resolve(self, repo, ref, up):
        self._need(repo)
        if ref in self.commits[repo]:
            found = ref
        elif len(ref) == 32:
            raise errors.CommitNotFound(repo, ref)
        elif ref not in self.branches[repo]:
            raise errors.BranchNotFound(repo, ref)
        else:
            found = self.branches[repo][ref].head
        line = self.line(repo, found)
        if up >= len(line):
            raise errors.CommitNotFound(repo, ref)
        return line[up]

    def line(self, repo, commit):
        """A commit and its ancestors."""
        found = []
        while commit is not None:
            found.append(commit)
            commit = self.parent((repo, commit))
        return found

    def parent(self, name):
        """The nearest one that is there of those that a commit was made on."""
        repo, commit = name
        above = self.commits[repo][commit].made_on
        while above is not None and above not in self.commits[repo]:
            above = self.gone[repo, above].made_on
        return above

    def children(self, name):
        repo, commit = name
        return [(repo, c) for c in self.commits[repo] if self.parent((repo, c)) == commit]

    def sources(self, name):
        """The direct provenance of a commit by branch, but for what was deleted by force."""
        return [(r, b, c) for r, b, c in self._commit(name).sources if c in self.commits.get(r, {})]

    @property
    def order(self):
        """Every (repo, id), oldest first."""
        return sorted((n for n, _ in self._all_commits()), key=lambda n: self._commit(n).birth)

    @property
    def runs(self):
        """Ids, oldest first."""
        return sorted(self.run_births, key=self.run_births.get)

    def direct(self, name):
        """What a commit was made from directly, each once."""
        return list(dict.fromkeys((r, c) for r, _, c in self.sources(name)))

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
            key=lambda n: (distance[n], n[0], self._commit(n).branch or "", self._commit(n).birth),
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
        newest = max(heads.values(), key=lambda c: self.commits[repo][c].birth)
        return self.commits[repo][heads.get("master", newest)].size

    # --- inside -----------------------------------------------------------------------------------

    def _commit(self, name):
        return self.commits[name[0]][name[1]]

    def _branch(self, name):
        return self.branches[name[0]][name[1]]

    def _by_birth(self, repo):
        return sorted(self.branches[repo], key=lambda name: self.branches[repo][name].birth)

    def _born(self):
        self.clock += 1
        return self.clock

    def _all_branches(self):
        return [((r, n), b) for r, bs in self.branches.items() for n, b in bs.items()]

    def _all_commits(self):
        return [((r, n), c) for r, cs in self.commits.items() for n, c in cs.items()]

    def _add_repo(self, name):
        self.repos.insert(0, name)
        self.branches[name] = {}
        self.commits[name] = {}
        self.homes[name] = self._born()

    def _need_project(self, name):
        if name not in self.projects:
            raise errors.ProjectNotFound(name)

    def _need(self, repo, create=False):
        self._need_project(project_of(repo))
        if is_spec(repo) and create and repo not in self.repos:
            self._add_repo(repo)
        if repo not in self.repos:
            raise errors.RepoNotFound(repo)

    def _need_branch(self, repo, branch):
        self._need(repo, create=True)
        if branch not in self.branches[repo]:
            self.branches[repo] = {branch: Branch(birth=self._born()), **self.branches[repo]}
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
            raise errors.Conflict("one commit per repo and run")
        commit.home, commit.birth = self.homes[repo], self._born()
        self.commits[repo][run] = commit
        self.run_births.setdefault(run, commit.birth)
        self._touch(repo)

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
                raise errors.BranchNotFound(other, name)
        if set(sources) & self._below({(repo, branch)}):
            raise errors.ProvenanceLoop(repo, branch)
        it = self.branches[repo][branch]
        if it.sources == sources:
            return
        it.sources = sources
        self._refuse_shared_runs(repo, branch)
        self._first(repo, branch)
        self._touch(*{r for r, _ in self._above((repo, branch))})

    def _refuse_shared_runs(self, repo, branch):
        for start in self._above((repo, branch)):
            reached = [r for r, _ in self._below({start})]
            if len(reached) != len(set(reached)):
                raise errors.Conflict("multiple branches of one repo")

    def _settle(self, starts, run):
        """One run, or as many as it takes for each to have one commit of a repo."""
        groups = []
        for start in sorted(starts, key="@".join):
            for group in groups:
                if self._fit(starts) or self._fit({*group, start}):
                    group.append(start)
                    break
            else:
                groups.append([start])
        opened = []
        for number, group in enumerate(groups):
            opened += self._propagate(set(group), self.part_of(run, number) if number else run)
        return opened

    def _fit(self, starts):
        try:
            copy.deepcopy(self)._propagate(starts, "one run")
        except errors.Conflict:
            return False
        return True

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
                if branch.head and set(self.sources((repo, branch.head))) == set(heads):
                    continue
                if repo in new_in:
                    raise errors.Conflict("two commits of one repo in one run")
                new_in.add(repo)
                self._insert(repo, run, Commit(name, False, branch.head, heads))
                self._set_head(repo, name, run)
                branch.loose = False
                opened.append((repo, run))
            waiting -= set(level)
        return opened
