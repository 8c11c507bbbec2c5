"""Every error that Trunkline can report, in one tree.

A class per thing that a caller can handle. The class carries the stable code, the exit status of
the command line and the HTTP status; the constructor builds the one clear sentence (what is wrong,
where, what to do). Errors are raised low and translated once, at the door.

Exit statuses: 1 failed operation, 2 usage, 3 not found, 4 conflict, 5 not allowed, 6 unavailable or
timed out, 7 corruption found, 10 a difference was found.
"""

import re
from collections.abc import Iterable, Sequence

# What a terminal would take for a command, or for the end of the line, or for a turn of the text's
# direction, and halves of surrogate pairs, which can't be written at all.
_UNPRINTABLE = "[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"


class TrunklineError(Exception):
    """Any failure that is reported as one sentence, without a traceback.

    What a sentence quotes may come from anywhere: in its text all is escaped that is no plain text.
    """

    code = "error"
    exit_status = 1
    http_status = 500

    def __str__(self) -> str:
        # Said here, as KeyError, which some of the errors are too, would print a repr.
        return plain(str(self.args[0])) if self.args else ""


# --- the caller asked for something wrong ---------------------------------------------------------


class InvalidInput(TrunklineError):
    """A name, path, flag or document that can never be right as it stands."""

    code = "invalid-input"
    exit_status = 2
    http_status = 400


class InvalidName(InvalidInput):
    code = "invalid-name"

    def __init__(self, kind: str, name: str, rule: str) -> None:
        super().__init__(f"{shown(name)} is not a {kind} name: {rule}")


class InvalidPath(InvalidInput):
    code = "invalid-path"

    def __init__(self, path: str, rule: str) -> None:
        super().__init__(f"{shown(path)} is not a file path: {rule}")


class InvalidGlob(InvalidInput):
    code = "invalid-glob"

    def __init__(self, pattern: str, rule: str) -> None:
        super().__init__(f"{shown(pattern)} is not a glob pattern: {rule}")


class InvalidReference(InvalidInput):
    code = "invalid-reference"

    def __init__(self, text: str, rule: str) -> None:
        super().__init__(f"{shown(text)} is not a commit reference: {rule}")


class InvalidSpec(InvalidInput):
    """A pipeline spec that can't be accepted; the sentence says where, with lines that show it."""

    code = "invalid-spec"

    def __str__(self) -> str:
        return "\n".join(map(plain, str(self.args[0]).split("\n"))) if self.args else ""


class InvalidArchive(InvalidInput):
    """A tar or zip archive that is not unpacked; the sentence names the entry and the reason."""

    code = "invalid-archive"

    def __init__(self, problem: str) -> None:
        super().__init__(f"{problem}; nothing was changed")


class TooManyDatums(InvalidInput):
    code = "too-many-datums"

    def __init__(self, pipeline: str, count: int, most: int) -> None:
        super().__init__(
            f"the input of pipeline '{pipeline}' makes {count:,} datums, more than the {most:,} "
            "that one job may have; use narrower globs, or a glob of '/' on one side of the cross"
        )


class DatumTooLarge(InvalidInput):
    code = "datum-too-large"

    def __init__(self, datum: str, most: str) -> None:
        super().__init__(
            f"{datum} has more than the {most} that one datum may have; let the globs match "
            "directories instead of files, or make smaller groups"
        )


class InputsClash(InvalidInput):
    code = "inputs-clash"

    def __init__(self, name: str, path: str, sources: Iterable[str]) -> None:
        super().__init__(
            f"'/pfs/{name}/{path}' would come from {' and from '.join(sources)}: give the inputs "
            "different names"
        )


# --- it is not there ------------------------------------------------------------------------------


class NotFound(TrunklineError, KeyError):
    code = "not-found"
    exit_status = 3
    http_status = 404


class ProjectNotFound(NotFound):
    code = "project-not-found"

    def __init__(self, project: str, existing: Sequence[str] = ()) -> None:
        there = "there is only" if len(existing) == 1 else "there are"
        hint = meant(project, existing) or f"; {there} {', '.join(existing[:20])}"
        super().__init__(f"there is no project '{project}'{hint}")


class RepoNotFound(NotFound):
    code = "repo-not-found"

    def __init__(self, repo: str, existing: Sequence[str] = ()) -> None:
        super().__init__(f"there is no repo '{repo}'{meant(repo, existing)}")


class BranchNotFound(NotFound):
    code = "branch-not-found"

    def __init__(self, repo: str, branch: str, existing: Sequence[str] = ()) -> None:
        has = f"it has {', '.join(existing)}" if existing else "it has none yet"
        super().__init__(f"repo '{repo}' has no branch '{branch}'; {has}")


class CommitNotFound(NotFound):
    code = "commit-not-found"

    def __init__(self, repo: str, commit: str, why: str = "") -> None:
        super().__init__(f"repo '{repo}' has no commit '{commit}'" + (f"; {why}" if why else ""))


class FileNotFoundInCommit(NotFound):
    code = "file-not-found"

    def __init__(self, repo: str, commit: str, path: str) -> None:
        super().__init__(f"there is no file '{path}' in {repo}@{commit}")


class FilePurged(FileNotFoundInCommit):
    """A file that was there, and was erased from the history on purpose."""

    code = "file-purged"
    http_status = 410

    def __init__(
        self, repo: str, commit: str, path: str, when: str, reason: str, purge: str
    ) -> None:
        why = f": {reason}" if reason else ""
        NotFound.__init__(
            self, f"'{path}' has been purged from {repo}@{commit} on {when}{why} (purge {purge})"
        )


class PipelineNotFound(NotFound):
    code = "pipeline-not-found"

    def __init__(self, pipeline: str, existing: Sequence[str] = ()) -> None:
        super().__init__(f"there is no pipeline '{pipeline}'{meant(pipeline, existing)}")


class JobNotFound(NotFound):
    code = "job-not-found"

    def __init__(self, job: str, why: str = "") -> None:
        clause = f": {why}" if why else ""
        super().__init__(f"there is no job '{job}'{clause}; `list job` shows the jobs there are")


class DatumNotFound(NotFound):
    code = "datum-not-found"

    def __init__(self, job: str, datum: str) -> None:
        super().__init__(f"job '{job}' has no datum '{datum}'; `list datum {job}` shows its datums")


class LocalFileNotFound(NotFound):
    code = "local-file-not-found"

    def __init__(self, path: str, needed_for: str = "") -> None:
        why = f", which is needed for {needed_for}" if needed_for else ""
        super().__init__(f"there is no file or directory '{path}' on this machine{why}")


class CheckoutNotFound(NotFound):
    code = "checkout-not-found"

    def __init__(self, directory: str) -> None:
        super().__init__(
            f"{directory} is no checkout; `trunkline checkout REPO@REF {directory}` makes it one"
        )


# --- it clashes with what is there ----------------------------------------------------------------


class Conflict(TrunklineError):
    code = "conflict"
    exit_status = 4
    http_status = 409


class AlreadyExists(Conflict):
    code = "already-exists"

    def __init__(self, kind: str, name: str, hint: str = "") -> None:
        super().__init__(f"{kind} '{name}' already exists" + (f": {hint}" if hint else ""))


class CommitFinished(Conflict):
    code = "commit-finished"

    def __init__(self, repo: str, commit: str) -> None:
        super().__init__(
            f"commit {commit} in repo '{repo}' has already finished; "
            f"start a new one with `start commit {repo}@<branch>`"
        )


class CommitOpen(Conflict):
    code = "commit-open"

    def __init__(self, repo: str, commit: str, needed_for: str) -> None:
        super().__init__(
            f"commit {commit} in repo '{repo}' has not been finished, "
            f"which is needed to {needed_for}; finish it with `finish commit {repo}@{commit}`"
        )


class LocalChanges(Conflict):
    code = "local-changes"

    def __init__(self, directory: str, paths: Sequence[str], *, forcible: bool) -> None:
        named = ", ".join(f"'{path}'" for path in sorted(paths)[:10])
        more = f" and {len(paths) - 10} more" if len(paths) > 10 else ""
        cure = "move them away, or say --force to lose them" if forcible else "move them away"
        super().__init__(
            f"the commit has other files in place of {named}{more} in {directory}, which hold "
            f"changes of yours; nothing was changed: {cure}"
        )


class OutputBranch(Conflict):
    code = "output-branch"

    def __init__(self, repo: str, branch: str, action: str = "start a commit on") -> None:
        super().__init__(
            f"cannot {action} an output branch: {repo}@{branch} is written by the "
            "branches that it is derived from"
        )


class HeadMoved(Conflict):
    """What a write was based on has changed since it was read; the caller reads it and retries."""

    code = "head-moved"

    def __init__(self, where: str) -> None:
        super().__init__(f"{where} was changed by somebody else meanwhile; nothing was written")


class ProvenanceLoop(Conflict):
    code = "provenance-loop"

    def __init__(self, repo: str, branch: str) -> None:
        super().__init__(f"provenance loop: branch {repo}@{branch} would be derived from itself")


class InUse(Conflict):
    """Something that others are derived from can't be removed."""

    code = "in-use"


class PathConflict(Conflict):
    code = "path-conflict"

    def __init__(self, path: str, below: str) -> None:
        super().__init__(
            f"'{path}' would be a file and a directory at once ('{below}' is inside it); "
            "delete or rename one of the two"
        )


class DuplicateOutput(Conflict):
    code = "duplicate-output"

    def __init__(self, path: str, first: str, second: str) -> None:
        super().__init__(
            f"duplicate path output by different datums: '{path}' from {first} and from {second}"
        )


class StoreInUse(Conflict):
    code = "store-in-use"

    def __init__(self, home: str, owner: str) -> None:
        super().__init__(f"the data directory {home} is in use by {owner}")


class StoreTooNew(Conflict):
    code = "store-too-new"

    def __init__(self, home: str, found: int, known: int) -> None:
        super().__init__(
            f"the data directory {home} has format {found}, and this version of Trunkline knows "
            f"formats up to {known}; upgrade Trunkline (nothing was changed)"
        )


class StoreTooOld(Conflict):
    """A data directory of an older version that is not upgraded without being asked for."""

    code = "store-too-old"

    def __init__(self, home: str, found: int, known: int, why: str) -> None:
        super().__init__(
            f"the catalog of the data directory {home} has format {found}, and this version of "
            f"Trunkline works with {known}; it was not upgraded by itself because {why}; see "
            "`trunkline upgrade --check` (nothing was changed)"
        )


# --- not allowed, not reachable, not whole --------------------------------------------------------


class NotAllowed(TrunklineError):
    code = "not-allowed"
    exit_status = 5
    http_status = 403


class TokenRefused(NotAllowed):
    code = "token-refused"
    http_status = 401


class LocalPathDiffers(NotAllowed):
    """The server does not see the caller's file behind the path; the caller sends it instead."""

    code = "local-path-differs"

    def __init__(self, path: str) -> None:
        super().__init__(f"the server does not see the same '{path}' as you do")


class Unavailable(TrunklineError):
    code = "unavailable"
    exit_status = 6
    http_status = 503


class NoContainerEngine(Unavailable):
    """None has a socket where one is looked for."""

    code = "no-container-engine"


class TimedOut(Unavailable):
    code = "timed-out"
    http_status = 504


class StorageFull(Unavailable):
    code = "storage-full"
    http_status = 507

    def __init__(self, where: str) -> None:
        super().__init__(f"no space is left on the device of {where}; nothing was changed")


class NotSupported(TrunklineError):
    """A known request that this version, machine or runtime can't serve."""

    code = "not-supported"
    http_status = 501


class Corrupt(TrunklineError):
    """Stored bytes are not what their name promises; never served as data."""

    code = "corrupt"
    exit_status = 7

    def __init__(self, thing: str, expected: str, actual: str) -> None:
        super().__init__(f"{thing} is damaged: expected {expected}, found {actual}; run `fsck`")


class OperationFailed(TrunklineError):
    """The work was tried and failed; the sentence says why."""

    code = "failed"


def plain(text: str) -> str:
    """The text with all of it escaped that a terminal would obey rather than show."""
    if text.isprintable():  # most are, and to compile the pattern takes longer than a whole file
        return text
    return re.sub(
        _UNPRINTABLE, lambda found: found[0].encode("unicode_escape").decode("ascii"), text
    )


def shown(text: str, most: int = 80) -> str:
    """The text in quotes, with control characters escaped and cut to a readable length."""
    quoted = repr(text.encode("utf-8", "backslashreplace").decode("utf-8"))
    return quoted if len(quoted) <= most else f"{quoted[: most - 20]}…' ({len(text):,} characters)"


def meant(name: str, existing: Iterable[str]) -> str:
    """A did-you-mean clause for a name that isn't among the existing ones, or nothing."""
    from difflib import get_close_matches

    close = get_close_matches(name, list(existing), n=1, cutoff=0.7)
    return f"; did you mean '{close[0]}'?" if close else ""


def all_errors(root: type[TrunklineError] = TrunklineError) -> list[type[TrunklineError]]:
    """Every class of the tree, parents first."""
    found = [root]
    for child in root.__subclasses__():
        found.extend(all_errors(child))
    return found


class ReportedError(TrunklineError):
    """An error that another process reported, with the code and statuses it had there."""

    def __init__(self, *, code: str, message: str, exit_status: int, http_status: int) -> None:
        super().__init__(message)
        self.code = code
        self.exit_status = exit_status
        self.http_status = http_status


def from_report(*, code: str, message: str, exit_status: int, http_status: int) -> TrunklineError:
    """The error of this tree that has the reported code, carrying the reported sentence."""
    for kind in all_errors():
        if kind.code == code and kind is not ReportedError:
            error = kind.__new__(kind)
            Exception.__init__(error, message)
            return error
    return ReportedError(
        code=code, message=message, exit_status=exit_status, http_status=http_status
    )
