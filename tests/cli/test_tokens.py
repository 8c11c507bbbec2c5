"""Tokens on the command line: a secret is all that is printed, and printed once."""


def test_the_secret_of_a_new_token_is_all_that_is_written(cli, stub):
    result = cli("create", "token", "ci", "--role", "writer", "--expires", "90d")

    assert (result.status, result.out) == (0, "trunkline_shown\n")
    assert result.err.startswith("token 'ci' is good for a writer until 20")
    assert stub.called("create_token") == (("ci",), {"role": "writer", "lasts_s": 90 * 86400.0})


def test_tokens_are_listed_without_secrets_and_deleted_by_name(cli, stub):
    assert cli("list", "token").out.split()[:8] == [
        *("NAME", "ROLE", "CREATED", "LAST", "USED", "EXPIRES"),
        *("ci", "writer"),
    ]
    assert cli("inspect", "token", "ci").out.endswith("Last used: never\nExpires: never\n")
    assert cli("delete", "token", "ci").status == 0
    assert stub.called("delete_token") == (("ci",), {})


def test_a_role_has_to_be_given_and_be_one(cli):
    missing, wrong = cli("create", "token", "ci"), cli("create", "token", "ci", "--role", "root")

    assert (missing.status, wrong.status) == (2, 2)
    assert "reader" in missing.err
    assert "'root'" in wrong.err


def test_the_audit_log_is_a_list(cli, stub):
    shown = cli("list", "audit", "-n", "5")

    assert shown.out.splitlines()[1].split()[-4:] == ["http", "create_repo", "training", "ok"]
    assert stub.called("list_audit") == ((), {"number": 5, "before": None})
