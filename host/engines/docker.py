"""The engine with Docker: one locked-down container per run, always removed."""

import os
import platform
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, DockerException, ImageNotFound
from docker.models.containers import Container
from docker.models.images import Image
from docker.types import Mount
from requests.exceptions import RequestException

from host import paths
from host.engines import dockerfile, pytorch, recipe
from host.engines.dockerfile import FOREIGN, first_line
from host.engines.protocol import Limits, Running, Say
from host.plan import Environment
from shared.contract import CONTRACT
from shared.faults import Fault

JOBS = "/jobs"
LABEL = "rkforge.run"
"""Label: the folder of a container's run. Those of another cache are somebody else's."""
HARNESS_BYTES = 1 << 30
"""Memory of the container beyond its jobs': the harness, the imported toolkit, and /tmp."""
REASONS = {
    "FileNotFoundError": "there is no socket",
    "ConnectionRefusedError": "nothing listens on its socket",
    "PermissionError": "this user may not use it: see Docker's post-installation steps",
}
LOST = (DockerException, RequestException)


@contextmanager
def _reached() -> Iterator[None]:
    """Around calls of the engine: silence is a fault, and so is a refusal that nobody handles."""
    try:
        yield
    except LOST as error:
        raise Fault("engine-lost", f"the Docker engine failed or is gone ({first_line(error)})") from None


class DockerEngine:
    """Runs the harness in containers of locally built images.

    Raises:
        Fault: engine-missing when no engine answers.
    """

    name = "docker"
    isolated = True

    def __init__(self) -> None:
        try:
            self._client = docker.from_env()
            self._client.ping()
        except LOST as error:
            reason = next((text for sign, text in REASONS.items() if sign in str(error)), first_line(error))
            raise Fault("engine-missing", f"no Docker engine answers ({reason})") from None

    def default_python(self, pythons: Sequence[str]) -> str:
        """The first: an image can have any."""
        return pythons[0]

    @_reached()
    def ready(self, environment: Environment) -> bool:
        """Whether the image is there, speaks this contract and holds this product code.

        Compose cannot tell what code it builds in: its images are made again here, from cached layers.
        """
        image = self._image(environment)
        if image is None:
            return False
        contract = image.labels.get("rkforge.contract", "none")
        if contract != str(CONTRACT):
            raise Fault(
                "environment-outdated",
                f"image {environment.image} speaks contract {contract}, this rkforge speaks {CONTRACT}",
                f"Build it again: invoke build --toolkit {environment.toolkit} "
                f"--toolkit-version {environment.version} --python {environment.python} "
                f"--variant {environment.variant}",
            )
        return bool(image.labels.get("rkforge.source") == recipe.code_digest(environment))

    @_reached()
    def build(self, environment: Environment, say: Say, torch_source: str = "") -> None:
        """Build the image, after making sure of what it needs from elsewhere."""
        source = pytorch.source(environment, torch_source)
        recipe.vendor_wheel(environment, say)
        dockerfile.build(self._client, environment, source, say)

    @_reached()
    def provenance(self, environment: Environment) -> dict[str, Any]:
        """Image id, base image and its digest, PyTorch source."""
        image = self._image(environment)
        if image is None:
            raise Fault("environment-missing", f"image {environment.image} is not there any more")
        base, _, digest = image.labels.get("rkforge.base", "@").partition("@")
        return {
            "engine": self.name,
            "image": environment.image,
            "image_id": image.id,
            "base": base or None,
            "base_digest": digest or None,
            "torch_source": image.labels.get("rkforge.torch"),
        }

    @contextmanager
    def start(
        self, environment: Environment, batch: Path, names: Sequence[str], limits: Limits
    ) -> Iterator[Running]:
        """Run the jobs in one container without network or privileges; only `batch` is writable."""
        memory = limits.jobs * limits.memory_bytes + HARNESS_BYTES
        options: dict[str, Any] = {
            "command": ["--jobs", str(limits.jobs), *(f"{JOBS}/{name}" for name in names)],
            "mounts": [Mount(JOBS, str(batch), type="bind")],
            "working_dir": JOBS,
            "user": _user(),
            "hostname": "rkforge",
            "labels": {LABEL: str(batch)},
            "network_mode": "none",
            "read_only": True,
            "tmpfs": {"/tmp": "mode=1777,exec"},
            "cap_drop": ["ALL"],
            "pids_limit": 512,
            "mem_limit": memory,
            "memswap_limit": memory,
            "nano_cpus": min(limits.jobs + 1, os.cpu_count() or 1) * 10**9,
            "init": True,
            "detach": True,
            "platform": FOREIGN,
        }
        try:
            with _reached():
                yield _Containerized(self._run(environment, options))
        finally:
            with suppress(Fault):  # the engine is gone: `invoke clean` sweeps what is left
                self._remove(f"{LABEL}={batch}")  # by label: an interrupted start names no container

    def sweep(self, folder: Path, alive: Callable[[], Set[str]]) -> list[str]:
        """Remove the containers of interrupted runs in `folder`, all but those of the batches `alive`.

        Those of other users and caches are theirs. Who is alive is asked when the containers are known: a run
        may begin meanwhile. Returns the names of what was removed.
        """
        return self._remove(LABEL, lambda batch: batch.parent == folder and batch.name not in alive())

    @_reached()
    def _remove(self, label: str, doomed: Callable[[Path], bool] = lambda _batch: True) -> list[str]:
        found = self._client.containers.list(all=True, filters={"label": label}, ignore_removed=True)
        left = [container for container in found if doomed(Path(container.labels[LABEL]))]
        for container in left:
            with suppress(APIError):  # somebody else removes it
                container.remove(force=True, v=True)
        return [str(container.name) for container in left]

    @_reached()
    def images(self) -> list[Image]:
        """All images that rkforge built here."""
        return list(self._client.images.list(filters={"label": "rkforge.toolkit"}))

    @_reached()
    def remove(self, image: Image) -> bool:
        """Remove an image by all its names; False when a container or another image needs it."""
        try:
            self._client.images.remove(str(image.id), force=True)
        except APIError as error:
            if error.status_code != HTTPStatus.CONFLICT:
                raise
            return False
        return True

    @_reached()
    def version(self) -> str:
        """The engine's own version."""
        return str(self._client.version()["Version"])

    def _image(self, environment: Environment) -> Image | None:
        try:
            return self._client.images.get(environment.image)
        except ImageNotFound:
            return None

    def _run(self, environment: Environment, options: dict[str, Any]) -> Container:
        """Start with the profile that allows fixed addresses; without it where the engine refuses it."""
        profile = (paths.ROOT / "images" / "seccomp.json").read_text(encoding="utf-8")
        secured = ["no-new-privileges", f"seccomp={profile}"]
        run: Callable[..., Container] = self._client.containers.run
        try:
            return run(environment.image, security_opt=secured, **options)
        except APIError as error:
            if "seccomp" not in str(error):
                raise
            return run(environment.image, security_opt=secured[:1], **options)


class _Containerized:
    def __init__(self, container: Container) -> None:
        self._container = container

    def alive(self) -> bool:
        self._container.reload()
        return self._container.status in ("created", "running")

    def failure(self) -> Fault | None:
        state = self._container.attrs["State"]
        if state["OOMKilled"] and state["ExitCode"] != 0:
            return Fault("out-of-memory", "the container ran out of memory")
        if state["ExitCode"] == 0:
            return None
        last = self._container.logs(tail=5).decode("utf-8", "replace").strip()
        return Fault("engine-lost", f"the container ended with status {state['ExitCode']}: {last}")


def _user() -> str:
    if platform.system() == "Linux":
        return f"{os.getuid()}:{os.getgid()}"
    return "1000:1000"
