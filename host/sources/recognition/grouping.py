"""Which files belong together: a network and its weights, by their names and by who else is there."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from host.sources.recognition.contents import SHARD, Part, title
from host.sources.source import Source
from shared.faults import Fault


class Found(NamedTuple):
    """A file with what it is."""

    path: Path
    part: Part


class Role(NamedTuple):
    """What one file of several is for."""

    what: str
    """As people call it."""
    name: str
    """How it is called; {} is what all files of the model have in common."""
    pattern: str
    """Matches its name; the group is what they have in common."""
    cure: str = ""
    """What to do where it is missing, besides putting it there."""


ROLES: Mapping[str, Mapping[str, Role]] = {
    "caffe": {
        "prototxt": Role("network", "{}.prototxt", r"(.*?)(\.prototxt)?(\.txt)?"),
        "caffemodel": Role("weights", "{}.caffemodel", r"(.*?)(\.caffemodel)?"),
    },
    "darknet": {
        "cfg": Role("network", "{}.cfg", r"(.*?)(\.cfg)?(\.txt)?"),
        "weights": Role("weights", "{}.weights", r"(.*?)(\.weights)?"),
    },
    "mxnet": {
        "symbol": Role("network", "{}-symbol.json", r"(.*?)(-symbol)?(\.json)?"),
        "params": Role("weights", "{}-0000.params", r"(.*?)(-\d{4})?(\.params)?"),
    },
    "tf-checkpoint": {
        "meta": Role(
            *("graph", "{}.meta", r"(.*?)(\.meta)?"),
            cure=" TensorFlow 2 writes none: save the whole model as a SavedModel.",
        ),
        "data": Role("weights", "{}.data-00000-of-00001", SHARD.pattern),
        "index": Role("index", "{}.index", r"(.*?)(\.index)?"),
    },
}
"""The files of formats that have several; the last is the one that tells a model from another."""
_NAMED_ALIKE = ("tf-checkpoint",)
"""Formats whose own loader finds the files by what their names have in common."""
_FOR_USE = "deploy"
"""How Caffe's networks without the layers for training are called."""
_LISTED = 8


def model(named: Sequence[Found], pool: Sequence[Found], place: Path) -> Source:
    """The one model that files make up.

    Args:
        named: at least one file of the model.
        pool: files among which their companions are looked for.
        place: where all that is, for messages.

    Raises:
        Fault: bad-option for several models, or where a companion could be several files, model-data-missing
            where it is none.
    """
    mains = [found for found in named if is_main(found.part)]
    if len(mains) > 1 or len({found.part.format for found in named}) > 1:
        paths = [found.path for found in mains or named]
        names = sorted(str(path.relative_to(place) if path.is_relative_to(place) else path) for path in paths)
        more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
        listed = ", ".join(names[:_LISTED]) + more
        raise Fault("bad-option", f"{place} has files of several models: {listed}.", "Name one of them.")
    first = (*mains, *named)[0]
    if first.part.format not in ROLES:
        path = first.path.parent if first.part.role == "folder" else first.path
        return Source(first.part.format, {first.part.role: path})
    return Source(first.part.format, dict(_files(first, named, pool)))


def is_main(part: Part) -> bool:
    """Whether a file with that role is a model, or the one that tells it from another."""
    return part.format not in ROLES or part.role == [*ROLES[part.format]][-1]


def _files(first: Found, named: Sequence[Found], pool: Sequence[Found]) -> Iterator[tuple[str, Path]]:
    for name, role in ROLES[first.part.format].items():
        given = [found for found in named if found.part.role == name]
        found = given or _companions(first, name, pool)
        if not found:
            what, ending = f"{title(first.part.format)} {_role(first).what}", role.name.format("")
            raise Fault(
                "model-data-missing",
                f"{first.path}: {what} without its {role.what} (*{ending}).",
                f"Put {role.name.format(_stem(first))} beside it, or name both.{role.cure}",
            )
        if name == "data":
            yield from _shards([each.path for each in found])
        elif len(found) == 1:
            yield name, found[0].path
        else:
            listed = ", ".join(sorted(each.path.name for each in found)[:_LISTED])
            raise Fault(
                "bad-option",
                f"The {role.what} for {first.path} may be each of {listed}.",
                "Name the right one, too.",
            )


def _companions(anchor: Found, name: str, pool: Sequence[Found]) -> Sequence[Found]:
    """The file with a role that goes with `anchor`: of its name, else the only one; several in doubt."""
    there = [found for found in pool if found.part == Part(anchor.part.format, name)]
    beside = [found for found in there if found.path.parent == anchor.path.parent] or there
    same = [found for found in beside if _stem(found) == _stem(anchor)]
    if same or anchor.part.format in _NAMED_ALIKE:
        return same
    for_use = [found for found in beside if _FOR_USE in found.path.name.lower()]
    return for_use if len(for_use) == 1 else beside


def _shards(paths: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    """The files of a checkpoint's data by the roles data, data1, data2, ..."""
    named = [(path, matched) for path in paths if (matched := SHARD.fullmatch(path.name))]
    numbers = {path: (int(matched[2]), int(matched[3])) for path, matched in named}
    count = max(count for _, count in numbers.values())
    shards = {number: path for path, (number, of) in numbers.items() if of == count}
    for number in range(count):
        if number not in shards:
            name = SHARD.sub(rf"\1.data-{number:05}-of-{count:05}", paths[0].name)
            missing = paths[0].with_name(name)
            raise Fault("model-data-missing", f"{missing} is missing: the data is in {count} files.")
        yield f"data{number or ''}", shards[number]


def _role(found: Found) -> Role:
    return ROLES[found.part.format][found.part.role]


def _stem(found: Found) -> str:
    """What its name has in common with those of its companions."""
    matched = re.fullmatch(_role(found).pattern, found.path.name, re.IGNORECASE | re.DOTALL)
    return matched[1] if matched else found.path.stem
