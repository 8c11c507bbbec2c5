"""Triggers of branches on the command line."""

from dataclasses import replace
from datetime import UTC, datetime

from trunkline.model.versions import BranchTrigger


def test_a_trigger_is_set_as_pachyderm_2_words_it(cli, stub):
    cli(
        *["create", "branch", "training@master", "--trigger", "staging", "--trigger-size", "100MB"],
        *["--trigger-commits", "3", "--trigger-cron", "@hourly", "--trigger-all"],
    )

    names, given = stub.called("create_branch")
    assert names == ("training", "master")
    assert given["trigger"] == BranchTrigger(
        source="staging", size="100MB", commits=3, cron="@hourly", all=True
    )


def test_a_trigger_may_name_its_branch_in_full(cli, stub):
    cli(*["create", "branch", "a@m", "-t", "a@staging", "--trigger-commits", "1"])

    assert stub.called("create_branch")[1]["trigger"] == BranchTrigger(source="staging", commits=1)


def test_a_trigger_is_left_alone_or_removed(cli, stub):
    cli("create", "branch", "training@master")
    cli("create", "branch", "training@master", "--no-trigger")

    left, removed = [given["trigger"] for _, given in stub.all_called("create_branch")]
    assert left is None
    assert removed == BranchTrigger(source="")


def test_a_branch_tells_its_trigger_and_its_next_tick(cli, stub):
    master, staging = stub.answers.branches
    trigger = BranchTrigger(source="staging", size="100MB", cron="@daily")
    next_tick = datetime(2030, 1, 1, tzinfo=UTC)
    stub.answers.branches = [replace(master, trigger=trigger, next_tick=next_tick), staging]

    shown = cli("inspect", "branch", "training@master").out.splitlines()
    listed = cli("list", "branch", "training").out.splitlines()

    assert "Trigger: staging on Cron(@daily) or Size(100MB)" in shown
    assert "Next Tick: 2030-01-01T00:00:00Z" in shown
    assert " staging on Cron(@daily) or Size(100MB) " in listed[1]
