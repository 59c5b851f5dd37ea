"""Make the environments of the peers: `python -m benchmarks.peers [NAME ...]`. What is there already is left as it is."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.peers import ENVIRONMENTS, HERE, names


def main(chosen: list[str]) -> int:
    """Install the peers; one that cannot be installed does not keep back the others."""
    return max((_install(name) for name in chosen or names()), default=0)


def _install(name: str) -> int:
    folder, wanted = ENVIRONMENTS / name, HERE / f"requirements-{name}.txt"
    mark = folder / ".installed"
    if mark.exists() and mark.read_text() == wanted.read_text():
        return 0
    sys.stdout.write(f"Installing {name} into {folder} ...\n")
    sys.stdout.flush()
    install = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "-r", str(wanted)]
    for command in ([sys.executable, "-m", "venv", "--clear", str(folder)], install):
        if status := subprocess.run(command, check=False).returncode:
            sys.stdout.write(f"{name} could not be installed; the benchmarks pass it over\n")
            return status
    mark.write_text(wanted.read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
