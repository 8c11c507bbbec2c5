"""The environment variables that tell user code what it works on."""

import re
from collections.abc import Mapping

from trunkline.model.names import bare_name, project_of
from trunkline.pipelines.datums import Datum, DatumFile

_NOT_SHELL = re.compile(r"[^A-Za-z0-9_]")


def datum_environment(
    datum: Datum,
    *,
    env: Mapping[str, str],
    pipeline: str,
    job: str,
    output_commit: str,
    datum_id: str,
    spec_commit: str,
) -> dict[str, str]:
    """The variables of one datum on top of `env`, the spec's own; a name of ours wins.

    `<input>` is the path of what the input gave (/pfs/<input>/<path>, no slash at the end; of
    several files, the last by path), `<input>_COMMIT` the commit it is from, and
    `PACH_DATUM_<input>_JOIN_ON` and `…_GROUP_BY` its keys in a join and a group. Input names may
    have `-` or begin with a digit, which no shell can spell: such a name is given as it is (other
    languages can read it) and again with `_` for each `-`, and before a digit, unless another input
    has just that name. `pipeline` is a full name; code sees it apart from its project.
    """
    found = dict(env)
    exact = {file.name for file in datum.files}
    files = datum.by_name()
    for file in files:
        alias = shell_name(file.name)
        if alias not in exact:
            found |= _of_input(alias, file)
    for file in files:
        found |= _of_input(file.name, file)
    found |= job_environment(
        pipeline=pipeline, job=job, output_commit=output_commit, spec_commit=spec_commit
    )
    found |= {"PACH_DATUM_ID": datum_id, "TRUNKLINE_DATUM_ID": datum_id}
    return found


def job_environment(
    *, pipeline: str, job: str, output_commit: str, spec_commit: str
) -> dict[str, str]:
    """The variables that all datums of a job share."""
    return {
        "PACH_JOB_ID": job,
        "PACH_OUTPUT_COMMIT_ID": output_commit,
        "PPS_PIPELINE_NAME": bare_name(pipeline),
        "PPS_PROJECT_NAME": project_of(pipeline),
        "PPS_SPEC_COMMIT": spec_commit,
        "TRUNKLINE_JOB_ID": job,
        "TRUNKLINE_OUTPUT_COMMIT_ID": output_commit,
        "TRUNKLINE_PIPELINE_NAME": bare_name(pipeline),
        "TRUNKLINE_PROJECT_NAME": project_of(pipeline),
        "TRUNKLINE_SPEC_COMMIT": spec_commit,
    }


def input_path(file: DatumFile) -> str:
    """Where user code finds what an input gave it."""
    return f"/pfs/{file.name}/{file.path}" if file.path else f"/pfs/{file.name}"


def shell_name(name: str) -> str:
    """The name as a shell could use it for a variable."""
    plain = _NOT_SHELL.sub("_", name)
    return f"_{plain}" if plain[:1].isdigit() else plain


def _of_input(name: str, file: DatumFile) -> dict[str, str]:
    found = {name: input_path(file), f"{name}_COMMIT": file.commit}
    for kind, key in (("JOIN_ON", file.join_on), ("GROUP_BY", file.group_by)):
        if key is not None:
            found |= {f"{prefix}_DATUM_{name}_{kind}": key for prefix in ("PACH", "TRUNKLINE")}
    return found
