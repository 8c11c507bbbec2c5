"""Names and contents that would run if a page took them for anything but text.

Each page is parsed as a browser would: whatever a name or content brought in, there is no element
and no attribute in it that runs, loads from elsewhere or sends a form to somebody else.
"""

import re
from html.parser import HTMLParser
from urllib.parse import quote

import pytest
from console_world import ConsoleWorld
from hostile_files import ALL, CONTENTS, NAMES


class Runs(HTMLParser):
    """Collects what of a page could run, or reach out."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: (value or "").strip().lower() for name, value in attrs}
        if tag == "iframe" and sorted(named) == ["class", "src", "title"]:
            if not re.fullmatch(r"/ui/projects/[^?#]*/raw/[^?#]*\.pdf\?inline=1", named["src"]):
                self.found.append(f"a frame of {named['src']}")
        elif tag in ("iframe", "object", "embed", "base", "style", "frame", "applet", "math"):
            self.found.append(tag)
        if tag == "script" and not named.get("src", "").startswith("/ui/static/"):
            self.found.append("a script in the page")
        if tag == "meta" and "http-equiv" in named:
            self.found.append("meta http-equiv")
        if tag == "img" and not named["src"].startswith(("/ui/", "data:image/")):
            self.found.append(f"a picture from {named['src']}")
        if tag == "form" and not named.get("action", "/ui/").startswith("/ui/"):
            self.found.append(f"a form to {named['action']}")
        if tag == "a" and re.match(r"[\x00-\x20]*(javascript|data|vbscript):", named["href"]):
            self.found.append(f"a link to {named['href']}")
        self.found += [name for name in named if name.startswith("on") or name == "style"]


HOSTILE = "/ui/projects/default/repos/payloads"


@pytest.fixture(scope="module")
def payloads(world: ConsoleWorld) -> ConsoleWorld:
    world.engine.repos.create_repo("payloads", description=ALL)
    named = {f"names/{name}/{name}.txt": ALL.encode() for name in NAMES}
    world.put("payloads", CONTENTS, ALL)
    world.put("payloads", named, ALL)
    return world


def runs(page: str) -> list[str]:
    return Runs(page).found


@pytest.mark.parametrize("path", [*CONTENTS, "a.html?as=binary", "a.html?as=<script>"])
def test_contents_are_text_in_every_preview(payloads: ConsoleWorld, path: str) -> None:
    shown = payloads.page(f"{HOSTILE}@master/files/{path}")
    as_text = payloads.page(f"{HOSTILE}@master/files/{path.partition('?')[0]}?as=text")

    assert [*runs(shown), *runs(as_text)] == []


@pytest.mark.parametrize("query", ["", "?as=text"])
def test_contents_are_text_in_every_difference(payloads: ConsoleWorld, query: str) -> None:
    changed = {path: ALL.encode() + content for path, content in CONTENTS.items()}
    payloads.put("payloads", changed, ALL)
    parent = f"from={quote('master^')}"

    found = {
        path: runs(payloads.page(f"{HOSTILE}@master/diff/{path}?{query.strip('?')}&{parent}"))
        for path in CONTENTS
    }
    payloads.put("payloads", CONTENTS, ALL)

    assert not any(found.values()), found


@pytest.mark.parametrize("name", NAMES)
def test_names_are_text_in_every_list(payloads: ConsoleWorld, name: str) -> None:
    pages = [
        payloads.page(f"{HOSTILE}@master/files/names/{quote(name)}"),
        payloads.page(f"{HOSTILE}@master/files/names/{quote(name)}/{quote(name)}.txt"),
        payloads.get(f"{HOSTILE}@master/files/?find={quote(name[:6])}").body.decode(),
        payloads.page(f"{HOSTILE}@master/history/names/{quote(name)}"),
        payloads.get(f"{HOSTILE}@master/diff/?from={quote(name, safe='')}").body.decode(),
    ]

    assert [found for page in pages for found in runs(page)] == []


@pytest.mark.parametrize(
    "target",
    [
        "/ui/",
        "/ui/repos",
        HOSTILE,
        f"{HOSTILE}/commits",
        f"{HOSTILE}@master",
        f"{HOSTILE}@master/diff/",
        f"{HOSTILE}@master/history/",
    ],
)
def test_descriptions_and_readmes_are_text_in_every_page(
    payloads: ConsoleWorld, target: str
) -> None:
    page = payloads.page(target)

    assert runs(page) == []
    assert "&lt;script&gt;alert(1)" in page


@pytest.mark.parametrize("path", CONTENTS)
@pytest.mark.parametrize("query", ["", "?inline=1"])
def test_contents_as_they_are_run_nothing(payloads: ConsoleWorld, path: str, query: str) -> None:
    answer = payloads.get(f"{HOSTILE}@master/raw/{path}{query}")

    assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    shown = answer.headers["content-type"]
    if query and path in ("a.png", "a.mp4", "a.pdf"):
        assert (shown, answer.headers["content-disposition"][:6]) in (
            ("image/png", "inline"),
            ("video/mp4", "inline"),
            ("application/pdf", "inline"),
        )
    else:
        assert shown == (
            "image/svg+xml" if query and path == "a.svg" else "application/octet-stream"
        )
        assert answer.headers["content-disposition"].startswith("attachment;")
