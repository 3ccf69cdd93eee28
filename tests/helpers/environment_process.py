"""A process that asks for one environment and says which it got: started many times and killed at any moment."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

from rollwright.compare.environments.folder import EnvironmentFolder
from rollwright.compare.environments.installers import find_installer
from tiny_wheels import offline_environment, tiny_rollwright


def main() -> None:
    """Make the environment of a requirements file; arguments: folder, installer, mark, requirements, wheels."""
    root, choice, mark, requirements, wheels = sys.argv[1:]
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    store = EnvironmentFolder(
        Path(root),
        installer=find_installer("uv" if choice == "uv" else "pip"),
        wheel=lambda: tiny_rollwright(mark),
        environ=offline_environment(Path(wheels)),
    )
    with store:
        environment = store.ensure(store.compile(Path(requirements)))
        sys.stdout.write(json.dumps({"key": environment.lock.key, "python": str(environment.python)}) + "\n")


if __name__ == "__main__":
    main()
