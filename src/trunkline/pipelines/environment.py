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

    `<input>` is the path of what the input gave (/pfs/<input>/<path>, no slash at the end) and
    `<input>_COMMIT` the commit it is from. Input names may have `-` or begin with a digit, which no
    shell can spell: such a name is given as it is (other languages can read it) and again with `_`
    for each `-`, and before a digit, unless another input has just that name. `pipeline` is a full
    name; code sees it apart from its project.
    """
    found = dict(env)
    exact = {file.name for file in datum.files}
    for file in datum.files:
        alias = shell_name(file.name)
        if alias not in exact:
            found |= _of_input(alias, file)
    for file in datum.files:
        found |= _of_input(file.name, file)
    found |= {
        "PACH_JOB_ID": job,
        "PACH_OUTPUT_COMMIT_ID": output_commit,
        "PACH_DATUM_ID": datum_id,
        "PPS_PIPELINE_NAME": bare_name(pipeline),
        "PPS_PROJECT_NAME": project_of(pipeline),
        "PPS_SPEC_COMMIT": spec_commit,
        "TRUNKLINE_JOB_ID": job,
        "TRUNKLINE_OUTPUT_COMMIT_ID": output_commit,
        "TRUNKLINE_DATUM_ID": datum_id,
        "TRUNKLINE_PIPELINE_NAME": bare_name(pipeline),
        "TRUNKLINE_PROJECT_NAME": project_of(pipeline),
        "TRUNKLINE_SPEC_COMMIT": spec_commit,
    }
    return found


def input_path(file: DatumFile) -> str:
    """Where user code finds what an input gave it."""
    return f"/pfs/{file.name}/{file.path}" if file.path else f"/pfs/{file.name}"


def shell_name(name: str) -> str:
    """The name as a shell could use it for a variable."""
    plain = _NOT_SHELL.sub("_", name)
    return f"_{plain}" if plain[:1].isdigit() else plain


def _of_input(name: str, file: DatumFile) -> dict[str, str]:
    return {name: input_path(file), f"{name}_COMMIT": file.commit}
