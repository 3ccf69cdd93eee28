"""Where the files of a comparison lie, and how its workflows are opened, by whoever compares and whoever trains."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Final

from rollwright.app.campaign_record import results_folder
from rollwright.app.open_campaign import OpenCampaign, open_campaign
from rollwright.compare.record import ComparedModel, ComparisonRecord
from rollwright.config.settings import Settings
from rollwright.core.canonical import sha256_hex
from rollwright.core.text import NAME_RULE, escape_text, is_name
from rollwright.errors import CompareError, nearest

__all__ = [
    "comparison_folder",
    "comparison_record",
    "environment_log",
    "find_comparison",
    "list_comparisons",
    "name_comparison",
    "open_workflow",
    "refuse_servers",
    "results_of",
    "submitted_file",
    "work_folder",
    "worker_log",
]

_FOLDER: Final = "comparisons"
_SHOWN: Final = 10


def comparison_folder(settings: Settings, name: str) -> Path:
    """Return the folder of what a comparison keeps for itself."""
    return settings.state_dir / _FOLDER / name


def comparison_record(settings: Settings, name: str) -> Path:
    """Return the file of a comparison's record."""
    return settings.state_dir / _FOLDER / f"{name}.json"


def submitted_file(settings: Settings, name: str, model: str, dataset: str) -> Path:
    """Return the file that says which tasks a model's runs on a dataset are."""
    return comparison_folder(settings, name) / "submitted" / model / f"{dataset.replace('/', '_')}.json"


def work_folder(settings: Settings, name: str, model: str) -> Path:
    """Return the folder beneath which the tasks of a model work."""
    return comparison_folder(settings, name) / "work" / model


def worker_log(settings: Settings, name: str, model: str) -> Path:
    """Return the file that the process of a model writes what it says to."""
    return comparison_folder(settings, name) / "logs" / model / "worker.log"


def environment_log(settings: Settings, name: str, model: str) -> Path:
    """Return the file that says how the environment of a model was made."""
    return comparison_folder(settings, name) / "logs" / model / "environment.log"


def results_of(settings: Settings, name: str) -> Path:
    """Return the folder that holds what a comparison makes."""
    return results_folder(settings, f"compare-{name}")


def name_comparison(path: Path, name: str | None) -> str:
    """Return the name of a comparison: the one that is given, or that of its folder or file.

    Raises
    ------
    CompareError
        When it is none.
    """
    found = name if name is not None else unicodedata.normalize("NFC", path.resolve().stem)
    if not is_name(found):
        raise CompareError(
            f"`{escape_text(found, longest=100)}` is no name of a comparison, which needs {NAME_RULE}",
            hint="give it one: --name mine",
        )
    return found


def list_comparisons(settings: Settings) -> list[str]:
    """Return the names of the comparisons that were made here, that of the latest at the end."""
    found = sorted((settings.state_dir / _FOLDER).glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
    return [path.stem for path in found]


def find_comparison(settings: Settings, name: str | None) -> ComparisonRecord:
    """Return the record of a comparison that was made here, of the latest if no name is given.

    Raises
    ------
    CompareError
        When there is none of that name.
    CorruptFileError
    """
    known = list_comparisons(settings)
    if not known:
        raise CompareError(f"nothing was compared in {settings.root}", hint="begin with: rollwright compare run FOLDER")
    wanted = known[-1] if name is None else name
    record = ComparisonRecord.read(comparison_record(settings, wanted)) if wanted in known else None
    if record is None:
        near = nearest(wanted, known)
        names = ", ".join(known[-_SHOWN:])
        raise CompareError(
            f"there is no comparison `{escape_text(wanted, longest=100)}` in {settings.root}",
            hint=f"did you mean `{near}`?" if near else f"there are {names}",
        )
    return record


def open_workflow(settings: Settings, record: ComparisonRecord, model: ComparedModel, dataset: str) -> OpenCampaign:
    """Open the workflow of a model under the options of its comparison.

    Raises
    ------
    ConfigError
        With every problem of the file at once.
    CompareError
        When the file changed since the comparison was started.
    """
    workflow = model.workflows[dataset]
    opened = open_campaign(
        settings.root / workflow.file,
        overrides=record.options.overrides,
        provider_uri=record.options.provider_uri,
        project=settings.root,
    )
    if sha256_hex(opened.document.rendered.encode()) != workflow.sha256:
        raise CompareError(
            f"{workflow.file} changed since comparison `{record.name}` was started",
            hint="give the whole command `rollwright compare run …` again; what did not change is kept",
        )
    return opened


def refuse_servers(settings: Settings) -> None:
    """Refuse stores that are reached over the network, for tasks that have none.

    Raises
    ------
    CompareError
    """
    urls = {"pool.url": settings.pool.url, "tracking.uri": settings.tracking.uri}
    for name, url in urls.items():
        if "://" in url and not url.startswith(("sqlite:", "file:")):
            raise CompareError(
                f"without a network {name} cannot be {url.partition('://')[0]}://…, which is a server",
                hint="leave out --no-network, or keep it in a file: sqlite:///…",
            )
