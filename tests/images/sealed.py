"""Runs images as the docker engine does: sealed off, and removed afterwards."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from host.plan import Environment
from tests.conftest import ROOT

os.environ["TESTCONTAINERS_RYUK_DISABLED"] = "true"  # no helper image: each test removes its container

from testcontainers.core.container import DockerContainer

SEALED: dict[str, Any] = {
    "network_mode": "none",
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opt": [
        "no-new-privileges",
        f"seccomp={(ROOT / 'images' / 'seccomp.json').read_text(encoding='utf-8')}",
    ],
    "pids_limit": 512,
    "mem_limit": "4g",
    "init": True,
}


@dataclass(frozen=True)
class Image:
    """The image of an environment, under whatever name."""

    environment: Environment
    name: str
    interpreter: str = "python"

    def run(self, *command: str, **options: Any) -> tuple[int, str, str]:
        """Exit status, stdout and stderr of a container with this command."""
        sealed = DockerContainer(self.name, **SEALED, **options).with_command(list(command))
        with sealed.with_tmpfs_mount("/tmp", "mode=1777,exec") as container:
            status: int = container.get_wrapped_container().wait()["StatusCode"]
            out, err = container.get_logs()
            return status, out.decode(), err.decode()

    def python(self, code: str, **options: Any) -> str:
        """What the image's Python prints for `code`."""
        status, out, err = self.run("-W", "ignore", "-c", code, entrypoint=[self.interpreter], **options)
        assert status == 0, err
        return out

    def jobs(self, folder: Path, names: Iterable[str], *volumes: tuple[str, str, str]) -> None:
        """Run the job directories `names` of `folder` as the engine does: one container, two at a time."""
        mounted = [(str(folder), "/jobs", "rw"), *volumes]
        command = ["--jobs", "2", *(f"/jobs/{name}" for name in names)]
        status, _, err = self.run(*command, volumes=mounted, user=f"{os.getuid()}:{os.getgid()}")
        assert status == 0, err
