"""Which repos the input of a spec reads, whatever it is made of."""

from trunkline.model.names import DEFAULT_PROJECT, full_name


def read_by(part: object) -> dict[str, str]:
    """The full names of the repos in a part of a spec's input, each with its commit.

    Only the spec of a job has commits; where there is none it is empty.
    """
    if isinstance(part, list):
        return _together(part)
    if not isinstance(part, dict):
        return {}
    found = _together(list(part.values()))
    if isinstance(part.get("repo"), str):
        name = full_name(str(part.get("project") or DEFAULT_PROJECT), part["repo"])
        found[name] = str(part.get("commit") or "")
    return found


def _together(parts: list[object]) -> dict[str, str]:
    return {repo: commit for part in parts for repo, commit in read_by(part).items()}
