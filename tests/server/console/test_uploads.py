"""Files that are sent with a form."""

import re

import pytest
from console_world import ConsoleWorld
from memory_server import Answer

UPLOAD = "/ui/projects/default/repos/inbox/upload"
BOUNDARY = "----WebKitFormBoundaryab12"


@pytest.fixture(scope="module")
def inbox(world: ConsoleWorld) -> ConsoleWorld:
    world.engine.repos.create_repo("inbox")
    return world


def form_key(world: ConsoleWorld) -> str:
    found = re.search(r'name="form_key" value="(\w+)"', world.page("/ui/repos"))
    assert found is not None
    return found[1]


def send(
    world: ConsoleWorld, fields: dict[str, str], files: dict[str, bytes], **headers: str
) -> Answer:
    body = b""
    for name, text in fields.items():
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'
        body += head.encode()
    for name, content in files.items():
        head = f'Content-Disposition: form-data; name="file"; filename="{name}"'
        body += f"--{BOUNDARY}\r\n{head}\r\n\r\n".encode() + content + b"\r\n"
    body += f"--{BOUNDARY}--\r\n".encode()
    sent = {
        "Cookie": world.cookie,
        "Content-Type": f"multipart/form-data; boundary={BOUNDARY}",
        **headers,
    }
    return world.server.ask("POST", UPLOAD, body, headers=sent, tcp=True)


def files(world: ConsoleWorld, branch: str) -> dict[str, bytes]:
    listed = world.engine.files.list_files("inbox", branch, "/", recursive=True)
    return {
        file.path: b"".join(world.engine.files.read_file("inbox", branch, file.path))
        for file in listed
        if file.type == "file"
    }


def test_a_directory_of_a_branch_has_a_form_that_puts_files_there(world: ConsoleWorld) -> None:
    page = world.page("/ui/projects/default/repos/training@master/files/notes")
    of_a_commit = world.page("/ui/projects/default/repos/training@master^/files/")

    assert 'name="directory" value="notes"' in page
    assert 'name="branch" value="master"' in page
    assert 'name="directory"' not in of_a_commit


def test_files_become_one_commit_of_the_branch(inbox: ConsoleWorld) -> None:
    fields = {"form_key": form_key(inbox), "branch": "new", "directory": "/in/", "description": "ü"}
    large = bytes(range(256)) * 40_000

    answer = send(inbox, fields, {"a.bin": large, "sub/b.txt": b"b\r\n--", "empty": b""})

    assert answer.status == 303, answer.body.decode()
    head = inbox.engine.commits.inspect_commit("inbox", "new")
    assert answer.headers["location"] == f"/ui/projects/default/repos/inbox@{head.id}"
    assert (head.description, head.parent) == ("ü", None)
    assert files(inbox, "new") == {"in/a.bin": large, "in/sub/b.txt": b"b\r\n--", "in/empty": b""}


@pytest.mark.parametrize(
    ("fields", "sent", "status"),
    [
        ({}, {"a": b"a"}, 403),
        ({"form_key": "0" * 40}, {"a": b"a"}, 403),
        ({"form_key": "", "branch": "no/such"}, {"a": b"a" * 3_000_000}, 400),
        ({"form_key": ""}, {"../../etc/passwd": b"a"}, 400),
        ({"form_key": ""}, {"": b""}, 400),
        ({"form_key": ""}, {}, 400),
    ],
)
def test_what_is_refused_changes_nothing(
    inbox: ConsoleWorld, fields: dict[str, str], sent: dict[str, bytes], status: int
) -> None:
    if fields.get("form_key") == "":
        fields = {**fields, "form_key": form_key(inbox)}

    answer = send(inbox, fields, sent)

    assert answer.status == status
    assert b"<h1>" in answer.body
    assert "master" not in [one.name for one in inbox.engine.branches.list_branches("inbox")]


def test_a_form_of_another_site_is_refused(inbox: ConsoleWorld) -> None:
    fields = {"form_key": form_key(inbox)}

    assert send(inbox, fields, {"a": b"a"}, **{"Sec-Fetch-Site": "cross-site"}).status == 403
    assert send(inbox, fields, {"a": b"a"}, Origin="http://evil.example").status == 403
    assert send(inbox, fields, {"a": b"a"}, **{"Content-Type": "text/plain"}).status == 400


def test_an_upload_that_breaks_off_changes_nothing(inbox: ConsoleWorld) -> None:
    fields = {"form_key": form_key(inbox), "branch": "broken"}
    other = {"Content-Type": "multipart/form-data; boundary=x"}

    assert send(inbox, fields, {"a": b"a"}, **other).status == 400
    assert "broken" not in [one.name for one in inbox.engine.branches.list_branches("inbox")]
