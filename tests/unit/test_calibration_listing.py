import os
import subprocess
import sys
from pathlib import Path

import pytest

from host.calibration.listing import find_images, fingerprint
from shared.faults import Fault


def touch(path: Path, content: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def write_list(folder: Path, text: str) -> Path:
    return touch(folder / "list.txt", text.encode())


def test_folder_is_ordered_by_path_with_subfolders_and_without_other_files(tmp_path: Path) -> None:
    for name in ("b.JPG", "a/z.png", "c.npy", "a.webp", "labels.txt", ".hidden.png", "__x/.y/z.png"):
        touch(tmp_path / name)
    found = [path.relative_to(tmp_path).as_posix() for path in find_images(tmp_path)]
    assert found == ["a.webp", "a/z.png", "b.JPG", "c.npy"]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_list_takes_what_people_write(tmp_path: Path, newline: str, bom: str) -> None:
    names = ["plain.jpg", "with space.jpg", "ünï/日本.png", "quoted one.bmp"]
    paths = [touch(tmp_path / "data" / name) for name in names]
    absolute = touch(tmp_path / "elsewhere.png")
    lines = ["# comment", "", *names[:3], f'"{names[3]}"', "  plain.jpg  ", str(absolute)]
    file = write_list(tmp_path / "data", bom + newline.join(lines))
    assert find_images(file) == [*paths, absolute]


def test_all_bad_files_are_named_at_once(tmp_path: Path) -> None:
    touch(tmp_path / "good.jpg")
    touch(tmp_path / "film.gif")
    touch(tmp_path / "empty.png", b"")
    (tmp_path / "folder.png").mkdir()
    missing = "".join(f"missing{index}.jpg\n" for index in range(20))
    file = write_list(tmp_path, "good.jpg\nfilm.gif\nempty.png\nfolder.png\n" + missing)
    with pytest.raises(Fault) as caught:
        find_images(file)
    fault = caught.value
    assert fault.code == "dataset-invalid" and fault.exit_status == 2
    assert "23 of 24" in fault.message and "and 13 more" in fault.message
    for name in (
        "film.gif (not one of",
        "empty.png (empty)",
        "folder.png (a folder)",
        "missing0.jpg (missing)",
    ):
        assert name in fault.message
    assert "good.jpg" not in fault.message and "\n" not in fault.message


def test_dangling_link_in_a_folder_is_missing_not_ignored(tmp_path: Path) -> None:
    touch(tmp_path / "a.jpg")
    (tmp_path / "b.jpg").symlink_to(tmp_path / "gone.jpg")
    with pytest.raises(Fault, match=r"b\.jpg \(missing\)"):
        find_images(tmp_path)


def test_line_with_several_inputs_is_told_from_a_path_with_spaces(tmp_path: Path) -> None:
    touch(tmp_path / "left.jpg")
    touch(tmp_path / "right.jpg")
    with pytest.raises(Fault, match="several inputs is not supported yet"):
        find_images(write_list(tmp_path, "left.jpg right.jpg\n"))


@pytest.mark.parametrize(
    ("name", "content", "code", "text"),
    [
        ("nowhere", None, "dataset-missing", "There is no dataset"),
        ("list.txt", b"# nothing\n\n", "dataset-empty", "names no image"),
        ("list.txt", "a.jpg".encode("utf-16"), "dataset-invalid", "UTF-8"),
        ("photo.jpg", b"\xff\xd8\xff\xe0", "dataset-invalid", "neither a folder nor a list"),
    ],
)
def test_useless_dataset(tmp_path: Path, name: str, content: bytes | None, code: str, text: str) -> None:
    if content is not None:
        touch(tmp_path / name, content)
    with pytest.raises(Fault, match=text) as caught:
        find_images(tmp_path / name)
    assert caught.value.code == code


def test_folder_without_images_says_what_it_holds(tmp_path: Path) -> None:
    touch(tmp_path / "a.tiff")
    touch(tmp_path / "b.xml")
    with pytest.raises(Fault, match=r"only 2 other files \(.tiff, .xml\)") as caught:
        find_images(tmp_path)
    assert caught.value.code == "dataset-empty"


def test_fingerprint_follows_content_names_and_order_but_not_place(tmp_path: Path) -> None:
    for place in ("one", "two"):
        touch(tmp_path / place / "a.jpg", b"1")
        touch(tmp_path / place / "b.jpg", b"2")
    same = fingerprint(tmp_path / "one")
    assert fingerprint(tmp_path / "two") == same
    os.utime(tmp_path / "two" / "a.jpg", (0, 0))
    assert fingerprint(tmp_path / "two") == same
    assert fingerprint(write_list(tmp_path / "one", "a.jpg\nb.jpg\n")) == same
    assert fingerprint(write_list(tmp_path / "one", "b.jpg\na.jpg\n")) != same
    touch(tmp_path / "two" / "b.jpg", b"3")
    assert fingerprint(tmp_path / "two") != same


def test_listing_loads_no_array_or_image_library() -> None:
    code = "import sys, host.calibration.listing; print(*{'numpy', 'PIL'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == ""
