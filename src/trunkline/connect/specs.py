"""From a spec that a user has (mapping, file, text) to a pipeline, its code uploaded with it."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trunkline.api.connection import Operations
from trunkline.connect.code import code_changes
from trunkline.connect.functions import PipelineFunction
from trunkline.errors import InvalidInput, LocalFileNotFound, OperationFailed
from trunkline.model.names import DEFAULT_PROJECT
from trunkline.model.pipelines import PipelineInfo

Function = PipelineFunction[..., Any]
Spec = Mapping[str, object] | str | os.PathLike[str] | Function
SPEC_ENDINGS = (".json", ".yaml", ".yml")


def create_one(
    operations: Operations,
    spec: Spec,
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
    if isinstance(spec, PipelineFunction) and code is not None:
        raise InvalidInput(f"{source} brings its code; name the directory in its decorator")
    created = create_from_text(
        operations,
        text,
        source=source,
        directory=directory,
        project=project,
        code=spec if isinstance(spec, PipelineFunction) else code,
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
    code: str | os.PathLike[str] | Function | None = None,
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
        chosen = code if code is not None else directory / draft.code if draft.code else None
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


def upload_code(operations: Operations, code: str | os.PathLike[str] | Function) -> str:
    """Store a code directory, or that of a function; the root to create a pipeline with."""
    if isinstance(code, PipelineFunction):
        changes = code.code_changes()
    else:
        changes = code_changes(Path(code))
    return operations.files.create_file_set(changes).root


def _as_json(spec: Mapping[str, object], source: str) -> str:
    try:
        return json.dumps(spec)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"{source} can't be written as JSON: {error}") from error


def _text_of(spec: Spec) -> tuple[str, str, Path]:
    """Text, its name in sentences, and the directory that its paths are relative to."""
    if isinstance(spec, PipelineFunction):
        return _as_json(spec.spec(), repr(spec)), repr(spec), Path.cwd()
    if isinstance(spec, Mapping):
        return _as_json(spec, "the spec"), "the spec", Path.cwd()
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
