"""What the input of a spec reads, one for each branch, however the inputs are put together."""

from collections.abc import Iterator
from dataclasses import dataclass

from trunkline.model.names import DEFAULT_PROJECT, full_name


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecInput:
    """A branch that a spec reads. Only the spec of a job has commits."""

    kind: str  # pfs, cron or git; atom in old specs
    name: str
    repo: str  # full name
    branch: str
    commit: str  # empty where there is none
    glob: str


def inputs_in(part: object, kind: str = "") -> Iterator[SpecInput]:
    """Those in a part of a spec's input, in its order."""
    if isinstance(part, list):
        for member in part:
            yield from inputs_in(member)
    elif isinstance(part, dict):
        if isinstance(part.get("repo"), str):
            yield SpecInput(
                kind=kind,
                name=str(part.get("name") or part["repo"]),
                repo=full_name(str(part.get("project") or DEFAULT_PROJECT), part["repo"]),
                branch=str(part.get("branch") or "master"),
                commit=str(part.get("commit") or ""),
                glob=str(part.get("glob") or "/"),
            )
        for name, inside in part.items():
            yield from inputs_in(inside, name)


def read_by(part: object) -> dict[str, str]:
    """The full names of the repos in a part of a spec's input, each with its commit."""
    return {one.repo: one.commit for one in inputs_in(part)}
