"""From a spec that a user has (mapping, file, text) to a pipeline, its code uploaded with it."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from trunkline.api.changes import FileChange
from trunkline.api.connection import Operations
from trunkline.client.local_files import put_local
from trunkline.errors import InvalidInput, LocalFileNotFound, OperationFailed
from trunkline.model.names import DEFAULT_PROJECT
from trunkline.model.pipelines import PipelineInfo

SPEC_ENDINGS = (".json", ".yaml", ".yml")

# Left by running or editing the code, not part of it: the digest of the code decides what runs
# anew, and must not change because somebody tried it out.
_LEFT_OUT = frozenset({"__pycache__", ".git", ".ipynb_checkpoints", ".DS_Store", ".mypy_cache"})


def create_one(
    operations: Operations,
    spec: "Mapping[str, object] | str | os.PathLike[str]",
    *,
    project: str = DEFAULT_PROJECT,
    code: str | os.PathLike[str] | None = None,
    update: bool = False,
    reprocess: bool = False,
    keep_results: bool = False,
    renew_packages: bool = False,
) -> PipelineInfo:
    """Create the one pipeline that a spec describes, in `project` if the spec names none."""
    text, source, directory = _text_of(spec)
    created = create_from_text(
        operations,
        text,
        source=source,
        directory=directory,
        project=project,
        code=code,
        update=update,
        reprocess=reprocess,
        keep_results=keep_results,
        renew_packages=renew_packages,
        one=True,
    )
    return created[0]


def create_from_text(
    operations: Operations,
    text: str,
    *,
    source: str,
    directory: Path,
    project: str = DEFAULT_PROJECT,
    code: str | os.PathLike[str] | None = None,
    update: bool = False,
    reprocess: bool = False,
    keep_results: bool = False,
    renew_packages: bool = False,
    one: bool = False,
) -> list[PipelineInfo]:
    """Create every pipeline that a text describes, in its order.

    `source` names the text in sentences; a code directory in a spec is relative to `directory`.
    `code` overrides it. With `one`, anything but one spec is refused before anything is changed.
    """
    drafts = operations.pipelines.validate_specs(text, source=source, project=project)
    if one and len(drafts) != 1:
        raise InvalidInput(f"{source} describes {len(drafts)} pipelines; one is expected here")
    created = []
    for draft in drafts:
        chosen = Path(code) if code is not None else directory / draft.code if draft.code else None
        root = upload_code(operations, chosen) if chosen is not None else None
        created.append(
            operations.pipelines.create_pipeline(
                draft.spec,
                code=root,
                update=update,
                reprocess=reprocess,
                keep_results=keep_results,
                renew_packages=renew_packages,
            )
        )
    return created


def upload_code(operations: Operations, directory: Path) -> str:
    """Store a code directory; returns the root to create a pipeline with."""
    return operations.files.create_file_set(code_changes(directory)).root


def code_changes(directory: Path) -> list[FileChange]:
    """The files of a code directory, without what running or editing them leaves behind."""
    if not directory.is_dir():
        raise LocalFileNotFound(str(directory), "`code` in `transform` of the spec")
    changes: list[FileChange] = []
    for parent, folders, files in os.walk(directory):
        folders[:] = sorted(name for name in folders if name not in _LEFT_OUT)
        for name in sorted(files):
            if name not in _LEFT_OUT and not name.endswith((".pyc", ".pyo")):
                source = Path(parent, name)
                changes.append(put_local(source.relative_to(directory).as_posix(), source))
    return changes


def _text_of(
    spec: "Mapping[str, object] | str | os.PathLike[str]",
) -> tuple[str, str, Path]:
    """Text, its name in sentences, and the directory that its paths are relative to."""
    if isinstance(spec, Mapping):
        try:
            return json.dumps(spec), "the spec", Path.cwd()
        except (TypeError, ValueError) as error:
            raise InvalidInput(f"the spec can't be written as JSON: {error}") from error
    if isinstance(spec, str) and not spec.rstrip().endswith(SPEC_ENDINGS):
        return spec, "the spec", Path.cwd()
    path = Path(spec)
    try:
        return path.read_text("utf-8"), str(path), path.parent
    except (FileNotFoundError, NotADirectoryError) as error:
        raise LocalFileNotFound(str(path)) from error
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path} is not UTF-8 text") from error
    except OSError as error:
        raise OperationFailed(f"can't read {path}: {error.strerror}") from error
