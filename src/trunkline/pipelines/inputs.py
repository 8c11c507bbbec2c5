"""Inputs: from the canonical document to values, their rules, and how they are shown.

The rules are Pachyderm's: members of a cross or join need distinct names, members of a union or
group may share them (that is how one program is written for all of them), and nothing may be called
`out`. Keys (`join_on`, `group_by`) are checked where a join or group is around them; elsewhere they
do nothing, and a warning says so.
"""

import posixpath
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import assert_never, cast

from trunkline.errors import InvalidInput, shown
from trunkline.fetch.urls import GitUrl, parse_git
from trunkline.files.glob import compile_glob
from trunkline.model.names import (
    DEFAULT_PROJECT,
    bare_name,
    check_branch,
    check_name,
    check_project,
    full_name,
    project_of,
)
from trunkline.model.pipelines import (
    Cron,
    CrossInput,
    Git,
    GroupInput,
    Input,
    JoinInput,
    PfsInput,
    SecretUse,
    UnionInput,
)
from trunkline.model.versions import DEFAULT_BRANCH, BranchName, BranchTrigger
from trunkline.pipelines.canonical import Document, dotted
from trunkline.pipelines.input_triggers import name_branches, read_trigger
from trunkline.pipelines.nodes import Fault, Path
from trunkline.pipelines.templates import compile_template
from trunkline.versions import schedules

NO_INPUT = UnionInput(members=())  # of a spout
_EVERY_TICK = "/*"
_WHOLE_CHECKOUT = "/"
# What git lets no branch be called.
_NO_GIT_BRANCH = re.compile(
    r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|^[-/]|/$|\.$|(^|/)\.|\.lock(/|$)|^@$|^$"
)
INPUTS_MAX = 256  # leaves of one spec's input

_MEMBERS: dict[str, type[CrossInput | UnionInput | JoinInput | GroupInput]] = {
    "cross": CrossInput,
    "union": UnionInput,
    "join": JoinInput,
    "group": GroupInput,
}
_MATCHING = {"join": ("join_on", "outer_join"), "group": ("group_by",)}  # what works inside of one


def read_input(document: Document, path: Path, *, pipeline: str) -> tuple[Input, Document]:
    """The input of a canonical document, and the document with defaults filled in.

    Repos are in the project of the pipeline (a full name) where no other is named. Raises Fault.
    That the repos exist is for the caller to check, in its transaction.
    """
    found, completed = _read(name_branches(document, pipeline=pipeline), path, pipeline)
    leaves = _leaves(found)
    if len(leaves) > INPUTS_MAX:
        raise Fault(
            f"{dotted(path)} has {len(leaves)} inputs, more than the {INPUTS_MAX} allowed",
            path=path,
        )
    _names(found, path)
    _made_repos(found, path)
    _triggers(found, path)
    return found, completed


def branches_of(root: Input) -> list[BranchName]:
    """The branches that an input reads, each once, in the order of the spec."""
    return list(
        dict.fromkeys(BranchName(repo=leaf.repo, branch=leaf.branch) for leaf in _leaves(root))
    )


def trigger_leaves(root: Input) -> list[tuple[BranchName, BranchTrigger]]:
    """The branches that triggers of inputs move, each once, with these."""
    found = {
        BranchName(repo=leaf.repo, branch=leaf.branch): leaf.trigger
        for leaf in _leaves(root)
        if leaf.trigger is not None
    }
    return list(found.items())


def read_branches(root: Input) -> list[BranchName]:
    """The branch that each pfs input reads; one that several read as often."""
    return [BranchName(repo=leaf.repo, branch=leaf.branch) for leaf in _leaves(root)]


def quiet_branches(root: Input) -> frozenset[BranchName]:
    """The branches whose commits start no job, whichever input reads them."""
    loud = {(leaf.repo, leaf.branch) for leaf in _leaves(root) if not leaf.quiet}
    return frozenset(name for name in branches_of(root) if (name.repo, name.branch) not in loud)


def cron_leaves(root: Input) -> list[tuple[PfsInput, Cron]]:
    """The cron inputs among the inputs."""
    return [(leaf, leaf.cron) for leaf in _leaves(root) if leaf.cron is not None]


def git_leaves(root: Input) -> list[tuple[PfsInput, Git]]:
    """The git inputs among the inputs."""
    return [(leaf, leaf.git) for leaf in _leaves(root) if leaf.git is not None]


def git_secrets(root: Input) -> tuple[SecretUse, ...]:
    """The secrets that let git inputs in."""
    gits = [git for _, git in git_leaves(root) if git.secret]
    return tuple(SecretUse(name=git.secret, key=git.secret_key) for git in gits)


def leaf_names(root: Input) -> tuple[str, ...]:
    """The names of all inputs that give files, each once."""
    return tuple(dict.fromkeys(leaf.name for leaf in _leaves(root)))


def empty_file_inputs(root: Input) -> tuple[str, ...]:
    """The names of the inputs whose files are given without their content, sorted."""
    return tuple(sorted({leaf.name for leaf in _leaves(root) if leaf.empty_files}))


def lazy_inputs(root: Input) -> tuple[str, ...]:
    """The names of the inputs whose files are read from the store when they are opened, sorted.

    Files without content have nothing to be read: `empty_files` wins.
    """
    lazy = {leaf.name for leaf in _leaves(root) if leaf.lazy}
    return tuple(sorted(lazy - set(empty_file_inputs(root))))


def shorthand(root: Input) -> str:
    """The input as `list pipeline` shows it: `(attributes:/* ⨯ train:/)`."""
    match root:
        case PfsInput():
            if root.cron is not None:
                return f"{root.name}:{root.cron.spec}"
            if root.git is not None:
                return f"{root.name}:{root.git.branch}"
            return f"{root.repo}:{root.glob}"
        case CrossInput():
            return f"({' ⨯ '.join(shorthand(member) for member in root.members)})"
        case UnionInput(members=()):
            return ""
        case UnionInput():
            return f"({' ∪ '.join(shorthand(member) for member in root.members)})"
        case JoinInput():
            return f"({' ⋈ '.join(shorthand(member) for member in root.members)})"
        case GroupInput():
            return f"(Group: {', '.join(shorthand(member) for member in root.members)})"
        case _:
            assert_never(root)


def idle_keys(document: Mapping[str, object]) -> list[str]:
    """What a canonical spec says of joins and groups where there is none, as sentences."""
    root = document.get("input") or {}
    assert isinstance(root, dict), "a canonical spec has an input, or none at all"
    return list(dict.fromkeys(_idle(root, frozenset())))


def _idle(document: Document, around: frozenset[str]) -> Iterator[str]:
    for kind, value in document.items():
        if isinstance(value, list):
            for member in value:
                yield from _idle(member, around | {kind})
        elif isinstance(value, dict):
            for matching, fields in _MATCHING.items():
                idle = [field for field in fields if value.get(field) and matching not in around]
                for field in idle:
                    yield f"{field} of input '{value['name']}' does nothing: it is in no {matching}"


def resolved_document(
    document: Mapping[str, object], commits: Mapping[BranchName, str | None]
) -> Document:
    """The canonical spec with the commit that a job reads written into each input.

    A branch without a commit (None, or absent) leaves its input as it is.
    """
    root = document.get("input") or {}
    assert isinstance(root, dict), "a canonical spec has an input, or none at all"
    return {**document, "input": _resolved(root, commits)}


def _resolved(document: Document, commits: Mapping[BranchName, str | None]) -> Document:
    resolved: Document = {}
    for kind, value in document.items():
        if isinstance(value, list):
            resolved[kind] = [_resolved(member, commits) for member in value]
        elif isinstance(value, dict):
            project = str(value.get("project") or DEFAULT_PROJECT)
            repo = full_name(project, str(value["repo"]))
            own = "" if kind == "git" else str(value.get("branch") or "")
            branch = BranchName(repo=repo, branch=own or DEFAULT_BRANCH)
            resolved[kind] = _with_commit(value, commits.get(branch))
    return resolved


def _with_commit(leaf: Document, commit: str | None) -> Document:
    if commit is None:
        return leaf
    shown: Document = {}
    for key, value in leaf.items():
        shown[key] = value
        # A cron input has no branch, and that of a git input is one of its remote.
        if key == ("branch" if "branch" in leaf and "URL" not in leaf else "repo"):
            shown["commit"] = commit
    return shown


def _read(document: Document, path: Path, pipeline: str) -> tuple[Input, Document]:
    if not document:
        raise Fault(
            f"no input set: {dotted(path)} needs one of pfs, atom, cron, git, cross, union, join, "
            "group",
            path=path,
        )
    if len(document) > 1:
        kinds = ", ".join(document)
        raise Fault(
            f"multiple input types set: {dotted(path)} has {kinds}; combine them with a cross, "
            "a union, a join or a group",
            path=path,
        )
    [(kind, value)] = document.items()
    below = (*path, kind)
    if isinstance(value, list):
        return _read_members(kind, value, below, pipeline)
    assert isinstance(value, dict), "the table of fields allows objects and lists here"
    read = {"cron": _read_cron, "git": _read_git}.get(kind, _read_leaf)
    leaf, completed = read(value, below, pipeline)
    return leaf, {kind: completed}


def _read_members(
    kind: str, members: list[Document], path: Path, pipeline: str
) -> tuple[Input, Document]:
    if not members:
        raise Fault(f"no input set: {dotted(path)} is empty", path=path)
    read = [_read(member, (*path, index), pipeline) for index, member in enumerate(members)]
    inputs = tuple(found for found, _ in read)
    for index, member in enumerate(inputs if kind in _MATCHING else ()):
        unkeyed = _unkeyed(kind, member, (*path, index))
        if unkeyed is not None:
            leaf, place = unkeyed
            kinds = {leaf.cron is not None: "a clock", leaf.git is not None: "a checkout"}
            how = (
                f"{kinds[True]} can have none: cross it with an input that has one"
                if True in kinds
                else "'$1' stands for what the first pair of round brackets of its glob matched"
            )
            raise Fault(
                f"input must specify a {_MATCHING[kind][0]}: {dotted(place)} is in a {kind} and "
                f"has none; {how}",
                path=place,
            )
    return _MEMBERS[kind](members=inputs), {kind: [document for _, document in read]}


def _unkeyed(kind: str, root: Input, path: Path) -> tuple[PfsInput, Path] | None:
    """The input that leaves a datum without key, if there is one; of a cross, one side will do."""
    if isinstance(root, PfsInput):
        return None if getattr(root, _MATCHING[kind][0]) else (root, path)
    [inner] = [name for name, made in _MEMBERS.items() if isinstance(root, made)]
    found = [_unkeyed(kind, member, (*path, inner, i)) for i, member in enumerate(root.members)]
    if isinstance(root, CrossInput) and None in found:
        return None
    return next((place for place in found if place is not None), None)


def _read_leaf(document: Document, path: Path, pipeline: str) -> tuple[PfsInput, Document]:
    project = project_of(pipeline)
    repo = str(document.get("repo") or "")
    if not repo:
        raise Fault(f"input must specify a repo: {dotted(path)} has none", path=path)
    name = str(document.get("name") or repo)
    branch = str(document.get("branch") or DEFAULT_BRANCH)
    glob = str(document.get("glob") or "")
    if not glob:
        raise Fault(
            f"input must specify a glob: {dotted(path)} has none; '/' makes the whole tree one "
            "datum, '/*' each file and directory at the top",
            path=path,
        )
    _check_input_name(name, path)
    _check_leaf(path, name=name, repo=repo, branch=branch, glob=glob)
    keys = _read_keys(document, path, glob)
    named = str(document.get("project") or "")
    _check_project(named, (*path, "project"))
    filled: Document = {"name": name, "repo": repo, "branch": branch, "glob": glob}
    # Said in each input of a pipeline outside of `default`: an input can be read by itself then.
    completed: Document = {} if project == DEFAULT_PROJECT else {"project": project}
    completed |= {"project": named} if named else {}
    completed |= filled
    completed |= {key: value for key, value in document.items() if key not in completed}
    leaf = PfsInput(
        name=name,
        repo=full_name(named or project, repo),
        branch=branch,
        glob=glob,
        lazy=bool(document.get("lazy")),
        empty_files=bool(document.get("empty_files")),
        join_on=keys.get("join_on", ""),
        outer_join=bool(document.get("outer_join")) and "join" in path,
        group_by=keys.get("group_by", ""),
        quiet=bool(cast(Document, document.get("propagation_spec") or {}).get("never")),
        reference=bool(document.get("reference")),
        trigger=read_trigger(document, path),
    )
    return leaf, completed


def _read_keys(document: Document, path: Path, glob: str) -> dict[str, str]:
    """The templates of the keys that the joins and groups around an input ask for."""
    keys: dict[str, str] = {}
    for kind, (field, *_) in _MATCHING.items():
        if kind in path:
            if document.get("s3"):
                raise Fault(f"an input with s3 can't be in a {kind}", path=(*path, "s3"))
            keys[field] = str(document.get(field) or "")
            try:
                compile_template(keys[field], compile_glob(glob))
            except InvalidInput as error:
                raise Fault(str(error), path=(*path, field)) from error
    return keys


def _read_cron(document: Document, path: Path, pipeline: str) -> tuple[PfsInput, Document]:
    """A clock, which is read like a pfs input of the repo that its ticks go to."""
    project = project_of(pipeline)
    name = str(document.get("name") or "")
    if not name:
        raise Fault(f"input must specify a name: {dotted(path)} has none", path=path)
    _check_input_name(name, path)
    spec = str(document.get("spec") or "")
    if not spec:
        raise Fault(
            f"input must specify a spec: {dotted(path)} has none; write '@every 10m', '@daily', a "
            "cron expression like '0 3 * * *', or '@never'",
            path=path,
        )
    repo = str(document.get("repo") or f"{bare_name(pipeline)}_{name}")
    named = str(document.get("project") or "")
    _check_leaf(path, name=name, repo=repo, branch=DEFAULT_BRANCH, glob=_EVERY_TICK)
    _check_project(named, (*path, "project"))
    start = str(document.get("start") or "")
    leaf = PfsInput(
        name=name,
        repo=full_name(named or project, repo),
        branch=DEFAULT_BRANCH,
        glob=_EVERY_TICK,
        cron=Cron(
            spec=_schedule(spec, (*path, "spec")),
            start=_start(start, (*path, "start")) if start else None,
            overwrite=bool(document.get("overwrite")),
        ),
    )
    if leaf.repo == pipeline:
        problem = f"the ticks of {dotted(path)} can't go to the pipeline's own output repo"
        raise Fault(problem, path=(*path, "repo"))
    completed: Document = {"name": name}
    completed |= {"project": named or project} if named or project != DEFAULT_PROJECT else {}
    completed["repo"] = repo
    return leaf, completed | {k: v for k, v in document.items() if k not in completed}


def _read_git(document: Document, path: Path, pipeline: str) -> tuple[PfsInput, Document]:
    """A branch of a git repository, which is read like a pfs input of the repo of its checkouts."""
    project = project_of(pipeline)
    url = _git_url(document, path)
    name = str(document.get("name") or "")
    if not name:
        name = posixpath.basename(url.web.target.rstrip("/")).removesuffix(".git")
        try:
            check_name("pfs input", name)
        except InvalidInput as error:
            raise Fault(f"{error}; give the input a `name`", path=(*path, "URL")) from error
    _check_input_name(name, path)
    branch = str(document.get("branch") or DEFAULT_BRANCH)
    if _NO_GIT_BRANCH.search(branch):
        problem = (
            f"{dotted((*path, 'branch'))} is {shown(branch)}, and git lets no branch be called so"
        )
        raise Fault(problem, path=(*path, "branch"))
    repo = str(document.get("repo") or f"{bare_name(pipeline)}_{name}")
    named = str(document.get("project") or "")
    _check_leaf(path, name=name, repo=repo, branch=DEFAULT_BRANCH, glob=_WHOLE_CHECKOUT)
    _check_project(named, (*path, "project"))
    secret = cast(Document, document.get("secret") or {})
    if secret and not (secret.get("name") and secret.get("key")):
        below = (*path, "secret")
        raise Fault(f"{dotted(below)} needs a `name` and a `key`", path=below)
    leaf = PfsInput(
        name=name,
        repo=full_name(named or project, repo),
        branch=DEFAULT_BRANCH,
        glob=_WHOLE_CHECKOUT,
        git=Git(
            url=str(url),
            branch=branch,
            secret=str(secret.get("name") or ""),
            secret_key=str(secret.get("key") or ""),
        ),
    )
    if leaf.repo == pipeline:
        problem = f"the checkouts of {dotted(path)} can't go to the pipeline's own output repo"
        raise Fault(problem, path=(*path, "repo"))
    completed: Document = {"name": name}
    completed |= {"project": named or project} if named or project != DEFAULT_PROJECT else {}
    completed |= {"repo": repo, "URL": str(document["URL"]), "branch": branch}
    return leaf, completed | {k: v for k, v in document.items() if k not in completed}


def _git_url(document: Document, path: Path) -> GitUrl:
    text = str(document.get("URL") or "")
    if not text:
        raise Fault(f"input must specify a URL: {dotted(path)} has none", path=path)
    try:
        return parse_git(text)
    except InvalidInput as error:
        raise Fault(str(error), path=(*path, "URL")) from error


def _schedule(spec: str, path: Path) -> str:
    try:
        if spec.strip() != schedules.NEVER:
            schedules.check(spec)
    except InvalidInput as error:
        raise Fault(f"error parsing cron-spec: {error}", path=path) from error
    return spec


def _start(text: str, path: Path) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        problem = f"{dotted(path)} must be a time like 2026-01-31T00:00:00Z, not {shown(text)}"
        raise Fault(problem, path=path)
    return found.astimezone(UTC)


def _check_leaf(path: Path, *, name: str, repo: str, branch: str, glob: str) -> None:
    try:
        check_name("repo", repo)
        check_name("pfs input", name)
    except InvalidInput as error:
        field = "name" if name != repo else "repo"
        raise Fault(str(error), path=(*path, field)) from error
    try:
        check_branch(branch)
    except InvalidInput as error:
        raise Fault(str(error), path=(*path, "branch")) from error
    try:
        compile_glob(glob)
    except InvalidInput as error:
        raise Fault(str(error), path=(*path, "glob")) from error


def _check_input_name(name: str, path: Path) -> None:
    if name == "out":
        raise Fault(
            'input cannot be named "out": /pfs/out is where the output goes; give it another '
            "`name`",
            path=path,
        )


def _check_project(name: str, path: Path) -> None:
    if name:
        try:
            check_project(name)
        except InvalidInput as error:
            raise Fault(str(error), path=path) from error


def _names(root: Input, path: Path) -> frozenset[str]:
    """The names that a datum of this input can have; no datum may have one of two members."""
    match root:
        case PfsInput():
            return frozenset({root.name})
        case UnionInput() | GroupInput():
            kind = "union" if isinstance(root, UnionInput) else "group"
            sets = [_names(member, (*path, kind, i)) for i, member in enumerate(root.members)]
            return frozenset().union(*sets)
        case CrossInput() | JoinInput():
            kind = "cross" if isinstance(root, CrossInput) else "join"
            seen: frozenset[str] = frozenset()
            for index, member in enumerate(root.members):
                below = (*path, kind, index)
                names = _names(member, below)
                twice = sorted(seen & names)
                if twice:
                    raise Fault(
                        f"name {twice[0]} was used more than once: the members of a {kind} "
                        "need distinct names",
                        path=below,
                    )
                seen |= names
            return seen
        case _:
            assert_never(root)


def _made_repos(root: Input, path: Path) -> None:
    """No two inputs of a pipeline write to one repo: nobody could tell their files apart."""
    seen: dict[str, str] = {}
    for leaf in _leaves(root):
        kind = "cron" if leaf.cron is not None else "git" if leaf.git is not None else ""
        if kind and leaf.repo in seen:
            both = {"cron": "two cron inputs have their ticks", "git": "two git inputs write"}
            who = both[kind] if seen[leaf.repo] == kind else "a cron and a git input write"
            raise Fault(
                f"{who} in repo '{leaf.repo}'; give one of them another `name` or `repo`",
                path=path,
            )
        if kind:
            seen[leaf.repo] = kind


def _triggers(root: Input, path: Path) -> None:
    """A branch has one trigger at most."""
    known = dict(trigger_leaves(root))
    for leaf in _leaves(root):
        name = BranchName(repo=leaf.repo, branch=leaf.branch)
        if leaf.trigger is not None and leaf.trigger != known[name]:
            raise Fault(
                f"two inputs give branch {name} different triggers; leave out the `branch` of one "
                "of them, and it gets one of its own",
                path=path,
            )
        if leaf.trigger is not None and leaf.trigger.source == leaf.branch:
            raise Fault(f"branch {name} can't be triggered by itself", path=path)


def _leaves(root: Input) -> list[PfsInput]:
    if isinstance(root, PfsInput):
        return [root]
    return [leaf for member in root.members for leaf in _leaves(member)]
