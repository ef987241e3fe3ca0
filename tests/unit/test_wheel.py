"""The vendor's wheel is found or fetched, and always verified; every mishap is one message with a way out.

The wheel of these tests is a small zip archive; the vendor's server is one of this machine.
"""

import functools
import hashlib
import io
import json
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from host.engines import recipe
from host.plan import Environment
from images import wheel
from images.installer import Part, Recipe
from shared.faults import Fault

FILE = "toolkit-1.0-py3-none-any.whl"
ENVIRONMENT = Environment("gadget", "1.0", "3.8", "full")


def zipped(text: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("toolkit/__init__.py", text)
    return stream.getvalue()


GOOD, OTHER = zipped("good"), zipped("for 3.6")


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


class Vendor:
    """images/gadget with its lock, and the server that the lock names."""

    def __init__(self, folder: Path, url: str) -> None:
        self.images = folder / "images" / "gadget"
        self.wheels = self.images / "wheels"
        self.wheels.mkdir(parents=True)
        self.served = folder / "served"
        self.served.mkdir()
        self.outside = folder
        self.url = f"{url}/packages.tar.gz"

    def lock(self, archive: bytes | None, good: bytes = GOOD, archive_md5: str = "") -> None:
        """Serve this archive, or none, and name `good` as the wheel for Python 3.8."""
        if archive is not None:
            (self.served / "packages.tar.gz").write_bytes(archive)
        wheels = {
            "3.8": {"file": FILE, "md5": md5(good)},
            "3.6": {"file": FILE, "md5": md5(OTHER)},
        }
        entry = {"archive": self.url, "md5": archive_md5 or md5(archive or b"none"), "wheels": wheels}
        (self.images / wheel.LOCK).write_text(json.dumps({"1.0": entry}))

    @property
    def files(self) -> dict[str, bytes]:
        """What lies in wheels/, hidden and unfinished files included."""
        return {path.name: path.read_bytes() for path in self.wheels.rglob("*")}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def vendor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vendor]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    handler = functools.partial(Quiet, directory=str(tmp_path / "served"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        made = Vendor(tmp_path, f"http://127.0.0.1:{server.server_port}")
        gadget = Recipe(made.images, lambda *_: list[Part](), {"full": ()})
        monkeypatch.setattr(recipe, "of", lambda _: gadget)
        yield made
        server.shutdown()


def tarred(*members: tuple[str, bytes | None]) -> bytes:
    """A .tar.gz of files by name and content; a member without content is a symbolic link to /etc/passwd."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            if content is None:
                member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
            member.size = len(content or b"")
            archive.addfile(member, io.BytesIO(content or b""))
    return stream.getvalue()


def seen_to(brought: Path | None = None) -> list[str]:
    """What is said while the wheel is seen to."""
    said: list[str] = []
    recipe.vendor_wheel(ENVIRONMENT, said.append, brought)
    return said


def refused(code: str, brought: Path | None = None) -> str:
    """The message and hint, each one line, with which the wheel is refused."""
    with pytest.raises(Fault) as raised:
        seen_to(brought)
    fault = raised.value
    assert fault.code == code
    assert fault.exit_status == 5
    assert "\n" not in fault.message + fault.hint
    return f"{fault.message}\n{fault.hint}"


def test_wheel_is_fetched_once(vendor: Vendor) -> None:
    vendor.lock(tarred(("packages/readme", b"x"), (f"packages/{FILE}", GOOD)))
    assert seen_to() == [f"fetching {FILE} from {vendor.url}"]
    assert vendor.files == {FILE: GOOD}
    (vendor.served / "packages.tar.gz").unlink()
    assert seen_to() == []


def test_what_is_missing_is_known_beforehand(vendor: Vendor) -> None:
    assert wheel.missing(vendor.images, "1.0", "3.8") is None  # no lock, no wheel needed
    vendor.lock(None)
    wanted = wheel.missing(vendor.images, "1.0", "3.8")
    assert wanted is not None and wanted.file == FILE
    (vendor.wheels / FILE).write_bytes(GOOD)
    assert wheel.missing(vendor.images, "1.0", "3.8") is None


def test_nothing_is_asked_of_a_toolkit_without_one(vendor: Vendor) -> None:
    assert seen_to() == []
    with pytest.raises(Fault, match="--wheel: gadget comes from a package index"):
        seen_to(vendor.outside / FILE)


def test_wheel_that_the_user_has_is_kept_under_its_own_name(vendor: Vendor) -> None:
    vendor.lock(None)
    mine = vendor.outside / "download (1).whl"
    mine.write_bytes(GOOD)
    assert seen_to(mine) == []
    assert vendor.files == {FILE: GOOD}
    assert seen_to() == []


def test_what_the_user_has_replaces_what_is_wrong(vendor: Vendor) -> None:
    vendor.lock(None)
    (vendor.wheels / FILE).write_bytes(b"half")
    (vendor.outside / FILE).write_bytes(GOOD)
    seen_to(vendor.outside / FILE)
    assert vendor.files == {FILE: GOOD}


def test_missing_wheel_names_all_that_is_needed(vendor: Vendor) -> None:
    vendor.lock(None)
    text = refused("wheel-missing")
    for part in (vendor.url, FILE, md5(GOOD), "images/gadget/wheels", "HTTP Error 404"):
        assert part in text
    assert text.endswith("invoke build --toolkit gadget --python 3.8 --wheel PATH")
    assert vendor.files == {}


def test_no_network_is_said(vendor: Vendor) -> None:
    vendor.url = "https://vendor.invalid/packages.tar.gz"
    vendor.lock(None)
    assert "https://vendor.invalid/packages.tar.gz cannot be used: [Errno" in refused("wheel-missing")


def test_server_that_hangs_up_is_said(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(self: SimpleHTTPRequestHandler) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        self.wfile.write(b"some")

    monkeypatch.setattr(Quiet, "do_GET", cut)
    vendor.lock(None, archive_md5=md5(b"all"))
    assert f"its MD5 is {md5(b'some')}, expected {md5(b'all')}" in refused("wheel-invalid")
    assert vendor.files == {}


@pytest.mark.parametrize(
    ("archive", "expected", "reason"),
    [
        (tarred((FILE, GOOD)), md5(b"other"), f"expected {md5(b'other')}"),
        (tarred((FILE, b"<html>")), "", "of the wheel in it, its 6 bytes are neither a whole wheel"),
        (tarred((FILE, zipped("bad"))), "", f"of the wheel in it, its MD5 is {md5(zipped('bad'))}"),
        (tarred(("readme", b"x")), "", "it has no such file"),
        (tarred((f"packages/{FILE}", None)), "", "it has no such file"),
        (b"<html>please log in</html>", "", "file could not be opened successfully"),
        (tarred((FILE, GOOD * 9999))[:2000], "", "ended before the end-of-stream marker"),
    ],
    ids=["archive", "no-wheel", "other-wheel", "without", "link", "no-archive", "cut"],
)
def test_archive_that_is_not_the_vendors(vendor: Vendor, archive: bytes, expected: str, reason: str) -> None:
    vendor.lock(archive, archive_md5=expected)
    text = refused("wheel-invalid")
    assert reason in text
    assert vendor.url in text and FILE in text
    assert vendor.files == {}


def test_archive_writes_nowhere_else(vendor: Vendor) -> None:
    """A file that wants out of its folder is written where rkforge wants it, and no other file is at all."""
    vendor.lock(tarred(("../../evil", b"x"), (f"../../../{FILE}", GOOD), ("/tmp/evil-gadget", b"x")))
    before = set(vendor.outside.rglob("*"))
    seen_to()
    assert set(vendor.outside.rglob("*")) - before == {vendor.wheels / FILE}
    assert vendor.files == {FILE: GOOD}
    assert not Path("/tmp/evil-gadget").exists()


@pytest.mark.parametrize("brought", [False, True], ids=["there", "brought"])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (zipped("bad"), f"its MD5 is {md5(zipped('bad'))}"),
        (GOOD[:-9], f"its {len(GOOD) - 9} bytes are neither a whole wheel"),
        (b"", "its 0 bytes are neither a whole wheel"),
    ],
    ids=["other", "cut", "empty"],
)
def test_wheel_that_is_not_the_vendors(vendor: Vendor, brought: bool, content: bytes, reason: str) -> None:
    vendor.lock(None)
    path = (vendor.outside if brought else vendor.wheels) / FILE
    path.write_bytes(content)
    text = refused("wheel-invalid", path if brought else None)
    for part in (str(path), reason, FILE, md5(GOOD), vendor.url, "images/gadget/wheels", "--wheel PATH"):
        assert part in text
    assert vendor.files == ({} if brought else {FILE: content})


def test_wheel_for_another_python_is_told_by_its_checksum(vendor: Vendor) -> None:
    vendor.lock(None)
    mine = vendor.outside / FILE
    mine.write_bytes(OTHER)
    text = refused("wheel-invalid", mine)
    assert "it is the one for Python 3.6, which invoke build --toolkit gadget --python 3.6 --wheel" in text
    assert vendor.files == {}


def test_archive_that_the_user_has_will_do(vendor: Vendor) -> None:
    archive = tarred(("packages/readme", b"x"), (f"packages/{FILE}", GOOD))
    vendor.lock(None, archive_md5=md5(archive))
    mine = vendor.outside / "packages.tar.gz"
    mine.write_bytes(archive)
    assert seen_to(mine) == []
    assert vendor.files == {FILE: GOOD}
    mine.write_bytes(archive[:-10])
    assert f"{vendor.url} (MD5 {md5(archive)})" in refused("wheel-invalid", mine)


def test_lock_without_this_python(vendor: Vendor) -> None:
    vendor.lock(None)
    with pytest.raises(Fault, match=r"wheels.lock names no wheel of version 1.0 for Python 3.7"):
        recipe.vendor_wheel(Environment("gadget", "1.0", "3.7", "full"), print)


def test_path_that_is_not_there(vendor: Vendor) -> None:
    vendor.lock(None)
    with pytest.raises(Fault, match=r"cannot use nowhere\.whl: No such file") as raised:
        seen_to(Path("nowhere.whl"))
    assert raised.value.code == "file-access"


@pytest.mark.parametrize("brought", [False, True], ids=["fetched", "brought"])
def test_full_disk(vendor: Vendor, brought: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    vendor.lock(tarred((FILE, GOOD)))
    mine = vendor.outside / FILE
    mine.write_bytes(GOOD)

    def opened(path: Path, mode: str = "r", **options: Any) -> Any:
        return open("/dev/full" if mode == "wb" else path, mode, **options)  # noqa: PTH123

    monkeypatch.setattr(Path, "open", opened)
    with pytest.raises(Fault) as raised:
        seen_to(mine if brought else None)
    assert raised.value.code == "disk-full"
    assert str(vendor.wheels) in raised.value.message
    assert vendor.files == {}
