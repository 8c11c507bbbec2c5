"""Inputs: from the canonical document to values, their rules, and how they are shown.

The rules are Pachyderm's: members of a cross need distinct names, members of a union may share
them (that is how one program is written for all of them), and nothing may be called `out`.
"""

from collections.abc import Mapping
from typing import assert_never

from trunkline.errors import InvalidInput
from trunkline.files.glob import compile_glob
from trunkline.model.names import (
    DEFAULT_PROJECT,
    check_branch,
    check_name,
    check_project,
    full_name,
)
from trunkline.model.pipelines import CrossInput, Input, PfsInput, UnionInput
from trunkline.model.versions import DEFAULT_BRANCH, BranchName
from trunkline.pipelines.canonical import Document, dotted
from trunkline.pipelines.nodes import Fault, Path

INPUTS_MAX = 256  # leaves of one spec's input


def read_input(document: Document, path: Path, *, project: str) -> tuple[Input, Document]:
    """The input of a canonical document, and the document with defaults filled in.

    Repos are in the pipeline's own `project` where no other is named. Raises Fault. That the repos
    exist is for the caller to check, in its transaction.
    """
    found, completed = _read(document, path, project)
    leaves = _leaves(found)
    if len(leaves) > INPUTS_MAX:
        raise Fault(
            f"{dotted(path)} has {len(leaves)} inputs, more than the {INPUTS_MAX} allowed",
            path=path,
        )
    _names(found, path)
    return found, completed


def branches_of(root: Input) -> list[BranchName]:
    """The branches that an input reads, each once, in the order of the spec."""
    return list(
        dict.fromkeys(BranchName(repo=leaf.repo, branch=leaf.branch) for leaf in _leaves(root))
    )


def empty_file_inputs(root: Input) -> tuple[str, ...]:
    """The names of the inputs whose files are given without their content, sorted."""
    return tuple(sorted({leaf.name for leaf in _leaves(root) if leaf.empty_files}))


def shorthand(root: Input) -> str:
    """The input as `list pipeline` shows it: `(attributes:/* ⨯ train:/)`."""
    match root:
        case PfsInput():
            return f"{root.repo}:{root.glob}"
        case CrossInput():
            return f"({' ⨯ '.join(shorthand(member) for member in root.members)})"
        case UnionInput():
            return f"({' ∪ '.join(shorthand(member) for member in root.members)})"
        case _:
            assert_never(root)


def resolved_document(
    document: Mapping[str, object], commits: Mapping[BranchName, str | None]
) -> Document:
    """The canonical spec with the commit that a job reads written into each input.

    A branch without a commit (None, or absent) leaves its input as it is.
    """
    root = document.get("input")
    assert isinstance(root, dict), "a canonical spec has an input"
    return {**document, "input": _resolved(root, commits)}


def _resolved(document: Document, commits: Mapping[BranchName, str | None]) -> Document:
    resolved: Document = {}
    for kind, value in document.items():
        if isinstance(value, list):
            resolved[kind] = [_resolved(member, commits) for member in value]
        elif isinstance(value, dict):
            project = str(value.get("project") or DEFAULT_PROJECT)
            repo = full_name(project, str(value["repo"]))
            branch = BranchName(repo=repo, branch=str(value["branch"]))
            resolved[kind] = _with_commit(value, commits.get(branch))
    return resolved


def _with_commit(leaf: Document, commit: str | None) -> Document:
    if commit is None:
        return leaf
    shown: Document = {}
    for key, value in leaf.items():
        shown[key] = value
        if key == "branch":
            shown["commit"] = commit
    return shown


def _read(document: Document, path: Path, project: str) -> tuple[Input, Document]:
    if not document:
        raise Fault(f"no input set: {dotted(path)} needs one of pfs, atom, cross, union", path=path)
    if len(document) > 1:
        kinds = ", ".join(document)
        raise Fault(
            f"multiple input types set: {dotted(path)} has {kinds}; combine them with a cross or "
            "a union",
            path=path,
        )
    [(kind, value)] = document.items()
    below = (*path, kind)
    if isinstance(value, list):
        return _read_members(kind, value, below, project)
    assert isinstance(value, dict), "the table of fields allows objects and lists here"
    leaf, completed = _read_leaf(value, below, project)
    return leaf, {kind: completed}


def _read_members(
    kind: str, members: list[Document], path: Path, project: str
) -> tuple[Input, Document]:
    if not members:
        raise Fault(f"no input set: {dotted(path)} is empty", path=path)
    read = [_read(member, (*path, index), project) for index, member in enumerate(members)]
    inputs = tuple(found for found, _ in read)
    completed: Document = {kind: [document for _, document in read]}
    if kind == "cross":
        return CrossInput(members=inputs), completed
    assert kind == "union", "other kinds are refused before"
    return UnionInput(members=inputs), completed


def _read_leaf(document: Document, path: Path, project: str) -> tuple[PfsInput, Document]:
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
    if name == "out":
        raise Fault(
            'input cannot be named "out": /pfs/out is where the output goes; give it another '
            "`name`",
            path=path,
        )
    _check_leaf(path, name=name, repo=repo, branch=branch, glob=glob)
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
    )
    return leaf, completed


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


def _check_project(name: str, path: Path) -> None:
    if name:
        try:
            check_project(name)
        except InvalidInput as error:
            raise Fault(str(error), path=path) from error


def _names(root: Input, path: Path) -> frozenset[str]:
    """The names that a datum of this input can have; a cross can't have one of them twice."""
    match root:
        case PfsInput():
            return frozenset({root.name})
        case UnionInput():
            sets = [_names(member, (*path, "union", i)) for i, member in enumerate(root.members)]
            return frozenset().union(*sets)
        case CrossInput():
            seen: frozenset[str] = frozenset()
            for index, member in enumerate(root.members):
                below = (*path, "cross", index)
                names = _names(member, below)
                twice = sorted(seen & names)
                if twice:
                    raise Fault(
                        f"name {twice[0]} was used more than once: the members of a cross need "
                        "distinct names",
                        path=below,
                    )
                seen |= names
            return seen
        case _:
            assert_never(root)


def _leaves(root: Input) -> list[PfsInput]:
    if isinstance(root, PfsInput):
        return [root]
    return [leaf for member in root.members for leaf in _leaves(member)]
