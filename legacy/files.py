"""Paths as the toolkit can read them: absolute, because what it takes relative ones from is not documented,
and without spaces, because it splits the lines of its lists there."""

import os
import re
import shutil
import tempfile
from contextlib import ExitStack, contextmanager
from typing import Iterator, List, NamedTuple


class Place(NamedTuple):
    """The folders of an attempt, absolute and without spaces."""

    job: str
    """The job directory."""
    out: str
    """Where the result goes."""
    scratch: str
    """The current directory, where the toolkit leaves logs, dumps and hybrid quantization's files."""


@contextmanager
def workplace(directory: str) -> Iterator[Place]:
    """Work in an empty scratch folder; `directory`, of the result, is relative to the job directory.

    The current directory is the job directory before and after.
    """
    home = os.getcwd()
    with ExitStack() as stack:
        job = home
        if re.search(r"\s", home):
            # not where TMPDIR says: it may have spaces, too
            job = os.path.join(stack.enter_context(tempfile.TemporaryDirectory(dir="/tmp")), "job")
            os.symlink(home, job)
        out = os.path.join(job, directory)
        place = Place(job, out, os.path.join(out, "scratch"))
        os.mkdir(place.scratch)
        stack.callback(shutil.rmtree, place.scratch, ignore_errors=True)
        stack.callback(os.chdir, home)
        os.chdir(place.scratch)
        yield place


def calibration_list(place: Place, dataset: str) -> str:
    """The job's list, whose paths are relative to itself, written anew with absolute ones; its path."""
    source = os.path.join(place.job, dataset)
    folder = os.path.dirname(source)
    with open(source, encoding="utf-8") as stream:
        rows = [line.split() for line in stream if line.strip()]
    return write_list(
        os.path.join(place.out, "calibration.txt"),
        [[os.path.join(folder, name) for name in row] for row in rows],
    )


def write_list(path: str, rows: List[List[str]]) -> str:
    """Write a list as the toolkit reads it: a line a sample, a path an input; `path`."""
    with open(path, "w", encoding="utf-8") as stream:
        stream.write("".join(" ".join(row) + "\n" for row in rows))
    return path
