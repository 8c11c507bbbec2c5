"""Secrets on the command line: where values come from, and that none is shown."""

import base64

import pytest


def sent(stub):
    """(name, values, kind, update) of each secret that was sent."""
    return [
        (
            args[0],
            {key: base64.b64decode(value) for key, value in given["data"].items()},
            given["kind"],
            given["update"],
        )
        for args, given in stub.all_called("create_secret")
    ]


def test_values_come_from_the_line_and_from_files(cli, stub, tmp_path):
    path = tmp_path / "password.txt"
    path.write_bytes(b"pass\xff\n")

    result = cli(
        *("create", "secret", "db", "--from-literal", "user=a=b"),
        *("--from-file", str(path), "--from-file", f"copy={path}"),
    )

    assert (result.status, result.out) == (0, "")
    values = {"user": b"a=b", "password.txt": b"pass\xff\n", "copy": b"pass\xff\n"}
    assert sent(stub) == [("db", values, "Opaque", False)]


@pytest.mark.parametrize("text", ['{"user": "iris", "port": 5432}', "user: iris\nport: 5432\n"])
def test_values_come_from_a_document(cli, stub, tmp_path, text):
    (tmp_path / "s").write_text(text)

    result = cli("update", "secret", "db", "-f", str(tmp_path / "s"))

    assert result.status == 0
    assert sent(stub) == [("db", {"user": b"iris", "port": b"5432"}, "Opaque", True)]


def test_secrets_of_kubernetes_have_names_and_types(cli, stub, tmp_path):
    (tmp_path / "s.yaml").write_text(
        "apiVersion: v1\nkind: Secret\nmetadata: {name: one}\ntype: kubernetes.io/tls\n"
        "data: {k: aGVs\n    bG8=}\nstringData: {t: text}\n---\n"
        "apiVersion: v1\nkind: Secret\nmetadata: {name: two}\ndata: {k: aGVsbG8=}\n"
    )

    result = cli("create-secret", "-f", str(tmp_path / "s.yaml"))

    assert result.status == 0, result.err
    assert sent(stub) == [
        ("one", {"k": b"hello", "t": b"text"}, "kubernetes.io/tls", False),
        ("two", {"k": b"hello"}, "Opaque", False),
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("user: [Geheim", "line 1 is neither JSON nor YAML"),
        ("- Geheim", "must have keys with values"),
        ("user: [Geheim]", "the value of user must be text"),
        ("user: true", "put it in quotes"),
        ("apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata: {k: Geheim!}", "not base64"),
        ("apiVersion: v1\nkind: Secret\ndata: {k: Geheim}", "needs metadata.name"),
        ("k: Geheim\n---\nk: Geheim", "2 documents"),
        ("", "a secret needs values"),
    ],
)
def test_what_is_no_secret_is_said_without_repeating_any_of_it(cli, stub, tmp_path, text, problem):
    (tmp_path / "s").write_text(text)
    name = () if "apiVersion" in text else ("db",)

    result = cli("create", "secret", *name, "-f", str(tmp_path / "s"))

    assert result.status == 2
    assert problem in result.err
    assert "Geheim" not in result.err
    assert sent(stub) == []


def test_values_need_a_name_and_a_name_needs_values(cli, stub, tmp_path):
    assert "need a NAME" in cli("create", "secret", "--from-literal", "a=b").err
    assert "KEY=VALUE" in cli("create", "secret", "db", "--from-literal", "abc").err
    assert "a secret needs values" in cli("create", "secret", "db").err
    assert "no file" in cli("create", "secret", "db", "--from-file", str(tmp_path / "x")).err
    assert sent(stub) == []


def test_listing_and_inspecting_show_names_and_keys(cli):
    assert cli("list", "secret").out.split()[:5] == ["NAME", "TYPE", "CREATED", "db", "Opaque"]
    assert cli("inspect", "secret", "db").out.endswith("Keys: password, user\n")
    assert cli("list", "secrets", "-o", "json").status == 0


def test_a_value_that_logs_would_show_is_said(cli, stub):
    result = cli("create", "secret", "db", "--from-literal", "pin=123", "--from-literal", "a=1234")

    assert result.err == "warning: secret 'db': too short to be masked in logs: pin\n"
    assert len(sent(stub)) == 1
