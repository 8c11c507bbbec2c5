"""What each kind of file looks like, and what is done where it is not what its name says."""

import gzip
import json
import re
import struct

import pytest
from console_world import ConsoleWorld
from file_kinds import file_kinds

KINDS = "/ui/projects/default/repos/kinds@master"


@pytest.fixture(scope="module")
def kinds(world: ConsoleWorld) -> ConsoleWorld:
    """With a repo that has a file of each kind."""
    world.put("kinds", file_kinds())
    return world


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("t.parquet", [">1,000<", ">int64<", ">setosa<", ">999<", ">null<", "snappy", ">500<"]),
        ("t.feather", ["Feather", ">double<", ">2.5<"]),
        ("t.arrows", ["Arrow", ">double<", ">2.5<"]),
        ("d.json", ['"key">name<', '"text">iris<', '"yes-or-no">true<', ">2.5<", ">4 values<"]),
        ("d.yaml", ['"key">ports<', '"number">443<', '"alias">*base<', '"nothing">~<']),
        ("d.toml", ['"text">trunkline<', '"time">2026-01-01<']),
        ("docs/d.md", ["<h1>Notes</h1>", f'href="{KINDS}/files/t.parquet"']),
        (
            "n.ipynb",
            ["<h1>Petals</h1>", "[7]", "150 rows", "data:image/png;base64,", ">ValueError"],
        ),
        ("p.png", ["/raw/p.png?inline=1", "48 × 32 pixels"]),
        ("s.wav", ["<audio controls", "/raw/s.wav?inline=1"]),
        ("f.pdf", ["Version 1.7", '<iframe class="document"', "/raw/f.pdf?inline=1"]),
        ("w.safetensors", ["layer.weight", "2 × 3", ">6<", "F32", ">pt<"]),
        ("m.pkl", ["pathlib.PurePosixPath", "is not loaded"]),
        ("m.pt", ["pathlib.PurePosixPath", "archive/data/0"]),
        ("a.zip", ["in/zip.txt", "5 B"]),
        ("a.tar", ["in/tar.txt", "5 B"]),
        ("a.tar.gz", ["in/tgz.txt", "5 B"]),
        ("b.bin", ["00000010", "10 11 12", "data-more"]),
    ],
)
def test_each_kind_shows_what_is_in_it(kinds: ConsoleWorld, path: str, shown: list[str]) -> None:
    page = kinds.page(f"{KINDS}/files/{path}")

    assert [text for text in shown if text not in page] == []


def test_text_has_numbers_of_lines_and_leads_back_and_forth(world: ConsoleWorld) -> None:
    lines = [f"line {number} {'ä' * (number % 50)}\n" for number in range(1, 5001)]
    world.put("log", {"a.log": "".join(lines).encode()})
    target = "/ui/projects/default/repos/log@master/files/a.log"

    def follow(page: str, word: str) -> str:
        found = re.search(rf'<a href="([^"]+)"[^>]*>{word}</a>', page)
        assert found is not None
        return world.page(found[1].replace("&amp;", "&"))

    def numbered(page: str) -> bool:
        found = re.search(r'aria-hidden="true">([\d\n]+)</pre><pre>(.*?)</pre>', page, re.DOTALL)
        assert found is not None
        texts = found[2].splitlines()
        return [f"line {number}" for number in found[1].split()] == [
            " ".join(text.split()[:2]) for text in texts
        ]

    first = world.page(target)
    second = follow(first, "Next")
    third = follow(second, "Next")
    assert all(map(numbered, (first, second, third)))
    assert follow(third, "Previous").count("<pre>") == 1
    assert numbered(follow(third, "Previous"))
    last = follow(first, "End")
    assert "line 5000 " in last
    assert "numbers" not in last  # nobody has counted up to there
    assert "\ufffd" not in first + second + third + last


@pytest.mark.parametrize(
    "path", ["a.json", "a.yaml", "a.toml", "a.ipynb", "a.parquet", "a.feather"]
)
def test_what_is_not_what_its_name_says_is_shown_as_what_it_is(
    world: ConsoleWorld, path: str
) -> None:
    world.put("misnamed", {path: b"{ no such thing"})

    page = world.page(f"/ui/projects/default/repos/misnamed@master/files/{path}")

    assert "Shown as text: " in page
    assert "{ no such thing" in page


DAMAGED = {
    "a.zip": b"PK\x05\x06\0",
    "a.tar": b"\0\1" * 600,
    "a.tar.gz": gzip.compress(b"\0\1" * 600),
    "a.safetensors": struct.pack("<Q", 2**60) + b"{}",
    "a.parquet": b"PAR1\0\0\0\0\xff\xff\xff\x7fPAR1",
    "a.pkl": b"\0\0\0",
    "a.csv": b"a,b\0",
}


@pytest.mark.parametrize("path", DAMAGED)
def test_what_is_damaged_is_shown_as_bytes(world: ConsoleWorld, path: str) -> None:
    world.put("damaged", {path: DAMAGED[path]})

    assert 'class="bytes"' in world.page(f"/ui/projects/default/repos/damaged@master/files/{path}")


def test_documents_that_would_grow_or_nest_without_end_are_shown_in_part(
    world: ConsoleWorld,
) -> None:
    laughs = "a: &a [x, x, x, x, x, x, x, x]\n" + "".join(
        f"{name}: &{name} [{', '.join(f'*{before}' for _ in range(9))}]\n"
        for before, name in zip("abcdefghij", "bcdefghijk", strict=True)
    )
    files = {
        "laughs.yaml": laughs.encode(),
        "deep.yaml": b"[" * 100_000,
        "deep.json": b"[" * 100_000 + b"]" * 100_000,
        "deep-enough.json": b"[" * 800 + b"]" * 800,
        "wide.json": json.dumps([{"n": n} for n in range(50_000)]).encode(),
        "number.json": b"9" * 10_000,
    }
    world.put("bombs", files)

    pages = {
        path: world.page(f"/ui/projects/default/repos/bombs@master/files/{path}") for path in files
    }

    assert "*j" in pages["laughs.yaml"]
    assert "and 49,500 more" in pages["wide.json"]
    assert max(map(len, pages.values())) < 2_000_000


def test_one_can_ask_for_text_or_bytes_of_anything(kinds: ConsoleWorld) -> None:
    as_text = kinds.page(f"{KINDS}/files/d.json?as=text")
    as_bytes = kinds.page(f"{KINDS}/files/d.json?as=binary")

    assert "&#34;iris&#34;" in as_text
    assert "7b 22 6e" in as_bytes
    assert "as=text" not in kinds.page(f"{KINDS}/files/b.bin")  # it is no text
