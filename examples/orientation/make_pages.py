"""Draws the example's pages: `python examples/orientation/make_pages.py` writes pages/ and labels.txt anew.

Documents made here need nobody's permission. Six layouts, each in the four orientations the model tells
apart; every second one looks photographed on a desk, the others scanned. Needs Pillow, numpy and the
DejaVu fonts (Debian: fonts-dejavu-core, fonts-dejavu-extra).
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

HERE = Path(__file__).parent
FONTS = Path("/usr/share/fonts/truetype/dejavu")
WIDTH, HEIGHT, MARGIN = 595, 842, 56  # A4 in points
INK = (35, 35, 40)
TURNS = (0, 90, 180, 270)  # clockwise, as the model's labels count

SENTENCES = (
    "A small network that runs where the data is made needs no connection and tells nobody.",
    "Eight bits are enough for most weights, provided that somebody chose the range with care.",
    "The range of every activation is measured once, on images like those the device will meet.",
    "Twenty pages showed the same range as two hundred; the wrong kind of page showed another.",
    "Whoever changes the preprocessing without a new measurement should expect a quiet failure.",
    "The board was left on a window sill for a week and reported its temperature every minute.",
    "Rows that the camera reads last are late by thirty milliseconds, which a turning wheel shows.",
    "Please return the signed copy by the end of the month and keep the other for your records.",
    "We compared three boards, two lenses and one very patient colleague holding a chessboard.",
    "Its outputs agreed with the source model on every page, at a quarter of the size.",
)
CODE = (
    "def measure(images):",
    "    low, high = 0.0, 0.0",
    "    for image in images:",
    "        low = min(low, image.min())",
    "    return low, high",
    "    assert high > low",
    "# see section 4.2",
    "",
)
WORDS = ("Camera", "Lens 6 mm", "Cable", "Board", "Fan", "Housing", "Card 32 GB", "Supply", "Screws")

Rng = np.random.Generator


def font(size: int, style: str = "Serif") -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(FONTS / f"DejaVu{style}.ttf"), size)


def text(rng: Rng, sentences: int) -> str:
    return " ".join(rng.choice(SENTENCES, sentences))


def paragraph(draw: ImageDraw.ImageDraw, at: tuple[int, int], width: int, words: str, size: int = 12) -> int:
    """Set `words` in lines of at most `width`; returns the y below them."""
    face, (x, y), line = font(size), at, ""
    for word in [*words.split(), ""]:
        longer = f"{line} {word}".strip()
        if not word or draw.textlength(longer, face) > width:
            draw.text((x, y), line, INK, face)
            y, line = y + size * 3 // 2, word
        else:
            line = longer
    return y + size // 2


def letter(draw: ImageDraw.ImageDraw, rng: Rng) -> None:
    paragraph(draw, (MARGIN, 60), 200, "Example Works\n12 Harbour Street\n4000 Sampleton", 11)
    draw.text((400, 150), f"{rng.integers(1, 29)} March 2026", INK, font(12))
    y = paragraph(draw, (MARGIN, 200), 480, "Dear reader,")
    for _ in range(rng.integers(3, 5)):
        y = paragraph(draw, (MARGIN, y + 8), 480, text(rng, 4))
    paragraph(draw, (MARGIN, y + 20), 480, "Yours faithfully,")
    draw.line([(MARGIN + 9 * i, y + 60 + int(rng.integers(-9, 9))) for i in range(14)], (30, 40, 120), 2)


def article(draw: ImageDraw.ImageDraw, rng: Rng) -> None:
    draw.text((MARGIN, 60), "On the Range of Small Numbers", INK, font(24, "Serif-Bold"))
    for x in (MARGIN, 310):
        y = 120
        while y < 700:
            draw.text((x, y), f"{rng.integers(1, 9)}  Measured", INK, font(12, "Sans-Bold"))
            y = paragraph(draw, (x, y + 22), 225, text(rng, int(rng.integers(2, 4))), 10) + 8


def invoice(draw: ImageDraw.ImageDraw, rng: Rng) -> None:
    draw.text((MARGIN, 70), f"Invoice {rng.integers(1000, 9999)}", INK, font(26, "Sans-Bold"))
    for row in range(int(rng.integers(9, 17))):
        y = 150 + 32 * row
        cells = (str(row + 1), str(rng.choice(WORDS)), str(rng.integers(1, 20)), f"{rng.random() * 99:.2f}")
        for x, cell in zip((60, 110, 360, 460), cells, strict=True):
            draw.text((x, y), cell, INK, font(13, "Sans"))
        draw.line((MARGIN, y + 24, WIDTH - MARGIN, y + 24), (150, 150, 150))
    draw.text((360, y + 50), "Total", INK, font(15, "Sans-Bold"))
    paragraph(draw, (MARGIN, 740), 480, text(rng, 1), 9)


def listing(draw: ImageDraw.ImageDraw, rng: Rng) -> None:
    draw.text((MARGIN, 60), "Appendix B: source", INK, font(18, "Sans-Bold"))
    for row, line in enumerate(rng.choice(CODE, 34)):
        draw.text((MARGIN, 110 + 19 * row), f"{row + 1:3}  {line}", INK, font(12, "SansMono"))


def chart(draw: ImageDraw.ImageDraw, rng: Rng) -> None:
    draw.text((MARGIN, 60), "Results", INK, font(22, "Sans-Bold"))
    draw.line((90, 130, 90, 400, 520, 400), INK, 2)
    for i, height in enumerate(rng.integers(40, 250, 8)):
        colour = tuple(int(c) for c in rng.integers(60, 200, 3))
        draw.rectangle((110 + 50 * i, 400 - height, 140 + 50 * i, 400), colour)
        draw.text((115 + 50 * i, 405), str(2019 + i), INK, font(9, "Sans"))
    y = paragraph(draw, (MARGIN, 440), 480, "Figure 1. " + text(rng, 1), 10)
    paragraph(draw, (MARGIN, y + 10), 480, text(rng, 8))


def slide(draw: ImageDraw.ImageDraw, rng: Rng) -> None:
    draw.rectangle((0, 0, WIDTH, 110), tuple(int(c) for c in rng.integers(20, 110, 3)))
    draw.text((MARGIN, 36), "What we learned", (250, 250, 250), font(30, "Sans-Bold"))
    y = 160
    for sentence in rng.choice(SENTENCES, 5, replace=False):
        draw.ellipse((MARGIN, y + 5, MARGIN + 10, y + 15), INK)
        y = paragraph(draw, (MARGIN + 30, y), 440, str(sentence), 20) + 14


LAYOUTS: tuple[Callable[[ImageDraw.ImageDraw, Rng], None], ...]
LAYOUTS = (letter, article, invoice, listing, chart, slide)


def scanned(page: Image.Image, rng: Rng) -> Image.Image:
    """A degree askew, slightly yellow, with grain."""
    turned = page.rotate(float(rng.uniform(-1, 1)), Image.Resampling.BICUBIC, fillcolor=(255, 255, 255))
    return degrade(turned, rng, np.array([1.0, 0.99, 0.95]), 1.5)


def photographed(page: Image.Image, rng: Rng) -> Image.Image:
    """Seen slightly from the side on a desk, unevenly lit."""
    corners = np.array([(0, 0), (0, HEIGHT), (WIDTH, HEIGHT), (WIDTH, 0)]) + rng.integers(-60, -15, (4, 2))
    corners[:, 0] += np.array([0, 0, 80, 80])
    corners[:, 1] += np.array([0, 80, 80, 0])
    quad = tuple(float(value) for value in corners.ravel())
    desk = Image.new("RGB", page.size, tuple(int(c) for c in rng.integers(60, 150, 3)))
    method = (Image.Transform.QUAD, quad)
    paper = Image.new("L", page.size, 255).transform(page.size, *method, Image.Resampling.BICUBIC)
    desk.paste(page.transform(page.size, *method, Image.Resampling.BICUBIC), mask=paper)
    across, down = np.meshgrid(np.linspace(-1, 1, WIDTH), np.linspace(-1, 1, HEIGHT))
    light = 0.85 + 0.12 * (across * rng.uniform(-1, 1) + down * rng.uniform(-1, 1))
    return degrade(desk, rng, light[..., None], 3.0)


def degrade(page: Image.Image, rng: Rng, light: NDArray[np.float64], grain: float) -> Image.Image:
    pixels = np.asarray(page) * light + rng.normal(0, grain, (HEIGHT, WIDTH, 1))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def main() -> None:
    labels = []
    for number in range(len(LAYOUTS) * len(TURNS)):
        layout, turn = LAYOUTS[number // len(TURNS)], TURNS[number % len(TURNS)]
        rng = np.random.default_rng(number)
        page = Image.new("RGB", (WIDTH, HEIGHT), (255, 255, 255))
        layout(ImageDraw.Draw(page), rng)
        page = (scanned, photographed)[number % 2 ^ (number // len(TURNS)) % 2](page, rng)
        name = f"{layout.__name__}-{turn}.jpg"
        page.rotate(-turn, expand=True).save(HERE / "pages" / name, quality=33)
        labels.append(f"pages/{name} {turn}\n")
    (HERE / "labels.txt").write_text("".join(labels))


if __name__ == "__main__":
    main()
