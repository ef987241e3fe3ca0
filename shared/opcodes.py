"""What a pickle would import and call, found by following its opcodes with symbols in place of values.

Listing the GLOBAL opcodes is not enough: names may be put together from strings on the stack
(STACK_GLOBAL), a dotted name walks through attributes (`torch.nn.modules.module:torch.os.system`), and what a
harmless class does when its constructor is called is another matter than its being named: ultralytics
evaluates a string of the configuration that its models are constructed with. So the stack and the memo are
followed as an unpickler would, and what cannot be followed is said to be so. Nothing is imported or run.
"""

import pickletools
from typing import IO, Any, Callable, Dict, List, NamedTuple, Optional

UNKNOWN = "?"
"""The beginning of what is said in place of a name when nobody can tell what a pickle would do."""
GETATTR = ("builtins.getattr", "__builtin__.getattr")
"""Followed like a name: checkpoints ask for methods of a class by it."""
MAX_OPCODES = 20000000
STRINGS = (
    "STRING",
    "BINSTRING",
    "SHORT_BINSTRING",
    "UNICODE",
    "BINUNICODE",
    "SHORT_BINUNICODE",
    "BINUNICODE8",
)
PUTS = ("PUT", "BINPUT", "LONG_BINPUT")
GETS = ("GET", "BINGET", "LONG_BINGET")
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
CHANGES = ("BUILD", "SETITEM", "SETITEMS", "APPEND", "APPENDS", "ADDITEMS")
"""Opcodes that change the object below their arguments."""


class Name(NamedTuple):
    """Something imported."""

    text: str


class Mark(NamedTuple):
    """What MARK puts on the stack."""


class _Undecidable(Exception):
    pass


class Scan:
    """Follows pickles and keeps what they name.

    Args:
        calls: whether a checkpoint may call what has this name; other calls are listed as "name()".
    """

    def __init__(self, calls: Callable[[str], bool]) -> None:
        self.names: Dict[str, None] = {}
        """In order, each once."""
        self._calls = calls
        self._stack: List[Any] = []  # Name, str, tuple, Mark, or None for any other value
        self._memo: Dict[int, Any] = {}

    def read(self, stream: IO[bytes]) -> bool:
        """Follow the next pickle of a stream up to its STOP; False when it cannot be followed."""
        self._stack, self._memo = [], {}
        try:
            for number, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
                if number > MAX_OPCODES:
                    raise _Undecidable("it has too many opcodes")
                self._step(opcode, argument)
        except _Undecidable as error:
            self.unknown(str(error))
        except Exception:  # pickletools raises whatever its parsers meet
            self.unknown("it is damaged, or no pickle")
        else:
            return True
        return False

    def unknown(self, why: str) -> None:
        """Keep that something could not be found out."""
        self.names["%s (%s)" % (UNKNOWN, why)] = None

    def _step(self, opcode: Any, argument: Any) -> None:
        name: str = opcode.name
        if name in STRINGS:
            self._stack.append(str(argument))
        elif name in PUTS:
            self._memo[int(argument)] = self._top()
        elif name == "MEMOIZE":
            self._memo[len(self._memo)] = self._top()
        elif name in GETS:
            if int(argument) not in self._memo:
                raise _Undecidable("it asks for what it has not kept")
            self._stack.append(self._memo[int(argument)])
        elif name == "MARK":
            self._stack.append(Mark())
        elif name == "DUP":
            self._stack.append(self._top())
        elif name == "POP":
            self._pop_any()
        elif name in ("GLOBAL", "INST"):
            module, _, attribute = str(argument).partition(" ")
            found = self._imported(module, attribute)
            if name == "INST":
                self._call(found, self._to_mark())
            else:
                self._stack.append(found)
        elif name == "STACK_GLOBAL":
            attribute, module = self._pop(), self._pop()
            if not (isinstance(module, str) and isinstance(attribute, str)):
                raise _Undecidable("it computes a name")
            self._stack.append(self._imported(module, attribute))
        elif name in ("EXT1", "EXT2", "EXT4"):
            raise _Undecidable("it uses the registry of extensions")
        elif name == "EMPTY_TUPLE":
            self._stack.append(())
        elif name in TUPLES:
            self._stack.append(self._tuple([self._pop() for _ in range(TUPLES[name])][::-1]))
        elif name == "TUPLE":
            self._stack.append(self._tuple(self._to_mark()))
        elif name == "REDUCE":
            arguments, called = self._pop(), self._pop()
            self._call(called, arguments)
        elif name == "NEWOBJ":
            arguments, made = self._pop(), self._pop()
            if arguments == () and isinstance(made, Name) and made.text not in GETATTR:
                self._stack.append(None)  # an empty instance: its constructor is not called
            else:
                self._call(made, arguments)
        elif name == "NEWOBJ_EX":
            self._pop()
            arguments, called = self._pop(), self._pop()
            self._call(called, arguments)
        elif name == "OBJ":
            items = self._to_mark()
            if not items:
                raise _Undecidable("it calls nothing")
            self._call(items[0], items[1:])
        elif name in CHANGES:
            self._change(name)
        elif name == "BINPERSID":
            self._stack.append(self._persistent(self._pop()))
        elif name == "STOP":
            self._used([self._pop()])
        else:
            self._other(opcode)

    def _other(self, opcode: Any) -> None:
        """Whatever makes values out of values: what it takes and leaves is pickletools' knowledge."""
        takes = list(opcode.stack_before)
        if pickletools.markobject in takes:
            self._used(self._to_mark())
            takes = takes[: takes.index(pickletools.markobject)]
        self._used([self._pop() for _ in takes])
        self._stack.extend(None for _ in opcode.stack_after)

    def _change(self, name: str) -> None:
        changes = {"BUILD": 1, "APPEND": 1, "SETITEM": 2}
        arguments = [self._pop() for _ in range(changes[name])] if name in changes else self._to_mark()
        self._used(arguments)
        changed = self._top()
        if isinstance(changed, Name):
            raise _Undecidable("it changes %s" % changed.text)

    def _imported(self, module: str, attribute: str) -> Name:
        if " " in attribute or not module or not attribute:
            raise _Undecidable("it names what cannot be a name")
        # a dotted name walks from the module through attributes: nothing that a prefix could tell of
        found = Name(module + (":" if "." in attribute else ".") + attribute)
        if found.text not in GETATTR:
            self.names[found.text] = None
        return found

    def _call(self, called: Any, arguments: Any) -> None:
        if not isinstance(called, Name):
            raise _Undecidable("it calls what it computes")
        if called.text in GETATTR:
            self._stack.append(self._attribute(called, arguments))
            return
        self._used([arguments])
        if not self._calls(called.text):
            self.names[called.text + "()"] = None
        self._stack.append(None)

    def _attribute(self, getattr_: Name, arguments: Any) -> Optional[Name]:
        """A class's attribute, under the name that it would have in a newer pickle."""
        parts = arguments if isinstance(arguments, tuple) else ()
        if len(parts) == 2 and isinstance(parts[0], Name) and isinstance(parts[1], str):
            module, _, owner = parts[0].text.rpartition(".")
            if module and ":" not in parts[0].text and parts[0].text not in GETATTR:
                return self._imported(module, owner + "." + parts[1])
        self._used([getattr_, arguments])
        return None

    def _used(self, values: List[Any]) -> None:
        """Note where `getattr` goes other than into a call that is followed."""
        for value in values:
            if isinstance(value, Name) and value.text in GETATTR:
                self.names[value.text] = None
            elif isinstance(value, (list, tuple)) and not isinstance(value, (Name, Mark)):
                self._used(list(value))

    def _persistent(self, reference: Any) -> Optional[Name]:
        """In PyTorch's older format a reference may hold a class and its source; others are weights."""
        parts = reference if isinstance(reference, tuple) else ()
        if parts[:1] == ("module",) and len(parts) > 1 and isinstance(parts[1], Name):
            return parts[1]
        self._used([reference])
        return None

    def _tuple(self, values: List[Any]) -> Any:
        # flat: a tuple of tuples of tuples would take forever to look through
        self._used([value for value in values if isinstance(value, Name)])
        return tuple(None if type(value) is tuple else value for value in values)

    def _top(self) -> Any:
        if not self._stack or isinstance(self._stack[-1], Mark):
            raise _Undecidable("its stack is empty where something should be")
        return self._stack[-1]

    def _pop(self) -> Any:
        self._top()
        return self._stack.pop()

    def _pop_any(self) -> None:
        if not self._stack:
            raise _Undecidable("its stack is empty where something should be")
        self._used([self._stack.pop()])

    def _to_mark(self) -> List[Any]:
        found: List[Any] = []
        while self._stack and not isinstance(self._stack[-1], Mark):
            found.append(self._stack.pop())
        if not self._stack:
            raise _Undecidable("its stack has no mark where one should be")
        self._stack.pop()
        return found[::-1]
