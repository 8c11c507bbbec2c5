"""What the plain model of repos, branches and commits keeps of each, and of each deletion."""

from dataclasses import dataclass, field


@dataclass
class Commit:
    branch: str | None
    user: bool
    made_on: str | None  # the parent that it was made with, deleted or not
    sources: list  # of (repo, branch, id), deleted or not
    home: int = 0  # which repo of its name
    birth: int = 0
    finished: bool = False
    size: int = 0
    error: str | None = None


@dataclass
class Branch:
    head: str | None = None
    sources: list = field(default_factory=list)  # of (repo, branch)
    loose: bool = False  # a source of it was deleted by force since its last commit
    birth: int = 0  # which branch of its name


@dataclass
class Deletion:
    """What one deletion took, as it was; `repo` is the birth of the repo that it happened in."""

    kind: str
    name: str
    repo: int
    repos: dict = field(default_factory=dict)  # name -> birth
    commits: dict = field(default_factory=dict)  # (repo, id) -> Commit
    branches: dict = field(default_factory=dict)  # (repo, name) -> Branch, and ...
    derived: dict = field(default_factory=dict)  # ... birth -> births of what it is derived from
    cuts: dict = field(default_factory=dict)  # the same of others: birth -> (before, after)
    heads: dict = field(default_factory=dict)  # birth -> (was, left)
    needs: set = field(default_factory=set)  # what its commits were made from, and had not lost
