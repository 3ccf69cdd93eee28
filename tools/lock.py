"""Renew `constraints.txt`: install the newest versions that `pyproject.toml` allows elsewhere, and write them down.

Run by `make lock`. It asks the package index the user has configured, and touches nothing but the one file.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path
from typing import Final

from finding import ROOT

HEADER: Final = """\
# The exact versions rollwright is developed and tested with: its runtime, every extra, the tools of a
# contributor and the build. They hold on Python 3.11, 3.12 and 3.13, on Linux and macOS.
# `make` installs under them; an application that uses rollwright follows pyproject.toml's ranges instead.
# Renew with `make lock`, then run `make check test-all`.
"""
OLDEST: Final = (3, 11)


def resolve(folder: Path) -> list[str]:
    """Return ``name==version`` of everything needed, freshly resolved in a new environment at `folder`."""
    venv.create(folder, with_pip=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    document = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = ",".join(document["project"]["optional-dependencies"])
    subprocess.run([*pip, "install", "--quiet", "--upgrade", "pip"], check=True)
    build = [*document["build-system"]["requires"], "editables"]
    wanted = ["--group", "dev", f".[{extras}]", *build]
    subprocess.run([*pip, "install", "--quiet", *wanted], check=True, cwd=ROOT)
    frozen = subprocess.run([*pip, "freeze", "--all"], check=True, capture_output=True, text=True).stdout
    pins = [line for line in frozen.splitlines() if "==" in line]
    # the two distributions of XGBoost have the same versions; only one of them installs on the machine that locks
    return pins + [line.replace("xgboost-cpu==", "xgboost==") for line in pins if line.startswith("xgboost-cpu==")]


def main() -> int:
    """Write the file and say how many versions it holds."""
    if sys.version_info[:2] != OLDEST:
        print(f"lock with Python {OLDEST[0]}.{OLDEST[1]}: a pin must exist for every supported version")
        return 2
    with tempfile.TemporaryDirectory() as folder:
        pins = resolve(Path(folder))
    kept = sorted((pin for pin in pins if not pin.startswith("rollwright==")), key=str.lower)
    (ROOT / "constraints.txt").write_text(HEADER + "\n".join(kept) + "\n", encoding="utf-8")
    print(f"constraints.txt: {len(kept)} pins; now run: make check test-all")
    return 0


if __name__ == "__main__":
    sys.exit(main())
