"""Any text is a path, reference or address, or is refused with one sentence."""

import contextlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trunkline.errors import InvalidInput, InvalidPath, InvalidReference
from trunkline.model.names import check_path, parse_address, parse_reference

TEXT = st.text(max_size=80) | st.text(st.sampled_from("ab./@:^~-_ \\*\0\n1é\ud800"), max_size=30)


@given(TEXT, st.booleans())
@example("//", True)
@example("a/\ud800", False)
def test_a_path_is_canonical_and_stays_so_or_is_refused(text, root):
    try:
        path = check_path(text, root_allowed=root)
    except InvalidPath as error:
        assert "\n" not in str(error)  # noqa: PT017
        return
    assert check_path(path, root_allowed=root) == path
    assert not path.startswith("/")
    assert not path.endswith("/")
    assert not {"", ".", ".."} & set(path.split("/")) or path == ""
    assert len(path.encode()) <= 4096


@given(TEXT)
@example("master" + "^" * 5000)
@example("a^99999999999999999999")
def test_a_reference_is_read_or_refused(text):
    with contextlib.suppress(InvalidReference):
        found = parse_reference(text)
        assert text.startswith(found.base)


@given(TEXT)
@example("@:")
@example("a@b:c:d@e")
def test_an_address_is_read_or_refused(text):
    with contextlib.suppress(InvalidInput):
        found = parse_address(text)
        assert found.repo


@pytest.mark.parametrize("text", ["../x", "a/../../b", "/../..", "a\0b", "..", "a/.."])
def test_no_path_leads_out_of_a_directory(text):
    with pytest.raises(InvalidPath):
        check_path(text)
