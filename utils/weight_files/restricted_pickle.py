"""A pickle machine that imports nothing and calls nothing but what it was given.

Python's own unpickler looks a name up by importing its module, calls whatever it finds, and allocates what the stream
asks for. Here a name stands for an entry of the caller's table or the file is refused; what a stream can make is
numbers, text, bytes, tuples, lists, dicts, sets and the results of the table's builders. PyTorch's `weights_only`
reader keeps to a table as well, but it lets a file call `bytearray(10**12)`, hash a tuple that unfolds to 2⁶⁰ leaves,
and, before 2.6, get around the table altogether; hence one machine for `.pt`, `.pth` and `.pkl`, whatever PyTorch is
installed.

The opcodes are those that the binary protocols 2 to 5 write (`pickletools` describes each).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from utils.weight_files.foreign import is_network, makes_object, unknown_name
from utils.weight_files.refusal import RefusedFile, shown

# Ten times what the largest public file takes (a classifier of 1,558 tensors: 60,000); about two seconds at most.
OPERATIONS = 1_000_000
TEXT = 64 * 2**20  # characters of all strings together; Python may take four bytes for each
_LONGEST_NUMBER = 16  # bytes of an integer: legacy files begin with one of 10
_LONGEST_KEY = 300  # characters; keys are joined to name what is nested, and those of state dicts have some 60


@dataclass
class Budget:
    """What reading one file may still cost; pickles inside a pickle share it."""

    operations: int = OPERATIONS
    text: int = TEXT


@dataclass(frozen=True)
class Builder:
    """What stands for a class or function of a file: our own function, called with the file's arguments."""

    build: Callable[..., Any]


class Restored:
    """Base of what builders make where the file hands in a state afterwards."""

    def set_state(self, state: Any) -> None:
        """Take what the pickle's BUILD brings."""
        raise NotImplementedError


class _Mark:
    """Where the arguments of an operation begin on the stack."""


_MARK = _Mark()
_HASHABLE = (str, int, float, bytes, type(None))  # no tuple: the hash of nested ones takes exponential time


class PickleReader:
    """Reads one pickle.

    Args:
        data: bytes that the pickle lies in.
        position: where it begins; after `read` where it ended.
        names: `module.name` → a `Builder`, or any other value that may be passed on but not called.
        persistent: makes what a persistent id stands for (tensor storages).
        budget: shared with other pickles of the same file.
        network: makes what stands for a network's class, where the whole pickle is one network, of whatever class;
            without it, such a pickle is refused.
    """

    def __init__(
        self,
        data: memoryview,
        position: int = 0,
        names: Mapping[str, Any] | None = None,
        persistent: Callable[[Any], Any] | None = None,
        budget: Budget | None = None,
        network: Callable[[str], Builder] | None = None,
    ) -> None:
        self.data, self.position = data, position
        self.network, self._in_network = network, False
        self.names = names or {}
        self.persistent = persistent
        self.budget = budget or Budget()
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def read(self) -> Any:
        """The pickled value.

        Raises:
            RefusedFile: a torn or damaged pickle, a name that is not in the table, or too much work.
        """
        stop = ord(".")
        while True:
            self._spend(operations=1)
            if self.position >= len(self.data):
                raise RefusedFile("ends in the middle of its pickle")
            code = self.data[self.position]
            self.position += 1
            if code == stop:
                return self._pop()
            operation = _OPERATIONS.get(code)
            if operation is None:
                raise RefusedFile(f"its pickle is damaged (no operation {code:#04x} at byte {self.position - 1})")
            operation(self)

    def _spend(self, operations: int = 0, text: int = 0) -> None:
        self.budget.operations -= operations
        self.budget.text -= text
        if self.budget.operations < 0:
            raise RefusedFile("its pickle takes more operations than any weight file needs")
        if self.budget.text < 0:
            raise RefusedFile("its pickle holds more text than any weight file needs")

    def _spend_on(self, value: Any) -> None:
        """Pay for what a builder may copy: it could be handed the same long list again and again."""
        if isinstance(value, str):
            self._spend(text=len(value))
        elif isinstance(value, tuple | list | dict | set):
            self._spend(operations=len(value))

    def _bytes(self, count: int) -> memoryview:
        end = self.position + count
        if end > len(self.data):
            raise RefusedFile("ends in the middle of its pickle")
        piece = self.data[self.position : end]
        self.position = end
        return piece

    def _number(self, form: str) -> Any:
        return struct.unpack(form, self._bytes(struct.calcsize(form)))[0]

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _pop(self) -> Any:
        if not self._stack or self._stack[-1] is _MARK:
            raise RefusedFile("its pickle is damaged (nothing to take from the stack)")
        return self._stack.pop()

    def _top(self) -> Any:
        if not self._stack or self._stack[-1] is _MARK:
            raise RefusedFile("its pickle is damaged (nothing on the stack)")
        return self._stack[-1]

    def _pop_mark(self) -> list[Any]:
        """What was pushed since the last mark, which goes as well."""
        items: list[Any] = []
        while self._stack:
            value = self._stack.pop()
            if value is _MARK:
                return items[::-1]
            items.append(value)
        raise RefusedFile("its pickle is damaged (no mark on the stack)")

    def _text(self, form: str, encoding: str) -> None:
        length = self._number(form)
        self._spend(text=length)
        try:
            self._push(str(self._bytes(length), encoding))
        except UnicodeDecodeError:
            raise RefusedFile("its pickle is damaged (text that is no text)") from None

    def _remember(self, index: int) -> None:
        self._memo[index] = self._top()

    def _recall(self, index: int) -> None:
        if index not in self._memo:
            raise RefusedFile("its pickle is damaged (it refers to what it never made)")
        self._push(self._memo[index])

    def _tuple(self, count: int) -> None:
        values = [self._pop() for _ in range(count)]
        self._push(tuple(values[::-1]))

    def _long(self, length: int) -> None:
        if not 0 <= length <= _LONGEST_NUMBER:
            raise RefusedFile("its pickle holds a number beyond all bounds")
        self._push(int.from_bytes(self._bytes(length), "little", signed=True))

    def _extend(self, items: list[Any]) -> None:
        target = self._top()
        if type(target) is not list:
            raise RefusedFile("its pickle is damaged (a list's items without their list)")
        target.extend(items)

    def _update(self, items: list[Any]) -> None:
        target = self._top()
        if not isinstance(target, dict) or len(items) % 2:
            raise RefusedFile("its pickle is damaged (a dict's items without their dict)")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[checked_key(key)] = value

    def _add(self, items: list[Any]) -> None:
        target = self._top()
        if type(target) is not set:
            raise RefusedFile("its pickle is damaged (a set's items without their set)")
        target.update(checked_key(item) for item in items)

    def _line(self) -> str:
        end = self.position
        while end < len(self.data) and end - self.position < 256 and self.data[end] != 0x0A:
            end += 1
        line = bytes(self._bytes(end - self.position))
        self._bytes(1)
        return line.decode("utf-8", "replace")

    def _global(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise RefusedFile("its pickle is damaged (a name that is no text)")
        full = f"{module}.{name}"
        if full not in self.names:
            before = self._stack[-1] if self._stack else None
            is_module = isinstance(before, str) and before == "module"
            where = full, self.data, self.position, is_module
            outermost = len(self._stack) <= 2 * is_module
            self._in_network |= outermost and is_network(*where)
            if self.network is None or not self._in_network or not (is_module or makes_object(*where[1:3])):
                raise RefusedFile(unknown_name(*where))
            self._push(self.network(full))
            return
        self._push(self.names[full])

    def _stack_global(self) -> None:
        name, module = self._pop(), self._pop()
        self._global(module, name)

    def _call(self) -> None:
        arguments, builder = self._pop(), self._pop()
        if not isinstance(builder, Builder) or not isinstance(arguments, tuple):
            raise RefusedFile("its pickle calls what cannot be called")
        for value in (arguments, *arguments):
            self._spend_on(value)
        try:
            self._push(builder.build(*arguments))
        except RefusedFile:
            raise
        except (TypeError, ValueError, LookupError, OverflowError, UnicodeError) as error:
            raise RefusedFile(f"its pickle is damaged (impossible arguments: {shown(error)})") from None

    def _build(self) -> None:
        state, target = self._pop(), self._top()
        self._spend_on(state)
        if isinstance(target, Restored):
            target.set_state(state)
        elif type(target) is not dict:  # attributes of an OrderedDict (`_metadata` of a state dict) are not needed
            raise RefusedFile("its pickle hands a state to what has none")

    def _persistent(self) -> None:
        if self.persistent is None:
            raise RefusedFile("its pickle refers to data outside, of which there are none")
        self._push(self.persistent(self._pop()))


def checked_key(value: Any) -> Any:
    """`value`, if it may be a key of a dict.

    Raises:
        RefusedFile: hashing it might take for ever, or naming it much memory.
    """
    if not isinstance(value, _HASHABLE):
        raise RefusedFile("its pickle uses something other than text or a number as a key")
    if isinstance(value, str | bytes) and len(value) > _LONGEST_KEY:
        raise RefusedFile(f"its pickle uses a key of {len(value):,} characters, longer than any weight file's")
    return value


def _constant(value: Any) -> Callable[[PickleReader], None]:
    return lambda reader: reader._push(value)


_OPERATIONS: dict[int, Callable[[PickleReader], None]] = {
    0x80: lambda r: _check_protocol(r._number("<B")),  # PROTO
    0x95: lambda r: r._number("<Q"),  # FRAME: a hint for buffered reading
    ord("("): lambda r: r._push(_MARK),
    ord("0"): lambda r: _pop_any(r),
    ord("1"): lambda r: _ignore(r._pop_mark()),
    ord("2"): lambda r: r._push(r._top()),
    ord("N"): _constant(None),
    0x88: _constant(True),
    0x89: _constant(False),
    ord("J"): lambda r: r._push(r._number("<i")),
    ord("K"): lambda r: r._push(r._number("<B")),
    ord("M"): lambda r: r._push(r._number("<H")),
    0x8A: lambda r: r._long(r._number("<B")),  # LONG1
    0x8B: lambda r: r._long(r._number("<i")),  # LONG4
    ord("G"): lambda r: r._push(r._number(">d")),
    ord("X"): lambda r: r._text("<I", "utf-8"),
    0x8C: lambda r: r._text("<B", "utf-8"),  # SHORT_BINUNICODE
    0x8D: lambda r: r._text("<Q", "utf-8"),  # BINUNICODE8
    ord("U"): lambda r: r._text("<B", "latin-1"),  # SHORT_BINSTRING: Python 2's text
    ord("T"): lambda r: r._text("<I", "latin-1"),  # BINSTRING
    ord("C"): lambda r: r._push(r._bytes(r._number("<B"))),
    ord("B"): lambda r: r._push(r._bytes(r._number("<I"))),
    0x8E: lambda r: r._push(r._bytes(r._number("<Q"))),  # BINBYTES8
    0x96: lambda r: r._push(r._bytes(r._number("<Q"))),  # BYTEARRAY8
    ord(")"): _constant(()),
    0x85: lambda r: r._tuple(1),
    0x86: lambda r: r._tuple(2),
    0x87: lambda r: r._tuple(3),
    ord("t"): lambda r: r._push(tuple(r._pop_mark())),
    ord("]"): lambda r: r._push([]),
    ord("a"): lambda r: r._extend([r._pop()]),
    ord("e"): lambda r: r._extend(r._pop_mark()),
    ord("}"): lambda r: r._push({}),
    ord("s"): lambda r: r._update([r._pop(), r._pop()][::-1]),
    ord("u"): lambda r: r._update(r._pop_mark()),
    0x8F: lambda r: r._push(set()),  # EMPTY_SET
    0x90: lambda r: r._add(r._pop_mark()),  # ADDITEMS
    ord("q"): lambda r: r._remember(r._number("<B")),
    ord("r"): lambda r: r._remember(r._number("<I")),
    0x94: lambda r: r._remember(len(r._memo)),  # MEMOIZE
    ord("h"): lambda r: r._recall(r._number("<B")),
    ord("j"): lambda r: r._recall(r._number("<I")),
    ord("c"): lambda r: r._global(r._line(), r._line()),
    0x93: lambda r: r._stack_global(),
    ord("R"): lambda r: r._call(),
    0x81: lambda r: r._call(),  # NEWOBJ: the same for a class
    ord("b"): lambda r: r._build(),
    ord("Q"): lambda r: r._persistent(),
}


def _check_protocol(protocol: int) -> None:
    if not 2 <= protocol <= 5:
        raise RefusedFile(f"its pickle is of protocol {protocol}; weight files have 2 to 5")


def _pop_any(reader: PickleReader) -> None:
    if not reader._stack:
        raise RefusedFile("its pickle is damaged (nothing to take from the stack)")
    reader._stack.pop()


def _ignore(_: object) -> None:
    pass
