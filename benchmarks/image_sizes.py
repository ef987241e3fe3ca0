"""Compare rkforge's images with what `pip install rknn-toolkit2` makes.

Prints a markdown table of the toolkit2 images that are there: size, and the time `docker run` needs to import
the toolkit. With --naive it first builds the image that a user without rkforge would write (10 GB of disk).

    python -m benchmarks.image_sizes [--naive]
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

import docker
from docker.models.images import Image

from shared import chips

NAIVE = "rkforge/naive:latest"
# what it takes beyond the one line: OpenCV's libraries, and the setuptools that still has pkg_resources
NAIVE_DOCKERFILE = """\
FROM python:{python}-slim-bookworm
RUN apt-get update && apt-get install -y libgl1 libglib2.0-0
RUN pip install --no-cache-dir rknn-toolkit2=={version} 'setuptools<82'
"""
IMPORT = "from rknn.api import RKNN; RKNN()"
RUNS = 3


def main(arguments: Sequence[str]) -> int:
    """Print the table; 1 when there is nothing to compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--naive", action="store_true", help="build the naive image first")
    if parser.parse_args(arguments).naive:
        build_naive()
    client = docker.from_env()
    found = client.images.list(filters={"label": "rkforge.toolkit=toolkit2"})
    naive = [image for image in client.images.list() if NAIVE in image.tags]
    images = sorted((image for image in [*naive, *found] if image.tags), key=lambda image: -size(image))
    if not images:
        print("no toolkit2 image is there: run `invoke build`", file=sys.stderr)
        return 1
    print("| image | PyTorch from | size | of naive | start and import |")
    print("|---|---|---|---|---|")
    for image in images:
        share = f"{size(image) / size(naive[0]):.0%}" if naive else ""
        slim = image.labels.get("rkforge.variant") == "slim"
        torch = "stand-in" if slim else image.labels.get("rkforge.torch", "pypi")
        seconds = statistics.median(import_time(image) for _ in range(RUNS))
        print(f"| `{image.tags[0]}` | {torch} | {size(image) / 1e9:.2f} GB | {share} | {seconds:.1f} s |")
    return 0


def build_naive() -> None:
    """Build the image that follows the vendor's requirements to the letter."""
    toolkit = chips.toolkit("toolkit2")
    text = NAIVE_DOCKERFILE.format(python=chips.pythons(toolkit)[0], version=toolkit.versions[0])
    subprocess.run(["docker", "build", "--tag", NAIVE, "-"], input=text.encode(), check=True)


def size(image: Image) -> int:
    """Bytes, layers shared with other images included."""
    return int(image.attrs["Size"])


def import_time(image: Image) -> float:
    """Seconds of a `docker run` that imports the toolkit."""
    command = ["docker", "run", "--rm", "--network", "none", "--entrypoint", "python", image.tags[0]]
    started = time.perf_counter()
    subprocess.run([*command, "-W", "ignore", "-c", IMPORT], check=True, capture_output=True)
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
