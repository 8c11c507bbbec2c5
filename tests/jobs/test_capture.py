"""The log of a datum: whole while it fits, else its beginning and end with a line between them."""

import re

from hypothesis import given
from hypothesis import strategies as st

from trunkline.jobs.capture import CUT, NOTE, Capture, LogEntry

NOTICE = re.compile(r"here ([\d,]+) bytes of this datum's log were left out")


def capture(bytes_max: int, sent: list[LogEntry] | None = None) -> Capture:
    return Capture(
        bytes_max=bytes_max,
        now_us=lambda: 1_700_000_000_000_000,
        on_log=(sent if sent is not None else []).extend,
        on_tick=lambda: None,
    )


def lines(log: Capture, sent: list[LogEntry]) -> list[tuple[str, str]]:
    log.finish()
    return [(stream, text) for _, stream, text in sent]


def test_what_fits_is_kept_line_by_line_with_what_a_worker_adds() -> None:
    sent: list[LogEntry] = []
    log = capture(10_000, sent)

    log.add("stdout", b"one\ntw")
    log.add("stderr", b"warning\n")
    log.add("stdout", b"o\nthr")
    log.note("try 1 of 3 failed: exit code 1")

    assert lines(log, sent) == [
        ("stdout", "one"),
        ("stderr", "warning"),
        ("stdout", "two"),
        ("stdout", "thr"),
        (NOTE, "try 1 of 3 failed: exit code 1"),
    ]


def test_of_a_flood_the_beginning_and_the_end_are_kept_and_the_gap_is_told() -> None:
    sent: list[LogEntry] = []
    log = capture(100_000, sent)

    log.add("stderr", b"the very first line\n")
    for number in range(100_000):
        log.add("stdout", b"%d\n" % number)
    log.add("stderr", b"the very last line\n")
    found = lines(log, sent)

    [notice] = [text for stream, text in found if stream == NOTE]
    assert found[0] == ("stderr", "the very first line")
    assert found[-1] == ("stderr", "the very last line")
    assert ("stdout", "99999") in found
    assert NOTICE.match(notice)
    assert sum(len(text) + 32 for _, text in found) < 101_000


def test_a_line_without_end_takes_no_more_memory_than_any_flood() -> None:
    sent: list[LogEntry] = []
    log = capture(200_000, sent)

    for _ in range(1000):
        log.add("stdout", b"x" * 65_536)
    found = lines(log, sent)

    assert sum(len(text) for stream, text in found if stream == "stdout") <= 200_000
    assert any(NOTICE.match(text) for _, text in found)


written = st.lists(
    st.tuples(
        st.sampled_from(["stdout", "stderr"]),
        st.text("ab\n", max_size=60).map(str.encode) | st.just(b"\n" * 50),
    ),
    max_size=40,
)


@given(written, st.integers(2, 4000))
def test_any_log_is_kept_as_its_beginning_its_end_and_the_count_of_what_is_between(
    pieces: list[tuple[str, bytes]], bytes_max: int
) -> None:
    sent: list[LogEntry] = []
    log = capture(bytes_max, sent)
    for stream, data in pieces:
        log.add(stream, data)
    found = lines(log, sent)

    notices = [at for at, (stream, _) in enumerate(found) if stream == NOTE]
    # What each stream wrote as a whole; a last line without an end gets one.
    whole = {"stdout": "", "stderr": ""}
    for stream, data in pieces:
        whole[stream] += data.decode()
    whole = {s: t if not t or t.endswith("\n") else t + "\n" for s, t in whole.items()}
    if not notices:
        for stream, text in whole.items():
            assert "".join(f"{line}\n" for s, line in found if s == stream) == text
        return
    [gap] = notices
    missing = 0
    for stream, text in whole.items():
        begin = "".join(f"{line}\n" for s, line in found[:gap] if s == stream)
        end = "".join(f"{line}\n" for s, line in found[gap:] if s == stream)
        assert text.startswith((begin, begin[:-1]))
        assert text.endswith(end.removeprefix(CUT))
        missing += len(text) - len(begin) - len(end.removeprefix(CUT))
    counted = NOTICE.match(found[gap][1])
    assert counted is not None
    # Ending the lines that the gap tore adds up to one byte for each stream.
    assert 0 <= int(counted[1].replace(",", "")) - missing <= 2
    assert sum(len(text) for _, text in found) <= bytes_max + len(found[gap][1]) + 2


def words(*data: bytes, stream: str = "stderr") -> str:
    log = capture(100_000)
    for piece in data:
        log.add(stream, piece)
    log.note("try 1 of 1 failed: exit code 1")
    log.finish()
    return log.last_words()


def test_the_last_words_are_the_last_lines_of_the_last_try() -> None:
    log = capture(100_000)
    log.add("stderr", b"of the first try\n")
    log.note("try 1 of 2 failed: exit code 1")
    log.add("stdout", b"progress\n")
    log.add("stderr", b"Traceback:\n  line 1\n\nKeyError: 'x'\n\n")
    log.note("try 2 of 2 failed: exit code 1")
    log.finish()

    assert log.last_words() == "Traceback:\n  line 1\n\nKeyError: 'x'"


def test_a_silent_last_try_has_no_last_words() -> None:
    log = capture(100_000)
    log.add("stderr", b"of the first try\n")
    log.note("try 1 of 2 failed: exit code 1")
    log.note("try 2 of 2 failed: exit code 1")
    log.finish()

    assert log.last_words() == ""


def test_last_words_have_no_escapes_and_no_earlier_states_of_a_line() -> None:
    assert words(b"\x1b[31mred\x1b[0m\x1b]0;title\x07 \x00bell\x07\n") == "red bell"
    assert words(b" 10%\r 50%\rkilled\r\n") == "killed"
    assert words(b"\xe2\x80\xaereversed\xff\n") == "reversed\ufffd"


@given(st.lists(st.binary(max_size=3000), max_size=12))
def test_last_words_of_any_bytes_are_few_and_printable(data: list[bytes]) -> None:
    found = words(*data)

    assert len(found) <= 1000
    assert len(found.splitlines()) <= 10
    assert all(line.isprintable() for line in found.split("\n"))
