"""`multipart/form-data` (RFC 7578) read as it comes, without keeping its files. Pure.

It is read as strictly as any server may read it: what two servers could read differently (a field twice, a name in two
spellings, encodings that nobody sends) is refused, since what is governed has to be what is served.
"""

from __future__ import annotations

import re
from typing import Final

from gateway.errors import InvalidField, InvalidForm
from gateway.wire.others import GOVERNED, check_name

MAX_HEADERS: Final = 16_384
"""Bytes before a part's value."""
MAX_FIELD: Final = 262_144
"""Bytes of a field that is no file."""
_FILE_HEAD: Final = 64
_BOUNDARY: Final = re.compile(r'(?:^|;)\s*boundary\s*=\s*(?:"([^"\r\n]{1,70})"|([^\s;",]{1,70}))', re.IGNORECASE)
_DISPOSITION: Final = re.compile(rb"content-disposition[ \t]*:[ \t]*form-data[ \t]*(;.*)", re.IGNORECASE)
_PARAMETER: Final = re.compile(rb';[ \t]*([A-Za-z0-9*_-]+)[ \t]*=[ \t]*("(?:[^"\\\r\n]|\\.)*"|[^;"\s]*)')
_PLAIN: Final = (b"binary", b"8bit", b"7bit")


def boundary_of(content_type: str) -> bytes | None:
    """What separates the parts of a form; None where the body is no form."""
    if content_type.split(";", 1)[0].strip().lower() != "multipart/form-data":
        return None
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise InvalidForm("The Content-Type `multipart/form-data` has no `boundary`.")
    return (found[1] or found[2]).encode("latin-1")


class FormReader:
    """Reads one form, in whatever pieces it comes."""

    def __init__(self, boundary: bytes) -> None:
        self._delimiter = b"\r\n--" + boundary
        self._rest = b"\r\n"  # a form begins as if a line had ended
        self._offset = -2
        """Where in the form `_rest` begins."""
        self._state = self._skip
        self._name = ""
        self._value: list[bytes] = []
        self._value_at = 0
        self._value_bytes = 0
        self.fields: dict[str, str] = {}
        """Fields that are no files; of one that may come several times, its last value."""
        self.model_at: tuple[int, int] | None = None
        """Where in the form the model's name stands."""
        self.files = 0
        """Files that have begun."""
        self.file_head = b""
        """The beginning of the first one."""
        self.closed = False
        """Whether the governed fields have to be known by now."""
        self.done = False
        """The form's end was seen."""

    def feed(self, data: bytes) -> None:
        """Read on. Raises InvalidForm, or InvalidField for a governed field that comes twice or too late."""
        if self.done:
            return
        self._rest = self._rest + data if self._rest else data
        while not self.done and self._state():
            pass

    def _drop(self, count: int) -> bytes:
        taken = self._rest[:count]
        self._rest = self._rest[count:]
        self._offset += count
        return taken

    def _skip(self) -> bool:
        """Before the first part, and inside of a file."""
        at = self._rest.find(self._delimiter)
        taken = self._drop(at if at >= 0 else max(0, len(self._rest) - len(self._delimiter) + 1))
        if self._name and self.files == 1 and len(self.file_head) < _FILE_HEAD:
            self.file_head = (self.file_head + taken)[:_FILE_HEAD]
        if at < 0:
            return False
        self._state = self._separate
        return True

    def _separate(self) -> bool:
        """At a delimiter."""
        end = self._rest.find(b"\r\n", len(self._delimiter))
        if self._rest[len(self._delimiter) :].startswith(b"--"):
            self.done = True
            return False
        if end < 0:
            if len(self._rest) > len(self._delimiter) + MAX_HEADERS:
                raise InvalidForm("The form cannot be read: a line of its own runs on behind its boundary.")
            return False
        if self._rest[len(self._delimiter) : end].strip(b" \t"):
            raise InvalidForm("The form cannot be read: its boundary is a part of something longer.")
        self._drop(end)  # the line's end stays: it may be the first half of the blank line
        self._state = self._head
        return True

    def _head(self) -> bool:
        """The headers of a part."""
        end = self._rest.find(b"\r\n\r\n")
        if end > MAX_HEADERS or (end < 0 and len(self._rest) > MAX_HEADERS):
            raise InvalidForm("A part of the form has headers that are too long.")
        if end < 0:
            return False
        self._begin_part(self._drop(end + 4)[2:-4])
        return True

    def _begin_part(self, headers: bytes) -> None:
        parameters = _parameters(headers)
        self._name = parameters["name"]
        check_name(self._name)
        if "filename" in parameters:
            self.files += 1
            self._state = self._skip
            if self._name in GOVERNED:
                raise InvalidField(f"`{self._name}` must be a plain field, not a file.", param=self._name)
            return
        if self._name in GOVERNED and self.closed:
            raise InvalidField(f"`{self._name}` must come before the file, which is passed on as it comes.",
                               param=self._name)  # fmt: skip
        if self._name in GOVERNED and self._name in self.fields:
            raise InvalidField(f"`{self._name}` is there twice.", param=self._name)
        self._value, self._value_at, self._value_bytes = [], self._offset, 0
        # An empty value's delimiter begins with the line's end that closes its headers: never, by RFC 2046.
        self._state = self._field

    def _field(self) -> bool:
        """The value of a part that is no file."""
        at = self._rest.find(self._delimiter)
        taken = self._drop(at if at >= 0 else max(0, len(self._rest) - len(self._delimiter) + 1))
        self._value.append(taken)
        self._value_bytes += len(taken)
        if self._value_bytes > MAX_FIELD:
            raise InvalidField(f"`{self._name}` is longer than {MAX_FIELD} bytes.", param=self._name)
        if at < 0:
            return False
        try:
            self.fields[self._name] = b"".join(self._value).decode()
        except UnicodeDecodeError:
            raise InvalidField(f"`{self._name}` is no UTF-8.", param=self._name) from None
        if self._name == "model":
            self.model_at = (self._value_at, self._value_at + self._value_bytes)
        self._name = ""
        self._state = self._separate
        return True


def _parameters(headers: bytes) -> dict[str, str]:
    """The parameters of a part's Content-Disposition. Raises InvalidForm."""
    found: dict[str, str] | None = None
    for line in headers.split(b"\r\n"):
        name, _, value = line.partition(b":")
        name = name.strip().lower()
        if name == b"content-disposition":
            if found is not None:
                raise InvalidForm("A part of the form has two Content-Disposition headers.")
            found = _disposition(line)
        elif name == b"content-transfer-encoding" and value.strip().lower() not in _PLAIN:
            raise InvalidForm("A part of the form has a Content-Transfer-Encoding, which RFC 7578 does away with.")
        elif b"\n" in line or b"\r" in line or b"\0" in line or line[:1] in (b" ", b"\t"):
            raise InvalidForm("A part of the form has headers that cannot be read.")
    if found is None or "name" not in found:
        raise InvalidForm("A part of the form has no `name`.")
    return found


def _disposition(line: bytes) -> dict[str, str]:
    match = _DISPOSITION.fullmatch(line)
    if match is None:
        raise InvalidForm("A part of the form is no `form-data`.")
    parameters: dict[str, str] = {}
    rest = match[1]
    while rest.strip(b" \t;"):
        found = _PARAMETER.match(rest)
        if found is None:
            raise InvalidForm("A part of the form has a Content-Disposition that cannot be read.")
        name, value = found[1].decode("latin-1").lower(), found[2]
        if name in parameters or name == "name*":
            raise InvalidForm(f"A part of the form says its `{name.rstrip('*')}` in more than one way.")
        parameters[name.rstrip("*")] = _unquoted(value)
        rest = rest[found.end() :]
    return parameters


def _unquoted(value: bytes) -> str:
    if value[:1] == b'"':
        value = re.sub(rb"\\(.)", rb"\1", value[1:-1])
    return value.decode("utf-8", "replace")
