"""The table of a comparison and its costs as files: JSON, CSV and Markdown, and the reader of the first."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from rollwright.compare.costs import costs_to_csv, costs_to_json, costs_to_markdown, summarise_costs
from rollwright.compare.evaluation import RunEvaluation
from rollwright.compare.table import ComparisonTable
from rollwright.compare.table_text import table_to_csv, table_to_markdown
from rollwright.compare.table_words import TableLanguage
from rollwright.core.atomic import write_text
from rollwright.core.bounded_read import MEDIUM, read_text
from rollwright.errors import CompareError, CorruptFileError, DataNotFoundError

__all__ = ["TABLE_FILE", "read_table", "table_json", "write_costs", "write_table"]

TABLE_FILE: Final = "table.json"


def table_json(table: ComparisonTable) -> str:
    """Return the table as the text of ``table.json``: equal tables give equal text."""
    return _dump(table.to_json())


def write_table(folder: Path, table: ComparisonTable, *, lang: TableLanguage = "en") -> Mapping[str, Path]:
    """Write ``table.json``, ``table.csv`` and ``table.md``, each whole or not at all, and return them by these names.

    Guarantees: equal tables give equal bytes.
    """
    return _write(
        folder,
        {
            "table.csv": table_to_csv(table),
            "table.md": table_to_markdown(table, lang=lang),
            TABLE_FILE: table_json(table),
        },
    )


def write_costs(
    folder: Path, evaluations: Sequence[RunEvaluation], *, lang: TableLanguage = "en"
) -> Mapping[str, Path]:
    """Write ``costs.json``, ``costs.csv`` and ``costs.md``, and return them by these names."""
    rows = summarise_costs(evaluations)
    return _write(
        folder,
        {
            "costs.csv": costs_to_csv(rows),
            "costs.md": costs_to_markdown(rows, lang=lang),
            "costs.json": _dump(costs_to_json(rows)),
        },
    )


def read_table(path: Path) -> ComparisonTable:
    """Return the table in the file `path`.

    Raises
    ------
    DataNotFoundError
        When there is no such file.
    CorruptFileError
        When it is no table, of another format, or damaged.
    """
    try:
        return ComparisonTable.from_json(json.loads(read_text(path, limit=MEDIUM)))
    except FileNotFoundError as error:
        raise DataNotFoundError(path, "no table of a comparison is here") from error
    except CompareError as error:
        raise CorruptFileError(path, error.message, hint=error.hint) from error
    except (OSError, ValueError, RecursionError) as error:
        raise CorruptFileError(path, f"it is no JSON: {error}") from error


def _dump(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _write(folder: Path, texts: Mapping[str, str]) -> Mapping[str, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        write_text(folder / name, text)
    return {name: folder / name for name in texts}
