"""The files of a risk model: exposures, covariances and specific risks of each session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.codecs.external_parquet import read_table
from rollwright.errors import ConfigError, DataError, nearest

__all__ = ["RiskModel", "read_risk_model"]

_NAMES: Final = ("factor_exp", "factor_cov", "specific_risk", "blacklist")
_ENDINGS: Final = (".parquet", ".csv")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RiskModel:
    """The risk of one session.

    Attributes
    ----------
    instruments : tuple of str
        Its universe, n of them.
    exposure : ndarray of float64 [n, k]
    covariance : ndarray of float64 [k, k]
    specific : ndarray of float64 [n]
        Standard deviations; the greatest one where it is not known.
    blacklist : frozenset of str
        What must not be held.
    """

    instruments: tuple[str, ...]
    exposure: NDArray[np.float64]
    covariance: NDArray[np.float64]
    specific: NDArray[np.float64]
    blacklist: frozenset[str]


def read_risk_model(root: Path, session: pd.Timestamp, names: Mapping[str, str] | None = None) -> RiskModel | None:
    """Read the files of a session below ``root/YYYYMMDD/``; None where there is no such folder.

    ``factor_exp`` (instruments × factors), ``factor_cov`` (factors × factors), ``specific_risk`` (instruments) and, if
    there is one, ``blacklist`` (instruments) are Parquet or CSV, with the instruments or factors first. Pickles are not
    read: they could run a program.

    Parameters
    ----------
    root : Path
    session : Timestamp
    names : mapping of str to str, optional
        Other names of the files, with their ending.

    Raises
    ------
    ConfigError
        For a name that is none of the four.
    DataError
        For a file that is missing, of another kind, or does not fit the others.
    """
    unknown = [name for name in names or {} if name not in _NAMES]
    if unknown:
        near = nearest(unknown[0], _NAMES)
        raise ConfigError(f"a risk model has no file `{unknown[0]}`", hint=f"did you mean `{near}`?" if near else "")
    folder = root / f"{session:%Y%m%d}"
    if not folder.is_dir():
        return None
    found = {name: _find_file(folder, name, (names or {}).get(name)) for name in _NAMES}
    tables = {name: _read_indexed(path) for name, path in found.items() if path is not None}
    exposure, covariance = tables["factor_exp"], tables["factor_cov"]
    if not covariance.index.equals(exposure.columns) or not covariance.columns.equals(exposure.columns):
        raise DataError(f"risk model {folder}: factor_cov is not of the factors of factor_exp, in their order")
    specific = tables["specific_risk"].iloc[:, 0]
    specific = specific.reindex(exposure.index).fillna(specific.max())
    return RiskModel(
        instruments=tuple(str(code) for code in exposure.index),
        exposure=exposure.to_numpy(dtype=np.float64),
        covariance=covariance.to_numpy(dtype=np.float64),
        specific=specific.to_numpy(dtype=np.float64),
        blacklist=frozenset(str(code) for code in tables["blacklist"].index) if "blacklist" in tables else frozenset(),
    )


def _find_file(folder: Path, name: str, given: str | None) -> Path | None:
    candidates = [folder / given] if given else [folder / f"{name}{ending}" for ending in _ENDINGS]
    found = next((path for path in candidates if path.is_file()), None)
    if found is not None and found.suffix not in _ENDINGS:
        raise DataError(f"risk model: {found} is neither Parquet nor CSV", hint="write it with DataFrame.to_parquet(…)")
    if found is None and name != "blacklist":
        raise DataError(
            f"risk model: there is no {candidates[0]}",
            hint="files are Parquet or CSV; turn pickles of yours into them with DataFrame.to_parquet(…)",
        )
    return found


def _read_indexed(path: Path) -> pd.DataFrame:
    if path.suffix == ".csv":
        return pd.read_csv(path, index_col=0)
    table = read_table(path)
    return table if not isinstance(table.index, pd.RangeIndex) else table.set_index(table.columns[0])
