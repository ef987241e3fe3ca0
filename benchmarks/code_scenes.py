"""Photos with QR codes and bar codes warped onto them: a detection set whose truth is known by construction.

Codes come from segno and python-barcode, photos from the wheel of scikit-image. A seed gives the same scenes
every time.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import barcode
import numpy as np
import segno
from numpy.typing import NDArray
from PIL import Image, ImageOps

SIDE = 640
PHOTOS = (
    *("astronaut.png", "brick.png", "camera.png", "chelsea.png", "clock_motion.png", "coffee.png"),
    *("coins.png", "grass.png", "gravel.png", "hubble_deep_field.jpg", "motorcycle_left.png", "rocket.jpg"),
)
QR, CODE_128 = 0, 5
"""The classes drawn, as the model numbers them. It takes most other bar codes for Code 128."""
QUIET = {QR: 4, CODE_128: 10}
"""Light modules around a code."""
MODULE = 8
"""Pixels of a module before it is warped."""
SHARPER = 2
"""Scenes are drawn larger by this and then reduced, so that edges are smooth."""
LETTERS = list("ABCDEFGHJKLMNPRSTUVWXYZ23456789")


class Code(NamedTuple):
    """A code in a scene: its class, and left, top, right, bottom in pixels, without the light margin."""

    kind: int
    box: tuple[float, float, float, float]


class Scene(NamedTuple):
    """A square photo and the codes on it."""

    image: Image.Image
    codes: tuple[Code, ...]


def scenes(count: int, seed: int) -> list[Scene]:
    """`count` scenes of 640x640 pixels with one to four codes each."""
    random = np.random.default_rng(seed)
    return [_scene(PHOTOS[number % len(PHOTOS)], random) for number in range(count)]


def _scene(photo: str, random: np.random.Generator) -> Scene:
    package = find_spec("skimage")
    assert package is not None and package.origin is not None
    path = Path(package.origin).parent / "data" / photo
    canvas = ImageOps.fit(Image.open(path).convert("RGB"), (SIDE * SHARPER,) * 2)
    codes = []
    for quarter in random.permutation(4)[: int(random.integers(1, 5))]:
        kind = int(random.choice(list(QUIET)))
        corners = _draw(canvas, kind, np.array([quarter % 2, quarter // 2]), random) / SHARPER
        codes.append(Code(kind, (*corners.min(axis=0), *corners.max(axis=0))))
    return Scene(canvas.resize((SIDE, SIDE), Image.Resampling.BOX), tuple(codes))


def _draw(canvas: Image.Image, kind: int, quarter: NDArray[Any], random: np.random.Generator) -> NDArray[Any]:
    """Warp a code into a quarter of the canvas; where its corners (x, y) came to lie."""
    quiet = QUIET[kind]
    dark, light = random.integers(0, 50), random.integers(210, 256)
    modules = np.where(np.pad(_modules(kind, random), quiet), dark, light).astype(np.uint8)
    drawn = Image.fromarray(modules.repeat(MODULE, 0).repeat(MODULE, 1))
    margin = quiet * MODULE
    paper = _corners(0, 0, *drawn.size)

    room = canvas.width / 2
    scale = room * random.uniform(0.55, 0.9) / max(drawn.size)
    angle = np.deg2rad(random.uniform(-10, 10))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shape = (paper - paper.mean(axis=0)) * scale * (1 + random.uniform(-0.08, 0.08, paper.shape))
    target = shape @ turn.T + (quarter + 0.5) * room + random.uniform(-0.04, 0.04, 2) * room

    back = _homography(target, paper)
    warp = (canvas.size, Image.Transform.PERSPECTIVE, back.ravel()[:8].tolist(), Image.Resampling.BILINEAR)
    canvas.paste(drawn.transform(*warp), (0, 0), Image.new("L", drawn.size, 255).transform(*warp))
    code = _corners(margin, margin, drawn.width - margin, drawn.height - margin)
    mapped = np.column_stack([code, np.ones(4)]) @ np.linalg.inv(back).T
    return np.asarray(mapped[:, :2] / mapped[:, 2:])


def _modules(kind: int, random: np.random.Generator) -> NDArray[np.bool_]:
    """A code with random content, True where dark."""
    text = "".join(random.choice(LETTERS, int(random.integers(4, 20))))
    if kind == QR:
        return np.array(segno.make_qr(f"https://example.org/{text}").matrix, bool)
    row = np.array([bit == "1" for bit in barcode.get("code128", text[:12]).build()[0]])
    return np.repeat(row[None], len(row) // 3, axis=0)


def _corners(left: float, top: float, right: float, bottom: float) -> NDArray[Any]:
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], float)


def _homography(source: NDArray[Any], target: NDArray[Any]) -> NDArray[Any]:
    """The 3x3 matrix that maps four points onto four others."""
    rows = []
    for (x, y), (u, v) in zip(source, target, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    return np.append(np.linalg.solve(np.array(rows), target.ravel()), 1.0).reshape(3, 3)
