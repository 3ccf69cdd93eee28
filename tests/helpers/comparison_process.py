"""A process that compares models in this environment, for tests that kill it: ``python … FOLDER TIMES JOBS``."""

from __future__ import annotations

import sys
from pathlib import Path

from rollwright.app.compare.run import run_comparison
from rollwright.compare.this_environment import ThisEnvironment


def tell(what: str, model: str, _value: object) -> None:
    """Write one line."""
    sys.stdout.write(f"{what} {model}\n")
    sys.stdout.flush()


def main() -> None:
    """Compare, and tell on standard output when each run was judged."""
    folder, times, jobs = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    run_comparison(
        folder,
        environments=ThisEnvironment(),
        times=times,
        jobs=jobs,
        project=folder.parent,
        on_progress=tell,
    )


if __name__ == "__main__":
    main()
