"""Answers to questions about results: where a file came from, what came of it, why a job ran."""

from datetime import datetime
from enum import StrEnum

from trunkline.model.jobs import DatumInput
from trunkline.model.versions import FileInfo
from trunkline.values import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class DatumOrigin:
    """The datum that wrote a file, and what ran. Code, image and command are those that did run."""

    id: str
    job: str  # pipeline@id: the one that made the commit of the file
    skipped: bool  # its result was remembered, and so it was not run by `job`
    made_by: str  # the job that ran it; empty if that is not known any more
    made: datetime | None  # when it ended there
    pipeline_version: int  # of `made_by`, or else of `job`
    spec_commit: str  # id in the spec repo of the project
    code: str  # digest of /code, or empty
    image: str  # with its id, if it ran in a container; empty if its spec names none
    cmd: tuple[str, ...]
    stdin: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PutOrigin:
    """The commit of a user that gave a file (of a directory: any file below) its content."""

    repo: str
    commit: str
    finished: datetime
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WhyStep:
    """One line of the tree of origins: a file, or a datum that wrote it.

    Below a file are the datums that wrote it, below a datum the files that its inputs gave it.
    """

    number: int  # from 1 in the order of the answer
    parent: int  # number of the step above; 0 for the file that was asked about
    depth: int  # how many datums are between the file that was asked about and this
    file: FileInfo | None  # None for a datum
    input: str  # name of the input that gave the file; empty for the one that was asked about
    datum: DatumOrigin | None
    put: PutOrigin | None  # of a file that no datum wrote
    same_as: int  # number of an earlier step below which the rest is; 0 for none
    remark: str  # why the tree ends here, where it should not


@dataclass(frozen=True, slots=True, kw_only=True)
class ImpactStep:
    """A job whose datums read a file, or (with a `file`) a file that one of these datums wrote.

    The numbers are those of the datums that read it, themselves or through files made of it.
    """

    job: str  # pipeline@id
    pipeline_version: int
    state: str  # of the job
    depth: int  # 1 for a job that reads the file itself
    datums: int  # how many read it
    datums_total: int  # how many the job has
    skipped: int  # how many of those that read it were not run, their results being remembered
    files: int  # that they wrote
    size_bytes: int
    datum: str  # id of the datum that wrote `file`; empty otherwise
    file: FileInfo | None
    remark: str  # what is missing from the numbers


class Cause(StrEnum):
    """Why a datum was run, or was not."""

    SKIPPED = "skipped"  # its result was remembered
    NEW = "new"  # no earlier job had a datum of the same paths
    CHANGED = "changed"  # what it is known by differs from the nearest earlier run
    AGAIN = "again"  # nothing differs, but there was no result to take over
    RUN = "run"  # of a job, a datum that was run and not compared: it is one of too many


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedPart:
    """Something that differs from an earlier run, and that results depend on.

    `part` is input, join or group; or of the pipeline: code, cmd, stdin, env, image, packages, …,
    reprocess (asked for by a user); of a job also commit (of an input) and version (of its
    pipeline).
    """

    part: str
    name: str  # of the file, branch, variable or package; empty where there is only one
    before: str  # digest, id or value; empty where there was none
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DatumReason:
    """Why a datum of a job was run or skipped."""

    job: str
    datum: str
    state: str
    inputs: tuple[DatumInput, ...]
    cause: Cause
    made_by: str  # of a skipped one, the job that ran it; empty if that is not known any more
    before: str  # the nearest earlier job with a datum of the same paths; empty: none was found
    changes: tuple[ChangedPart, ...]  # against that one
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CauseCount:
    """How many datums of a job have one cause."""

    cause: Cause
    parts: tuple[str, ...]  # of the changed ones: what differs
    datums: int
    example: str  # id of one of them


@dataclass(frozen=True, slots=True, kw_only=True)
class JobReason:
    """Why there is a job, what it did with its datums and why, and what it waits for."""

    job: str
    pipeline_version: int
    state: str
    before: str  # the job that it is compared with: the one before it that had datums; or empty
    changes: tuple[ChangedPart, ...]
    causes: tuple[CauseCount, ...]
    sentences: tuple[str, ...]  # what it waits for, or why it ended badly


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineReason:
    """Why a pipeline has a job for what its inputs are now, or has none."""

    pipeline: str
    state: str
    job: str  # the newest; empty if there is none
    sentences: tuple[str, ...]
