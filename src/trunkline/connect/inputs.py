"""The inputs of pipeline specs, as functions: `pfs("training", "/*")`, `cross(...)`, `cron(...)`,
`git(...)`.

What they give is the `input` of a spec, nothing more: see docs/reference/pipeline-spec.md.
"""

from typing import Any

Input = dict[str, Any]


def pfs(
    repo: str,
    glob: str = "/*",
    *,
    branch: str | None = None,
    name: str | None = None,
    project: str | None = None,
    join_on: str | None = None,
    outer_join: bool | None = None,
    group_by: str | None = None,
    empty_files: bool | None = None,
    **more: object,
) -> Input:
    """The files or directories of a branch (`master`) that the glob matches, each a datum.

    `name` is the directory below /pfs and the parameter of a function; by default the repo's name,
    which may have its project in front. `more` are other fields of the spec.
    """
    owner, slash, bare = repo.rpartition("/")
    given = {
        "project": project if project is not None or not slash else owner,
        "name": name,
        "repo": bare if slash else repo,
        "branch": branch,
        "glob": glob,
        "join_on": join_on,
        "outer_join": outer_join,
        "group_by": group_by,
        "empty_files": empty_files,
        **more,
    }
    return {"pfs": _set(given)}


def cross(*inputs: Input) -> Input:
    """Every combination of the datums of the inputs."""
    return {"cross": list(inputs)}


def union(*inputs: Input) -> Input:
    """The datums of one input after the other."""
    return {"union": list(inputs)}


def join(*inputs: Input) -> Input:
    """The combinations of datums whose `join_on` is equal."""
    return {"join": list(inputs)}


def group(*inputs: Input) -> Input:
    """One datum for all files whose `group_by` is equal."""
    return {"group": list(inputs)}


def cron(
    name: str,
    spec: str,
    *,
    start: str | None = None,
    overwrite: bool | None = None,
    repo: str | None = None,
    **more: object,
) -> Input:
    """A tick at each time of the cron expression, such as `@daily` or `*/5 * * * *`."""
    given = {"name": name, "spec": spec, "repo": repo, "start": start, "overwrite": overwrite}
    return {"cron": _set({**given, **more})}


def git(
    url: str,
    *,
    branch: str | None = None,
    name: str | None = None,
    repo: str | None = None,
    secret: tuple[str, str] | None = None,
    **more: object,
) -> Input:
    """The tree of a branch (`master`) of a git repository, which is one datum.

    `name` is the directory below /pfs and the parameter of a function; by default that of the
    repository. `secret` is the name and key of one that has a token.
    """
    let_in = None if secret is None else {"name": secret[0], "key": secret[1]}
    given = {"name": name, "URL": url, "branch": branch, "repo": repo, "secret": let_in}
    return {"git": _set({**given, **more})}


def _set(fields: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value is not None}


def names(input_: object) -> list[str]:
    """The names that code sees the inputs under, each once; what is no input has none."""
    found: list[str] = []
    if not isinstance(input_, dict):
        return found
    for kind, value in input_.items():
        if kind in ("cross", "union", "join", "group") and isinstance(value, list | tuple):
            for member in value:
                found += names(member)
        elif isinstance(value, dict):
            of_url = str(value.get("URL") or "").rstrip("/").rpartition("/")[2]
            named = of_url.removesuffix(".git") or value.get("repo") or ""
            found.append(str(value.get("name") or named))
    return list(dict.fromkeys(name for name in found if name))
