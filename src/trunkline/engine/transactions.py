"""Operations on transactions; see `api.transactions`."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import MISSING, asdict, fields, is_dataclass
from typing import Any, get_args, get_origin

from trunkline.api.changes import FileChange
from trunkline.api.connection import NOUNS
from trunkline.api.operation import Operation, operations_of
from trunkline.api.transactions import STEPS
from trunkline.engine import removal
from trunkline.engine.branches import create_branch, delete_branch
from trunkline.engine.change import Change, rehearsed
from trunkline.engine.commits import finish_in_change, start_commit
from trunkline.engine.files import EngineFiles, write_in_change
from trunkline.engine.pipelines import create_pipeline, delete_pipeline, prepare
from trunkline.engine.repos import create_repo, delete_repo
from trunkline.engine.runs import state_of
from trunkline.engine.services import Services
from trunkline.engine.tags import create_due_tags, create_tag, delete_tag
from trunkline.errors import InvalidInput, TrunklineError
from trunkline.model.names import RunId
from trunkline.model.versions import BranchTrigger, RunInfo, TransactionInfo
from trunkline.pipelines.liveness import has_code
from trunkline.versions import commits, transactions
from trunkline.versions.liveness import require_file_set
from trunkline.versions.transactions import BatchRow, StepRow

_REHEARSED_MAX = 50  # steps; a longer transaction is only tried when it is finished
_FILES = "modify_files"


class EngineTransactions:
    def __init__(self, services: Services, files: EngineFiles) -> None:
        self._services = services
        self._files = files

    def start_transaction(self, *, description: str = "") -> TransactionInfo:
        services = self._services
        with services.database.write() as tx:
            batch = transactions.start(
                tx, services.new_id(), description=description, now=services.now()
            )
            return _info(batch, [])

    def list_transactions(self) -> list[TransactionInfo]:
        with self._services.database.read() as tx:
            found = transactions.open_ones(tx)
            return [_info(batch, transactions.steps(tx, batch)) for batch in found]

    def inspect_transaction(self, transaction: str) -> TransactionInfo:
        with self._services.database.read() as tx:
            batch = transactions.require(tx, transaction)
            return _info(batch, transactions.steps(tx, batch))

    def add_step(self, transaction: str, operation: str, arguments: dict[str, object]) -> None:
        if operation not in STEPS:
            known = ", ".join(sorted(STEPS))
            raise InvalidInput(
                f"'{operation}' can't be a step of a transaction; these can: {known}"
            )
        arguments = {
            name: asdict(value) if isinstance(value, BranchTrigger) else value
            for name, value in arguments.items()
        }
        _check_arguments(_DECLARED[operation], arguments)
        roots: tuple[str, ...] = ()
        if operation == "create_pipeline" and arguments.get("code"):
            roots = (str(arguments["code"]),)
        self._add(transaction, StepRow(operation=operation, arguments=arguments, roots=roots))

    def add_files(
        self,
        transaction: str,
        repo: str,
        commit: str,
        changes: Iterable[FileChange],
        *,
        description: str = "",
    ) -> None:
        with self._services.database.read() as tx:
            transactions.require(tx, transaction)
        arguments: dict[str, object] = {
            "repo": repo,
            "commit": commit,
            "description": description,
        }
        with self._services.chunks.hold():  # until the step names what is stored
            deltas = tuple(self._files.store_for_later(repo, commit, changes))
            self._services.chunks.flush()
            self._add(transaction, StepRow(operation=_FILES, arguments=arguments, deltas=deltas))

    def _add(self, transaction: str, step: StepRow) -> None:
        with self._services.database.read() as tx:
            batch = transactions.require(tx, transaction)
            before = transactions.steps(tx, batch)
        if len(before) < _REHEARSED_MAX:
            self._rehearse(batch, [*before, step])
        with self._services.database.write() as tx:
            for root in step.roots:  # rehearsed or not: what is named must be there
                if not has_code(tx, root):
                    require_file_set(tx, root)
            transactions.add_step(tx, transactions.require(tx, transaction), step)

    def _rehearse(self, batch: BatchRow, steps: Sequence[StepRow]) -> None:
        """Carry out the steps without making trees, and take it all back."""
        rehearsed(
            self._services,
            lambda tx: _carry_out(self._change(tx, batch, rehearsal=True), steps),
        )

    def finish_transaction(self, transaction: str) -> RunInfo:
        """The trees are made while the catalog is held: nobody can come between two steps."""
        services = self._services
        with services.chunks.hold(), services.database.write() as tx:
            batch = transactions.require(tx, transaction)
            change = self._change(tx, batch, rehearsal=False)
            _carry_out(change, transactions.steps(tx, batch))
            transactions.forget(tx, batch)
            services.chunks.flush()
            made = commits.commits_of_run(tx, batch.id)
            ends = [commit.finished for commit in made if commit.finished is not None]
            info = RunInfo(
                id=batch.id,
                state=state_of(made),
                created=change.now,
                finished=max(ends, default=change.now) if len(ends) == len(made) else None,
                commits=tuple(commit.name for commit in made),
                jobs=tuple(change.jobs),
            )
        for pipeline in change.warm:
            services.scheduler.prewarm(pipeline)
        return info

    def delete_transaction(self, transaction: str) -> None:
        with self._services.database.write() as tx:
            transactions.forget(tx, transactions.require(tx, transaction))

    def _change(self, tx: Any, batch: BatchRow, *, rehearsal: bool) -> Change:
        return Change(
            services=self._services,
            tx=tx,
            now=self._services.now(),
            run_id=RunId(batch.id),
            later=[],
            rehearsal=rehearsal,
        )


def _carry_out(change: Change, steps: Sequence[StepRow]) -> None:
    """All steps in order, then what they left open, then what they set off together."""
    for number, step in enumerate(steps, start=1):
        try:
            _STEPS[step.operation](change, step)
        except TrunklineError as error:
            error.args = (f"step {number} ({_sentence(step)}): {error}",)
            raise
    for repo, commit in list(change.unfinished):
        try:
            finish_in_change(change, repo, commit, description=None)
        except TrunklineError as error:
            error.args = (f"the changes to files of repo '{repo}': {error}",)
            raise
    try:
        create_due_tags(change)
        change.settle()
    except TrunklineError as error:
        error.args = (f"all {len(steps)} steps together: {error}",)
        raise


def _create_branch(change: Change, step: StepRow) -> None:
    given: dict[str, Any] = {"head": None, "provenance": None, "trigger": None, **step.arguments}
    if given["trigger"] is not None:
        given["trigger"] = BranchTrigger(**given["trigger"])
    create_branch(change, **given)


def _create_pipeline(change: Change, step: StepRow) -> None:
    given: dict[str, Any] = dict(step.arguments)
    spec, code = given.pop("spec"), given.pop("code", None)
    renew = bool(given.pop("renew_packages", False))
    prepared = prepare(
        *(change.services, spec, code),
        renew_packages=renew,
        alone=False,
        store=not change.rehearsal,
    )
    options = {"update": False, "reprocess": False, "keep_results": False, **given}
    create_pipeline(change, prepared, **options)


def _write_files(change: Change, step: StepRow) -> None:
    given: dict[str, Any] = step.arguments
    write_in_change(
        change, given["repo"], given["commit"], deltas=step.deltas, description=given["description"]
    )


def _calling(function: Callable[..., object], **defaults: object) -> Callable[..., object]:
    def call(change: Change, step: StepRow) -> object:
        return function(change, **{**defaults, **step.arguments})

    return call


def _removing(way: removal.Way, *, run: bool) -> Callable[..., object]:
    def call(change: Change, step: StepRow) -> object:
        given: dict[str, Any] = dict(step.arguments)
        recursive = bool(given.get("recursive", False))
        if run:
            return removal.remove_run(change, way, given["run"], recursive=recursive)
        return removal.remove_commit(
            change, way, given["repo"], given["commit"], recursive=recursive
        )

    return call


_STEPS: dict[str, Callable[[Change, StepRow], object]] = {
    "create_repo": _calling(create_repo, description="", update=False),
    "delete_repo": _calling(delete_repo, force=False),
    "create_branch": _create_branch,
    "delete_branch": _calling(delete_branch, force=False),
    "create_tag": _calling(create_tag, force=False),
    "delete_tag": _calling(delete_tag),
    "start_commit": _calling(start_commit, branch=None, parent=None, description=""),
    "finish_commit": _calling(finish_in_change, description=None),
    _FILES: _write_files,
    "delete_commit": _calling(removal.delete_commit),
    "squash_commit": _removing("squash", run=False),
    "drop_commit": _removing("drop", run=False),
    "delete_run": _calling(removal.delete_run),
    "squash_run": _removing("squash", run=True),
    "drop_run": _removing("drop", run=True),
    "create_pipeline": _create_pipeline,
    "delete_pipeline": _calling(delete_pipeline, force=False, keep_repo=False),
}
_DECLARED: dict[str, Operation] = {
    operation.name: operation
    for protocol in NOUNS.values()
    for operation in operations_of(protocol)
    if operation.name in STEPS
}


def _check_arguments(operation: Operation, arguments: dict[str, object]) -> None:
    """Raise InvalidInput for arguments that the operation does not take."""
    for name, value in arguments.items():
        if name not in operation.arguments:
            raise InvalidInput(f"{operation.name} has no argument '{name}'")
        if not _fits(value, operation.arguments[name]):
            raise InvalidInput(f"{operation.name}: {name} can't be {value!r}")
    for name in operation.arguments:
        if name not in arguments and name not in operation.defaults:
            raise InvalidInput(f"{operation.name} needs an argument '{name}'")


def _fits(value: object, kind: Any) -> bool:
    """Whether a value out of JSON is of a declared type."""
    options = get_args(kind) if get_origin(kind) not in (list, dict, None) else (kind,)
    for option in options:
        if is_dataclass(option) and isinstance(value, dict):
            return _fits_fields(value, option)
        origin = get_origin(option) or option
        if isinstance(origin, type) and isinstance(value, origin):
            items = get_args(option) if origin is list else ()
            content: Any = value
            return not items or all(isinstance(item, items[0]) for item in content)
    return False


def _fits_fields(value: dict[str, Any], kind: Any) -> bool:
    """The same for the fields of a value of ours."""
    known = {one.name: one for one in fields(kind)}
    needed = {name for name, one in known.items() if one.default is MISSING}
    return needed <= value.keys() <= known.keys() and all(
        type(found) is known[name].type for name, found in value.items()
    )


def _sentence(step: StepRow) -> str:
    """The step as a command says it: create repo data."""
    words = step.operation.replace("_", " ")
    given = step.arguments
    if step.operation == _FILES:
        return f"put file {given['repo']}@{given['commit']}"
    spec = given.get("spec")
    if isinstance(spec, dict):
        pipeline = spec.get("pipeline")
        name = pipeline.get("name", "") if isinstance(pipeline, dict) else ""
        return f"{words} {name}"
    place = str(given.get("repo") or given.get("name") or given.get("run") or "")
    at = given.get("branch") or given.get("tag") or given.get("commit")
    return f"{words} {place}{f'@{at}' if at else ''}"


def _info(batch: BatchRow, steps: Sequence[StepRow]) -> TransactionInfo:
    return TransactionInfo(
        id=batch.id,
        description=batch.description,
        started=batch.started,
        steps=tuple(_sentence(step) for step in steps),
    )
