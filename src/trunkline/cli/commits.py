"""Commands on commits."""

import click

from trunkline.cli.arguments import (
    at_most,
    branch_of,
    commit_name,
    commit_of,
    full_names,
    repo_of,
    seconds,
)
from trunkline.cli.command import command, option
from trunkline.cli.output import (
    Table,
    counted,
    lasted,
    note,
    noting,
    show_all,
    show_each,
    show_one,
    size,
    when,
)
from trunkline.cli.progress import waiting
from trunkline.cli.runs import RUNS, run_block
from trunkline.cli.session import current, operations
from trunkline.cli.trash import tell
from trunkline.errors import InvalidInput
from trunkline.model.names import bare_name, is_commit_id, project_of
from trunkline.model.versions import CommitInfo

_CLASSIC: Table[CommitInfo] = Table(
    titles=("REPO", "ID", "PARENT", "STARTED", "DURATION", "SIZE"),
    cells=lambda commit: (
        *(commit.repo, commit.id, commit.parent or "<none>"),
        *(when(commit.started), lasted(commit.started, commit.finished), _size(commit)),
    ),
)
_SPACED: Table[CommitInfo] = Table(
    titles=("PROJECT", "REPO", "BRANCH", "COMMIT", "FINISHED", "SIZE", "ORIGIN", "DESCRIPTION"),
    cells=lambda commit: (
        *(project_of(commit.repo), bare_name(commit.repo), commit.branch or "-", commit.id),
        *(when(commit.finished), _size(commit), commit.origin.value.upper(), commit.description),
    ),
    width=0,
    padding=1,
)


def _size(commit: CommitInfo) -> str:
    return "-" if commit.finished is None else size(commit.size_bytes)


_message = option(
    "-m", "--message", "--description", default="", metavar="TEXT", help="What the commit is for."
)


@command(examples=["start commit training@master", "start commit training -p 4f2a…"])
@click.argument("branch")
@option("-p", "--parent", metavar="REF", help="The parent, if not the branch's head.")
@_message
def start_commit(branch: str, parent: str | None, message: str) -> None:
    """Open a commit on BRANCH (repo@branch, or only a repo); prints its id."""
    address = repo_of(branch)
    commit = operations().commits.start_commit(
        address.repo, branch=address.ref, parent=parent, description=message
    )
    show_one(commit, lambda started: started.id)


@command(examples=["finish commit training@master"])
@click.argument("commit")
@_message
@option("-f", "--force", is_flag=True, hidden=True)
def finish_commit(commit: str, message: str, force: bool) -> None:
    """Finish an open commit; it never changes again."""
    operations().commits.finish_commit(*commit_of(commit), description=message or None)


@command(
    shows=True, examples=["inspect commit inference@master", "inspect commit training@master^"]
)
@click.argument("commit")
@option("-w", "--wait", is_flag=True, help="Wait until it is finished.")
def inspect_commit(commit: str, wait: bool) -> None:
    """Show a commit with all it was made from (an id alone: the whole run)."""
    commits = operations().commits
    if is_commit_id(commit):
        show_one(commits.inspect_run(commit, wait=wait), run_block)
    else:
        show_one(commits.inspect_commit(*commit_of(commit), wait=wait), commit_block)


def commit_block(commit: CommitInfo) -> str:
    """The commit as 1.7 prints it, blanks at the ends of lines included."""
    lines = [f"Commit: {commit.repo}/{commit.id}"]
    if commit.description:
        lines.append(f"Description: {commit.description}")
    if commit.parent:
        lines.append(f"Parent: {commit.parent}")
    lines.append(f"Started: {when(commit.started)}")
    if commit.finished is not None:
        lines.append(f"Finished: {when(commit.finished)} ")
    lines.append(f"Size: {size(commit.size_bytes)}")
    for mark in commit.purged:
        why = f": {mark.reason}" if mark.reason else ""
        gone = f"{counted(mark.files, 'file')} ({size(mark.size_bytes)})"
        lines.append(f"Purged: {gone} {when(mark.purged)} by purge {mark.purge}{why}")
    if commit.error:
        lines.append(f"Error: {commit.error}")
    if commit.provenance:
        made_from = "".join(f"{name.repo}/{name.id}  " for name in commit.provenance)
        lines.append(f"Provenance:  {made_from}")
    return "\n".join(lines)


@command(
    shows=True,
    examples=["list commit training", "list commit training@master -n 5", "list commit"],
)
@click.argument("source", metavar="[REPO[@REF]|REPO@FROM..TO|ID]", required=False)
@option("-f", "--from", "after", metavar="REF", help="Leave out this one and its ancestors.")
@option("--to", metavar="REF", help="This commit and its ancestors, as REPO@REF does.")
@option("-n", "--number", default=0, metavar="N", help="At most so many (0: all).")
@option(
    "--origin",
    type=click.Choice(["user", "auto"], case_sensitive=False),
    help="What people made (user) or pipelines and derived branches (auto).",
)
@option("-x", "--expand", is_flag=True, help="All commits of all repos instead of runs.")
@option("--all", "everything", is_flag=True, help="With the specs of pipelines (for -x).")
def list_commit(
    source: str | None,
    after: str | None,
    to: str | None,
    number: int,
    origin: str | None,
    expand: bool,
    everything: bool,
) -> None:
    """List the commits of a repo, newest first; with REF, that one and its ancestors.

    An id lists the commits of a run; without argument the runs are listed, or with -x the commits
    of all repos.
    """
    commits = operations().commits
    table = _CLASSIC if current().classic else _SPACED
    most, of = at_most(number), None if origin is None else origin.lower()
    if source is None:
        if after is not None or to is not None:
            raise InvalidInput("--from and --to need a repo")
        if expand or of is not None:
            show_all(commits.list_all_commits(number=most, origin=of, system=everything), table)
        else:
            show_all(commits.list_runs(number=most), RUNS)
        return
    if is_commit_id(source):
        names = commits.inspect_run(source).commits
        found = (commits.inspect_commit(name.repo, name.id) for name in names)
        show_all((c for c in found if of is None or c.origin == of), table)
        return
    address = repo_of(source)
    newest, after = _range(address.ref, after, to)
    listed = commits.list_commits(address.repo, to=newest, after=after, number=most, origin=of)
    show_all(listed, table)


def _range(ref: str | None, after: str | None, to: str | None) -> tuple[str | None, str | None]:
    """The newest commit and the one where the list ends, however they were written."""
    first, dots, last = (ref or "").partition("..")
    if dots:
        if after is not None or to is not None or not first or not last:
            raise InvalidInput(f"{ref!r} is no range; write FROM..TO, without --from and --to")
        return last, first
    if ref is not None and to is not None:
        raise InvalidInput(f"--to {to} and @{ref} say the same thing twice; use one of them")
    newest = ref if to is None else to
    if after is not None and newest is None:
        raise InvalidInput("cannot use `from` commit without `to` commit; write repo@branch")
    return newest, after


_timeout = option("--timeout", metavar="TIME", help="Give up after this long, e.g. 30s or 5m.")


@command(shows=True, examples=["wait commit inference@master --timeout 5m", "wait commit 4f2a…"])
@click.argument("commit", metavar="COMMIT|ID")
@_timeout
def wait_commit(commit: str, timeout: str | None) -> None:
    """Wait until a commit (an id alone: a whole run) is finished.

    The exit status is 1 if the job that should have written it failed, 6 if the time is over.
    """
    from trunkline.cli.runs import wait_for_run

    limit = None if timeout is None else seconds(timeout)
    if is_commit_id(commit):
        wait_for_run(commit, limit)
        return
    with waiting(f"waiting for {commit}"):
        done = operations().commits.inspect_commit(*commit_of(commit), wait=True, timeout_s=limit)
    show_all([done], _CLASSIC if current().classic else _SPACED)
    _leave_with_the_outcome([done])


def _leave_with_the_outcome(commits: list[CommitInfo]) -> None:
    failed = [commit for commit in commits if commit.error]
    for commit in failed:
        made_by = f"job {commit.repo}@{commit.id} "  # which most sentences begin with
        where = "" if str(commit.error).startswith(made_by) else f"{commit.repo}@{commit.id}: "
        note(f"error: {where}{commit.error}")
    if failed:
        raise click.exceptions.Exit(1)


@command(shows=True, examples=["flush commit training@master -r inference"])
@click.argument("commits", metavar="COMMIT...", nargs=-1, required=True)
@option("-r", "--repos", multiple=True, metavar="REPO", help="Wait for these repos only.")
@_timeout
def flush_commit(commits: tuple[str, ...], repos: tuple[str, ...], timeout: str | None) -> None:
    """Wait for all that is derived from the commits, and print each commit as it finishes.

    The exit status is 1 if a commit was not made because a job failed, 6 if the time is over.
    """
    found: list[CommitInfo] = []
    show_each(
        noting(
            found,
            operations().commits.flush_commits(
                [commit_name(text) for text in commits],
                repos=full_names(repos),
                timeout_s=None if timeout is None else seconds(timeout),
            ),
        ),
        _CLASSIC,
    )
    _leave_with_the_outcome(found)


@command(shows=True, examples=["subscribe commit training@master --new --timeout 5m"])
@click.argument("branch")
@option("--from", "after", metavar="REF", help="Begin behind this commit.")
@option("--new", is_flag=True, help="Leave out the commits that there are now.")
@_timeout
def subscribe_commit(branch: str, after: str | None, new: bool, timeout: str | None) -> None:
    """Print the commits of a branch, oldest first, and then each new one as it finishes.

    With --timeout it ends with 6 when that is over; else it goes on until it is stopped.
    """
    if new and after is not None:
        raise InvalidInput("--new and --from exclude each other; use one of them")
    repo, name = branch_of(branch)
    show_each(
        operations().commits.subscribe_commits(
            repo,
            name,
            after=after,
            new=new,
            timeout_s=None if timeout is None else seconds(timeout),
        ),
        _CLASSIC,
        endless=True,
    )


_recursive = option("-r", "--recursive", is_flag=True, help="Take along what was made from it.")


@command(examples=["delete commit training@4f2a…", "delete commit 4f2a…"])
@click.argument("commit", metavar="REPO@REF|ID")
def delete_commit(commit: str) -> None:
    """Delete a commit that nobody computed, with what was derived from it.

    An id alone deletes all of a run.
    """
    commits = operations().commits
    if is_commit_id(commit):
        tell(commits.delete_run(commit))
    else:
        tell(commits.delete_commit(*commit_of(commit)))


@command(examples=["squash commit 4f2a…", "squash commit training@4f2a… -r"])
@click.argument("commit", metavar="REPO@REF|ID")
@_recursive
def squash_commit(commit: str, recursive: bool) -> None:
    """Forget a run (or one commit) that later commits go on from.

    Those keep all their files, and no branch changes; only the history is shorter. What stands at
    the head of a branch can't be squashed, but dropped.
    """
    commits = operations().commits
    if is_commit_id(commit):
        tell(commits.squash_run(commit, recursive=recursive))
    else:
        tell(commits.squash_commit(*commit_of(commit), recursive=recursive))


@command(examples=["drop commit 4f2a…", "drop commit training@master -r"])
@click.argument("commit", metavar="REPO@REF|ID")
@_recursive
def drop_commit(commit: str, recursive: bool) -> None:
    """Take back the newest run (or one commit): branches stand on what was before.

    What something was made on top of can't be dropped, but squashed.
    """
    commits = operations().commits
    if is_commit_id(commit):
        tell(commits.drop_run(commit, recursive=recursive))
    else:
        tell(commits.drop_commit(*commit_of(commit), recursive=recursive))
