"""What is peculiar to slots in pods: the image decides, and containers come back."""

from typing import Any

import pytest
from pod_containers import UserContainer
from slot_places import Place, in_child

from trunkline.runtimes.base import Command, Slot


def put(directory: Any, path: str, text: str) -> None:
    (directory / path).parent.mkdir(parents=True, exist_ok=True)
    (directory / path).write_text(text)


def test_each_datum_finds_only_its_own_inputs_and_an_empty_out(place: Place) -> None:
    def work(slot: Slot) -> list[bytes]:
        seen = []
        for name in ("first", "second"):
            put(slot.stage(1), f"{name}/file", name)
            seen.append(place.sh(slot, "cd /pfs; find . | sort; touch out/left").stdout)
            slot.clear()
        return seen

    first, second = place(work)

    assert first == b".\n./first\n./first/file\n./out\n"
    assert second == b".\n./out\n./second\n./second/file\n"


def test_the_image_says_where_commands_begin_and_what_is_in_their_environment(place: Place) -> None:
    def work(slot: Slot) -> Any:
        slot.stage(0)
        own = place.sh(slot, 'echo "$IMAGE, $NAME, $TRUNKLINE_SLOT"; pwd', env={"NAME": "a b"})
        told = place.sh(slot, "pwd", working_dir="/usr")
        lost = place.sh(slot, "pwd", working_dir="nowhere").report
        return own.stdout, told.stdout, lost.reason

    own, told, lost = place(work)

    assert own == f"has this, a b, {place.marker}\n/\n".encode()
    assert told == b"/usr\n"
    assert lost == "there is no working directory '/pfs/nowhere' for the command"


@pytest.mark.parametrize(
    ("argv", "code", "told"),
    [
        (["no-such"], 127, "there is no command 'no-such'; it is not in the PATH of image"),
        (["/no/such"], 127, "there is no command '/no/such' in image"),
        (["/etc/passwd"], 126, "the command '/etc/passwd' is not an executable file"),
    ],
)
def test_a_command_that_cannot_start_says_why(
    place: Place, argv: list[str], code: int, told: str
) -> None:
    def work(slot: Slot) -> Any:
        slot.stage(0)
        return place.run(slot, *argv).report

    report = place(work)

    assert report.code == code
    assert told in report.reason


def test_a_file_that_is_too_large_is_not_written_to_its_end(place: Place) -> None:
    def work(slot: Slot) -> Any:
        slot.stage(0)
        report = place.sh(slot, "head -c 90000000 /dev/zero > /pfs/out/big; exit 0").report
        return report.over_quota, (slot.out / "big").stat().st_size

    over, size_bytes = place(work, output_bytes_max=1_000_000)

    assert over
    assert size_bytes < 1_001_000


def test_secrets_are_files_where_the_pod_has_a_place_for_them(place: Place) -> None:
    def work(slot: Slot) -> Any:
        seen = []
        for secrets in ({"/etc/keys": {"a": b"1"}}, {"/etc/keys": {"b": b"2"}}, {}):
            slot.set_secrets(secrets)
            slot.stage(0)
            seen.append(place.sh(slot, "cd /etc/keys; head *; echo x > c").stdout)
        return seen

    assert place(work) == [b"1", b"2", b""]


def test_a_container_that_is_killed_fails_its_command_and_the_next_one_finds_a_new_one(
    place: Place,
) -> None:
    with UserContainer(place.scratch) as container:

        def work(slot: Slot) -> Any:
            slot.stage(0)
            command = Command(argv=("sh", "-c", "echo begun; sleep 50"), memory_bytes=64 << 20)
            killed = slot.run(
                command,
                on_output=lambda *_: container.kill(),
                cancelled=lambda: False,
                tick=lambda: None,
            )
            slot.stage(0)
            return killed, place.sh(slot, "echo again").stdout

        killed, again = in_child(lambda: place.here(work))

    assert (killed.code, killed.signal, killed.out_of_memory) == (None, 9, True)
    assert killed.reason == "out of memory: its container was killed, limit 64 MiB"
    assert again == b"again\n"
    assert container.starts >= 2
