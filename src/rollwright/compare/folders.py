"""The models of a comparison: a folder for each, as Qlib's benchmarks have them, or one file that lists them."""

from __future__ import annotations

import logging
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rollwright.campaign.yaml.document import YamlDocument, read_document
from rollwright.core.text import NAME_RULE, escape_text, is_name
from rollwright.errors import CompareError, ConfigError, nearest

__all__ = ["MAX_MODELS", "ModelSource", "find_models"]

_logger: Final = logging.getLogger("rollwright.compare")

MAX_MODELS: Final = 1000
"""More are taken for a mistake."""
REQUIREMENTS: Final = "requirements.txt"
_NAMED: Final = re.compile(r"(?:.*_)?(?P<dataset>[A-Z][A-Za-z]*[0-9]+)(?:_(?P<universe>[a-z][A-Za-z0-9]*))?")
_ENDINGS: Final = (".yaml", ".yml")
_FIELDS: Final = frozenset(("name", "workflow", "requirements", "dataset"))
_SHOWN: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSource:
    """One model of a comparison.

    Attributes
    ----------
    name : str
        Of its folder, or of its entry in a file.
    requirements : Path
        What its environment is made from.
    workflows : mapping of str to Path
        For each dataset its workflow's YAML.
    """

    name: str
    requirements: Path
    workflows: Mapping[str, Path]


def find_models(
    path: Path,
    *,
    models: Sequence[str] = (),
    exclude: bool = False,
    dataset: str | None = None,
    universe: str = "",
) -> tuple[ModelSource, ...]:
    """Return the models that a comparison is to train, by name.

    A folder has one beneath it for each model, with a workflow's YAML and a ``requirements.txt``; folders without a
    YAML are none, and a folder that has both itself is the one model. A file is a YAML with
    ``models: [{name, workflow, requirements}]``, its paths beside it. Of a folder with files named as Qlib's,
    ``*{dataset}[_{universe}].yaml``, each dataset is compared; one YAML of any name is enough.

    Parameters
    ----------
    path : Path
    models : sequence of str
        Only these, whatever their case; all if empty.
    exclude : bool
        All but these instead.
    dataset : str, optional
        Only the files of this one; a model that has none is left out, which the log says.
    universe : str
        Only the files of this one, as ``csi300``.

    Raises
    ------
    CompareError
        When there is no model, a name is unknown or there twice, a folder has no requirements, no model a file that
        fits, or one leads out of the folder that was given.
    ConfigError
        When a file cannot be read.
    """
    if path.is_dir():
        found = _list_folders(path)
    elif path.is_file():
        found = _read_list(path)
    else:
        raise CompareError(
            f"there is no {escape_text(path)}",
            hint="give a folder that holds a folder for each model, or a YAML that lists them under `models`",
        )
    if not found:
        raise CompareError(
            f"there is no model in {escape_text(path)}",
            hint="each model has a folder with a workflow's YAML and a requirements.txt",
        )
    _check_names(one.name for one in found)
    chosen = _choose(found, models, exclude=exclude)
    return _choose_all(chosen, dataset, universe)


def _list_folders(root: Path) -> list[ModelSource]:
    folders = [entry for entry in sorted(root.iterdir()) if entry.is_dir() and entry.name[0] not in "._"]
    found = [(folder, workflows) for folder in folders if (workflows := _list_workflows(folder))]
    if not found and (root / REQUIREMENTS).is_file() and (workflows := _list_workflows(root)):
        return [_make_source(root.resolve(), workflows)]
    if len(found) > MAX_MODELS:
        raise _too_many(root, len(found))
    for folder, _ in found:
        if not folder.resolve().is_relative_to(root.resolve()):
            raise CompareError(
                f"the folder {escape_text(folder)} leads to {escape_text(folder.resolve())}, outside of what was given",
                hint="give that folder itself, or a copy",
            )
    return [_make_source(folder, workflows) for folder, workflows in found]


def _list_workflows(folder: Path) -> list[Path]:
    return [one for one in sorted(folder.iterdir()) if one.suffix in _ENDINGS and one.is_file()]


def _make_source(folder: Path, files: Sequence[Path]) -> ModelSource:
    name = _check_name(unicodedata.normalize("NFC", folder.name))  # macOS writes file names in parts
    texts = [one for one in sorted(folder.glob("*.txt")) if one.is_file()]
    requirements = folder / REQUIREMENTS
    if requirements not in texts:
        if len(texts) != 1:
            raise CompareError(
                f"model `{name}` has no {REQUIREMENTS} in {escape_text(folder)}",
                hint="write one; it may be empty where rollwright alone is enough",
            )
        (requirements,) = texts
    workflows: dict[str, Path] = {}
    for file in files:
        dataset = _name_dataset(file)
        if dataset in workflows:
            raise CompareError(
                f"model `{name}` has two workflows for {dataset}: {escape_text(workflows[dataset].name)} and "
                f"{escape_text(file.name)}",
                hint="keep one, or end their names with their datasets: workflow_Alpha158.yaml",
            )
        workflows[dataset] = file
    return ModelSource(name=name, requirements=requirements, workflows=workflows)


def _name_dataset(file: Path) -> str:
    """Return the dataset of a workflow: what its name ends with, as Qlib's do, else the class of its handler."""
    found = _NAMED.fullmatch(file.stem)
    if found is not None:
        return found["dataset"] if found["universe"] is None else f"{found['dataset']}/{found['universe']}"
    try:
        handler = read_document(file).data["task"]["dataset"]["kwargs"]["handler"]
        name = str(handler["class"]).rpartition(".")[2]
    except (ConfigError, KeyError, TypeError):  # whoever trains it says what is wrong with it
        name = ""
    name = name or unicodedata.normalize("NFC", file.stem)
    return _check_name(name, what="dataset")


def _read_list(path: Path) -> list[ModelSource]:
    document = read_document(path)
    entries = document.data.get("models")
    if not isinstance(entries, list) or not entries:
        raise ConfigError(
            f"{path} lists no `models`",
            hint="write `models: [{name: lightgbm, workflow: lightgbm.yaml, requirements: lightgbm.txt}]`",
        )
    if len(entries) > MAX_MODELS:
        raise _too_many(path, len(entries))
    return [_read_entry(entry, place, document) for place, entry in enumerate(entries)]


def _read_entry(entry: Any, place: int, document: YamlDocument) -> ModelSource:
    where = document.locate(("models", place))
    if not isinstance(entry, dict):
        raise ConfigError(f"{where}: a model is `name`, `workflow` and `requirements`")
    for key in entry:
        if key not in _FIELDS:
            near = nearest(str(key), _FIELDS)
            meant = f"did you mean `{near}`?" if near else f"known here: {', '.join(sorted(_FIELDS))}"
            raise ConfigError(f"{where}: unknown key `{escape_text(key)}`; {meant}")
    for key in ("name", "workflow", "requirements"):
        if not isinstance(entry.get(key), str) or not entry[key]:
            raise ConfigError(f"{where}: `{key}` is missing, or no text")
    folder = document.path.resolve().parent
    files = {key: folder / entry[key] for key in ("workflow", "requirements")}
    for key, file in files.items():
        if not file.is_file():
            raise ConfigError(f"{document.locate(('models', place, key))}: there is no file {escape_text(file)}")
    given = entry.get("dataset")
    dataset = _name_dataset(files["workflow"]) if given is None else _check_name(str(given), what="dataset")
    return ModelSource(
        name=_check_name(entry["name"]), requirements=files["requirements"], workflows={dataset: files["workflow"]}
    )


def _too_many(path: Path, count: int) -> CompareError:
    return CompareError(
        f"{escape_text(path)} has {count:,} models, and more than {MAX_MODELS:,} are taken for a mistake"
    )


def _check_name(name: str, *, what: str = "model") -> str:
    if not is_name(name):
        raise CompareError(f"`{escape_text(name, longest=100)}` is no name of a {what}", hint=f"it needs {NAME_RULE}")
    return name


def _check_names(names: Iterable[str]) -> None:
    seen: dict[str, str] = {}
    for name in names:
        first = seen.setdefault(unicodedata.normalize("NFKC", name).casefold(), name)
        if first is not name:
            raise CompareError(f"two models are called `{first}` and `{name}`", hint="rename one of them")


def _choose(found: Sequence[ModelSource], wanted: Sequence[str], *, exclude: bool) -> list[ModelSource]:
    known = {one.name.casefold(): one.name for one in found}
    asked: set[str] = set()
    for text in wanted:
        name = known.get(text.strip().casefold())
        if name is None:
            near = nearest(text, known.values())
            names = ", ".join([*known.values()][:_SHOWN])
            raise CompareError(
                f"there is no model `{escape_text(text, longest=100)}`",
                hint=f"did you mean `{near}`?" if near else f"there are {names}",
            )
        asked.add(name)
    if not asked:
        return [*found]
    chosen = [one for one in found if (one.name in asked) is not exclude]
    if not chosen:
        raise CompareError("every model is excluded", hint="leave one of them")
    return chosen


def _choose_all(chosen: Sequence[ModelSource], dataset: str | None, universe: str) -> tuple[ModelSource, ...]:
    """Return the models that have what is asked for, as Qlib does: forests do without the days of Alpha360."""
    kept: list[ModelSource] = []
    lacking: list[tuple[str, CompareError]] = []
    for one in chosen:
        try:
            kept.append(_choose_workflows(one, dataset, universe))
        except CompareError as error:
            lacking.append((one.name, error))
    if not kept:
        raise lacking[0][1]
    for name, reason in lacking:
        _logger.warning("batch.left_out model=%s reason=%s", name, reason.message)
    return tuple(kept)


def _choose_workflows(source: ModelSource, dataset: str | None, universe: str) -> ModelSource:
    """Return the model with the workflows of a dataset and a universe only.

    Raises
    ------
    CompareError
        When it has none.
    """
    if dataset is None and not universe:
        return source
    wanted = {
        name: file
        for name, file in source.workflows.items()
        if (dataset is None or name.partition("/")[0].casefold() == dataset.casefold())
        and name.partition("/")[2].casefold() == universe.casefold()
    }
    if not wanted and len(source.workflows) == 1 and not universe:
        ((name, file),) = source.workflows.items()
        if _NAMED.fullmatch(file.stem) is None:  # one file of any name is the model's, whatever its dataset is called
            wanted = {name: file}
    if not wanted:
        asked = "/".join(part for part in (dataset or "any dataset", universe) if part)
        raise CompareError(
            f"model `{source.name}` has no workflow for {escape_text(asked, longest=100)}",
            hint=f"it has {', '.join(source.workflows)}; leave it out: --models {source.name} --exclude",
        )
    return ModelSource(name=source.name, requirements=source.requirements, workflows=wanted)
