"""A person's data is erased, through the real command line and its server."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

from stored_bytes import places_of

Command = Callable[..., CompletedProcess[str]]
SECRET = "4711-secret-of-jane"


def test_a_request_for_erasure_from_beginning_to_end(
    command: Command, home: Path, tmp_path: Path
) -> None:
    def run(line: str, *more: str, **options: object) -> str:
        done = command("trunkline", *line.split(), *more, **options)  # type: ignore[arg-type]
        return done.stdout

    run("create project p")
    run("create repo people --project p")
    (tmp_path / "jane-doe").write_text(SECRET)
    (tmp_path / "joe").write_text("joe")
    run("put file -r p/people@master -f", str(tmp_path / "jane-doe"))
    run("put file -r p/people@master -f", str(tmp_path / "joe"))
    spec = {
        "pipeline": {"name": "copy", "project": {"name": "p"}},
        "input": {"pfs": {"repo": "people", "glob": "/*"}},
        "transform": {"cmd": ["sh"], "stdin": ["cat $people; cp $people /pfs/out/"]},
    }
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    run("create pipeline -f", str(tmp_path / "spec.json"))
    run("flush commit p/people@master")

    words = ("purge", "people:/jane*", "--project", "p", "--forget-names", "--reason", "request 17")
    dry = command("trunkline", *words, "--dry-run").stdout
    assert "p/copy (made from them): 1 file in 1 commit," in dry
    assert run("get file p/copy@master:/jane-doe") == SECRET
    told = command("trunkline", *words, "--yes", "--report", str(tmp_path / "report")).stdout

    report = json.loads((tmp_path / "report").read_text())
    assert (report["state"], report["contents_erased"]) == ("done", report["contents"])
    assert report["id"] in told
    assert report["id"] in run("list purge")
    assert "request 17" in run("inspect purge", report["id"])
    run("flush commit p/people@master")
    assert "joe" in run("list file p/copy@master")
    assert "jane" not in run("list file p/copy@master")
    assert "Purged: 1 file" in run("inspect commit p/people@master^")
    assert "(digest)" in run("list purged p/people@master^")
    refused = command("trunkline", "get", "file", "p/people@master^:/jane-doe", ok=False)
    assert refused.returncode == 3
    assert "has been purged" in refused.stderr
    assert "request 17" in refused.stderr
    assert "No damage found." in run("fsck")
    assert places_of(home, SECRET) == []
    assert [place for place in places_of(home, "jane-doe") if "/log/" not in place] == []
