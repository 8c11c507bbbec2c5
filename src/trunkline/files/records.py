"""Where the records of a text end: lines, the rows of csv, the values of json.

A scanner is told each piece of the text and answers with the offsets in it where a record ended;
whatever the pieces, the ends are the same. It keeps no text, so records of any length will do.
"""

import re
from typing import Protocol

from trunkline.errors import InvalidInput

_DEPTH_MAX = 10_000  # brackets of json inside of each other
_WORD_BYTES_MAX = 4096  # a number of json
_BOM = b"\xef\xbb\xbf"
_CLOSES = {0x7D: 0x7B, 0x5D: 0x5B}


class Scanner(Protocol):
    def ends(self, piece: bytes) -> list[int]:
        """Ascending offsets in the piece: everything before each belongs to earlier records.

        0 is possible: then the piece before this one had ended with a record.
        """

    def finish(self) -> None:
        """The text has ended; raises InvalidInput where that is in the middle of something."""


def scanner_of(by: str) -> Scanner:
    """The scanner for `line`, `csv` or `json`."""
    if by == "csv":
        return CsvRows()
    return JsonValues() if by == "json" else Lines()


class Lines:
    """Every line feed ends a record, which keeps it."""

    def __init__(self) -> None:
        self._find = re.compile(b"\n").finditer

    def ends(self, piece: bytes) -> list[int]:
        return [match.end() for match in self._find(piece)]

    def finish(self) -> None:
        pass


class CsvRows:
    """A line feed outside of a quoted field ends a row.

    A field is quoted if its first byte is a quote; inside, two quotes are one. A quote anywhere
    else is a character like any other. The separator is a comma.
    """

    _LINE_FEED = re.compile(b"\n")
    # A whole row; what it took is never tried otherwise, so its time is bounded.
    _FIELD = rb'(?:"[^"]*+(?:""[^"]*+)*+"[^,\n]*+|[^",\n][^,\n]*+|)'
    _ROW = re.compile(_FIELD + rb"(?:," + _FIELD + rb")*+\n")
    _QUOTED = re.compile(rb'""|"')

    def __init__(self) -> None:
        self._quoted = False
        self._quote_before = False  # a quote inside a quoted field was the last byte
        self._field_start = True  # the byte before was a comma, a line feed, or there was none
        self._row_start = True
        self._row = 1
        self._bom = b""  # as much of a byte order mark as has come
        self._at_start = True

    def ends(self, piece: bytes) -> list[int]:
        found: list[int] = []
        begin = at = self._begin(piece)
        while at < len(piece):
            if self._quoted:
                begin = at = self._in_quotes(piece, at)
                if not self._quoted:
                    self._field_start = False
                continue
            if self._row_start:
                begin = at = self._whole_rows(piece, at, found)
                self._row_start = False
                continue
            quote = piece.find(b'"', at)
            line_feed = piece.find(b"\n", at, quote if quote >= 0 else len(piece))
            if line_feed >= 0:
                found.append(line_feed + 1)
                self._row_start = self._field_start = True
                begin = at = line_feed + 1
                continue
            end = quote if quote >= 0 else len(piece)
            if end > begin:
                self._field_start = piece[end - 1] == 0x2C
            self._quoted = quote >= 0 and self._field_start
            if quote >= 0:
                self._field_start = False
            at = end + 1
        self._row += len(found)
        return found

    def _whole_rows(self, piece: bytes, at: int, found: list[int]) -> int:
        """Past the rows that end in the piece: nearly all of it."""
        whole = self._ROW.match
        while (match := whole(piece, at)) is not None:
            at = match.end()
            found.append(at)
        return at

    def finish(self) -> None:
        if self._quoted and not self._quote_before:
            raise InvalidInput(
                f"the csv ends inside a quoted field of row {self._row:,} "
                "(or of one of its lines a quote is missing); nothing was changed"
            )

    def _begin(self, piece: bytes) -> int:
        """Where to go on: past a byte order mark, and past a quote that the last piece ended in."""
        if self._at_start:
            taken = 0
            while self._at_start and taken < len(piece):
                if piece[taken] == _BOM[len(self._bom)]:
                    self._bom += piece[taken : taken + 1]
                    taken += 1
                    self._at_start = len(self._bom) < len(_BOM)
                else:
                    self._at_start = False
                    self._field_start = not self._bom
            return taken
        if self._quote_before:
            self._quote_before = False
            if piece[:1] == b'"':
                return 1
            self._quoted = not piece
            self._quote_before = not piece
        return 0

    def _in_quotes(self, piece: bytes, at: int) -> int:
        """Past the quoted field, or to the end of the piece."""
        while (match := self._QUOTED.search(piece, at)) is not None:
            at = match.end()
            if match.end() - match.start() == 2:
                continue
            if at == len(piece):
                self._quote_before = True  # the next byte tells what it was
            else:
                self._quoted = False
            return at
        return len(piece)


# All up to the next bracket, or up to a string that ends in another piece; what it took is never
# tried otherwise. So many strings at most, as the matcher remembers each. A group is made atomic by
# (?>...), not by *+ behind it: up to Python 3.11.4 that forgets to go back where its last round
# fails half-way.
_PLAIN = rb'(?>(?:[^"\[\]{}]*+"[^"\\]*+(?>(?:\\.[^"\\]*+)*)"){0,4096}[^"\[\]{}]*+)'


def _nested(inside: bytes) -> bytes:
    """The pattern of a list or object that has only `inside` between plain text."""
    item = rb"(?>%s(?:%s%s){0,4096})" % (_PLAIN, inside, _PLAIN)
    return rb"(?:\[%s\]|\{%s\})" % (item, item)


class JsonValues:
    """Values behind one another, with any white space or none between them.

    The white space behind a value belongs to it. Brackets must match; what is inside of them is
    not looked at otherwise.
    """

    _SPACE = b" \t\r\n"
    _FLAT = re.compile(_PLAIN, re.DOTALL)
    _SHALLOW = re.compile(_nested(_nested(_nested(rb"(?!)"))), re.DOTALL)  # most values, whole
    _IN_STRING = re.compile(rb'[\\"]')
    _VALUE = re.compile(rb"[^ \t\r\n]")
    _WORD_END = re.compile(rb'[ \t\r\n\[\]{}"]')
    _WORD = re.compile(rb"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?|true|false|null")

    def __init__(self) -> None:
        self._open = bytearray()  # the brackets around this place
        self._string = False
        self._escaped = False
        self._word: bytes | None = None  # a number, true, false or null, as far as it has come
        self._values = 0

    def ends(self, piece: bytes) -> list[int]:
        found: list[int] = []
        at = 0
        while at < len(piece):
            if self._string:
                at = self._in_string(piece, at)
            elif self._open:
                at = self._in_brackets(piece, at)
            elif self._word is not None:
                at = self._in_word(piece, at)
            else:
                at = self._between(piece, at, found)
        return found

    def finish(self) -> None:
        if self._string or self._open:
            raise InvalidInput(
                f"the json breaks off inside of value {self._values:,}; nothing was changed"
            )
        if self._word is not None:
            self._check_word()

    def _between(self, piece: bytes, at: int, found: list[int]) -> int:
        match = self._VALUE.search(piece, at)
        if match is None:
            return len(piece)
        at = match.start()
        if self._values:
            found.append(at)
        self._values += 1
        byte = piece[at]
        if byte == 0x22:
            self._string = True
        elif byte in b"[{":
            whole = self._SHALLOW.match(piece, at)
            if whole is not None:
                return whole.end()
            self._open.append(byte)
        else:
            self._word = b""
            return at
        return at + 1

    def _in_string(self, piece: bytes, at: int) -> int:
        if self._escaped:
            self._escaped = False
            return at + 1
        match = self._IN_STRING.search(piece, at)
        if match is None:
            return len(piece)
        if match[0] == b"\\":
            self._escaped = True
        else:
            self._string = False
        return match.end()

    def _in_brackets(self, piece: bytes, at: int) -> int:
        flat = self._FLAT.match
        while (match := flat(piece, at)) is not None and match.end() < len(piece):
            at = match.end() + 1
            byte = piece[at - 1]
            if byte == 0x22:  # a string that goes on in the next piece
                self._string = True
                return at
            if byte in b"[{":
                self._open.append(byte)
                if len(self._open) > _DEPTH_MAX:
                    raise self._wrong(f"is nested more than {_DEPTH_MAX:,} deep")
                continue
            if self._open.pop() != _CLOSES[byte]:
                raise self._wrong("has brackets that do not match")
            if not self._open:
                return at
        return len(piece)

    def _in_word(self, piece: bytes, at: int) -> int:
        assert self._word is not None
        match = self._WORD_END.search(piece, at)
        end = match.start() if match else len(piece)
        self._word += piece[at : min(end, at + _WORD_BYTES_MAX + 1)]
        if len(self._word) > _WORD_BYTES_MAX:
            raise self._wrong("is no json")
        if match is not None:
            self._check_word()
        return end

    def _check_word(self) -> None:
        word, self._word = self._word, None
        if self._WORD.fullmatch(word or b"") is None:
            raise self._wrong("is no json")

    def _wrong(self, how: str) -> InvalidInput:
        return InvalidInput(f"value {self._values:,} of the json {how}; nothing was changed")
