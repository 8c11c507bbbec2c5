"""Going to something by its name: repos, pipelines, commits, runs, and whole addresses.

What is found of a word is a list on a page of its own; the field on every page
(`static/find.js`) takes the list out of that page while one types.
"""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from trunkline.api.connection import Operations
from trunkline.errors import TrunklineError
from trunkline.model.names import parse_address
from trunkline.server.console import urls
from trunkline.server.console.page import Answer, Redirect, Route, Show, Visit

_HITS = 12  # of a kind
_COMMITS = 500  # the newest, whose ids are looked through
_ID_LETTERS_MIN = 4
_QUERY_MAX = 300
_HEXADECIMAL = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """Something with that name."""

    kind: str
    icon: str
    name: str
    about: str
    address: str


def search(visit: Visit) -> Answer:
    words = visit.query.get("q", "").strip()[:_QUERY_MAX]
    hits = list(_hits(visit.operations, words)) if words else []
    same = [hit for hit in hits if hit.name == words]
    if len(hits) == 1 or len(same) == 1:
        [only] = same or hits
        if "go" in visit.query and not visit.is_fragment:
            return Redirect(to=only.address)
    context = {"words": words, "hits": hits}
    return Show(template="search/search.html", title="Search", context=context)


def _hits(operations: Operations, words: str) -> Iterator[Hit]:
    yield from _address(operations, words)
    pipelines = {one.name: one for one in operations.pipelines.list_pipelines()}
    for name in _best(pipelines, words):
        yield Hit(
            kind="pipeline",
            icon="pipeline",
            name=name,
            about=pipelines[name].description or pipelines[name].input,
            address=urls.pipeline(name),
        )
    repos = {one.name: one for one in operations.repos.list_repos()}
    for name in _best(repos, words):
        about = repos[name].description or ("its output" if name in pipelines else "")
        yield Hit(kind="repo", icon="repo", name=name, about=about, address=urls.repo(name))
    if len(words) >= _ID_LETTERS_MIN and set(words) <= _HEXADECIMAL:
        yield from _ids(operations, words)


def _address(operations: Operations, words: str) -> Iterator[Hit]:
    """What `repo@ref` or `repo@ref:/path` names, if that is there."""
    if "@" not in words:
        return
    with contextlib.suppress(TrunklineError):
        address = parse_address(words)
        ref = address.ref or "master"
        if address.path is None:
            commit = operations.commits.inspect_commit(address.repo, ref)
            to = urls.commit(address.repo, ref)
            yield Hit(
                kind="commit", icon="commit", name=words, about=commit.description, address=to
            )
        else:
            file = operations.files.inspect_file(address.repo, ref, address.path)
            to = urls.files(address.repo, ref, file.path)
            yield Hit(kind=str(file.type), icon="file", name=words, about="", address=to)


def _ids(operations: Operations, words: str) -> Iterator[Hit]:
    """Newest runs and commits whose id begins so."""
    newest = operations.commits.list_all_commits(number=_COMMITS)
    found = islice((one for one in newest if one.id.startswith(words)), _HITS)
    for place, commit in enumerate(found):
        if not place:
            about = "all that one change set off"
            address = urls.run(commit.id)
            yield Hit(kind="run", icon="run", name=commit.id, about=about, address=address)
        yield Hit(
            kind="commit",
            icon="commit",
            name=f"{commit.repo}@{commit.id}",
            about=commit.description,
            address=urls.commit(commit.repo, commit.id),
        )


def _best(names: Iterable[str], words: str) -> list[str]:
    """Names that have all the words in them: those that are or begin so first."""
    parts = words.lower().split()
    found = [name for name in names if all(part in name.lower() for part in parts)]
    whole = words.lower()

    def order(name: str) -> tuple[bool, bool, str]:
        return name.lower() != whole, not name.lower().startswith(whole), name

    return sorted(found, key=order)[:_HITS]


ROUTES = (Route(path="/search", view=search),)
