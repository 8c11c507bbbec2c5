"""What a pipeline brings along for its inputs: repos of ticks and checkouts, branches that triggers
move.
"""

from trunkline.engine.change import Change
from trunkline.errors import Conflict, InvalidInput
from trunkline.jobs.clusters import runs_here
from trunkline.model.pipelines import PipelineSpec, PipelineState
from trunkline.model.versions import BranchName, spec_branch
from trunkline.pipelines import crons, gits, lifecycle
from trunkline.pipelines.input_triggers import is_made
from trunkline.pipelines.inputs import (
    branches_of,
    cron_leaves,
    git_leaves,
    quiet_branches,
    read_branches,
    trigger_leaves,
)
from trunkline.versions import branches, repos, trash


def make_input_repos(change: Change, pipeline: PipelineSpec) -> list[str]:
    """Make the repos that ticks and checkouts go to, and are not there yet; returns those."""
    made = []
    for leaf, _ in cron_leaves(pipeline.input):
        what = f"cron input '{leaf.name}'"
        made += _made_repo(change, pipeline.name, what, leaf.repo, "ticks")
        for other in gits.gits_writing(change.tx, leaf.repo):
            if other.pipeline != pipeline.name:
                raise Conflict(
                    f"the ticks of {what} can't go to repo '{leaf.repo}', which has the checkouts "
                    f"of pipeline '{other.pipeline}'; give the input another `repo`"
                )
    for leaf, git in git_leaves(pipeline.input):
        what = f"git input '{leaf.name}'"
        made += _made_repo(change, pipeline.name, what, leaf.repo, "checkouts")
        cron = crons.cron_writing(change.tx, leaf.repo)
        if cron is not None and cron.pipeline != pipeline.name:
            raise Conflict(
                f"the checkouts of {what} can't go to repo '{leaf.repo}', which has the ticks of "
                f"pipeline '{cron.pipeline}'; give the input another `repo`"
            )
        for other in gits.gits_writing(change.tx, leaf.repo):
            if other.pipeline != pipeline.name and other.git != git:
                raise Conflict(
                    f"the checkouts of {what} can't go to repo '{leaf.repo}', which follows branch "
                    f"{other.git.branch} of {other.git.url} for pipeline '{other.pipeline}'; give "
                    "the input another `repo`"
                )
    return made


def _made_repo(change: Change, pipeline: str, whose: str, repo: str, what: str) -> list[str]:
    """The repo of an input if it had to be made; raises Conflict where a pipeline writes to it."""
    tx = change.tx
    if lifecycle.find(tx, repo) is not None:
        raise Conflict(
            f"the {what} of {whose} can't go to repo '{repo}', which has the output of a pipeline; "
            "give the input another `repo`"
        )
    if repos.repo_exists(tx, repo):
        return []
    description = f"{what.capitalize()} of pipeline {pipeline}."
    repos.create_repo(tx, repo, description=description, now=change.now)
    return [repo]


def refuse_shared_provenance(change: Change, pipeline: PipelineSpec) -> None:
    """Incremental pipelines can't have inputs of which one commit may change several."""
    seen: dict[BranchName, BranchName] = {}  # what an input is made from -> the input
    for read in read_branches(pipeline.input):
        for source in _made_from(change, read):
            if source in seen:
                raise InvalidInput(
                    f"pipeline '{pipeline.name}' can't be incremental: its inputs {seen[source]} "
                    f"and {read} both have {source} in their provenance, so what is new in one "
                    "goes with what the other had before; leave out `incremental`"
                )
            seen[source] = read


def _made_from(change: Change, branch: BranchName) -> set[BranchName]:
    """A branch with all that it is derived from, but for specs."""
    found, waiting = {branch}, [branch]
    while waiting:
        name = waiting.pop()
        for source in branches.branch_info(change.tx, name.repo, name.branch).provenance:
            if source not in found and source != spec_branch(name.repo):
                found.add(source)
                waiting.append(source)
    return found


def set_triggers(change: Change, pipeline: PipelineSpec) -> None:
    """Give the branches that inputs follow their triggers; one that stays goes on as it is.

    Raises what `branches.create_branch` does, and Conflict for a branch of that name which others
    follow in another way.
    """
    tx = change.tx
    for name, trigger in trigger_leaves(pipeline.input):
        if branches.trigger_of(tx, name) == trigger:
            continue
        if is_made(name, pipeline=pipeline.name) and not branches.is_free(tx, name):
            raise Conflict(
                f"branch {name} has readers of its own, so it can't become the one that an input "
                "follows; name another one: `branch` of the input, and `trigger.branch` to watch"
            )
        opened = branches.create_branch(
            tx,
            name.repo,
            name.branch,
            head=None,
            provenance=None,
            trigger=trigger,
            now=change.now,
            run_id=change.run_id,
            later=change.later,
        )
        change.opened(opened)


def connect(change: Change, pipeline: PipelineSpec) -> None:
    """Derive the output branch from the inputs and the spec, which opens the first job.

    What a spout puts is made from its spec, but a new spec alone makes no new commit due. What can
    not be run here gets no job.
    """
    if not runs_here(change.services.config, pipeline):
        return
    spec = spec_branch(pipeline.name)
    quiet = frozenset({spec}) if pipeline.spout else quiet_branches(pipeline.input)
    opened = branches.create_branch(
        change.tx,
        pipeline.name,
        pipeline.output_branch,
        head=None,
        provenance=[*branches_of(pipeline.input), spec],
        quiet=quiet,
        now=change.now,
        run_id=change.run_id,
        later=change.later,
    )
    change.opened(opened)


def follow_again(change: Change, repo: str) -> None:
    """Have the pipelines that read a repo follow it, which was just made in place of a deleted one.

    Those that are paused do so when they are started, those that lack another repo when that is
    made.
    """
    tx = change.tx
    for record in lifecycle.readers_of(tx, repo):
        pipeline = lifecycle.spec_of(record)
        sources = branches_of(pipeline.input)
        whole = all(repos.repo_exists(tx, source.repo) for source in sources)
        if record.state is PipelineState.PAUSED or not whole:
            continue
        for source in sources:
            branches.ensure_branch(tx, source.repo, source.branch, now=change.now)
        set_triggers(change, pipeline)
        connect(change, pipeline)


def drop_trigger_branches(
    change: Change, old: PipelineSpec, new: PipelineSpec | None, *, entry: int | None = None
) -> None:
    """Delete the branches that were made for inputs of `old` and that `new` does not read.

    They go into an entry of the trash, if there is one. What others read by now stays.
    """
    tx = change.tx
    read = set() if new is None else set(branches_of(new.input))
    for name, _ in trigger_leaves(old.input):
        made = is_made(name, pipeline=old.name) and name not in read
        if not made or not branches.is_free(tx, name):
            continue
        if entry is not None:
            trash.keep_branch(tx, entry, name)
        branches.delete_branch(tx, name.repo, name.branch, force=False)
