"""What the process that trains a model tells the one that compares: one JSON line each, and files for what is large."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, Self

from rollwright.compare.evaluation import RunCost, RunKey

__all__ = ["LABEL_FILE", "PRED_FILE", "RunOutcome", "run_folder"]

PRED_FILE: Final = "pred.parquet"
LABEL_FILE: Final = "label.parquet"
_RUNS: Final = "runs"


def run_folder(key: RunKey) -> str:
    """Return where the prediction of a run lies, beneath the results of its comparison."""
    return f"{_RUNS}/{key.model}/{key.dataset.replace('/', '_')}/seed-{key.seed}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome:
    """How a run ended in its environment; of one that is done, prediction and label lie in its `run_folder`.

    Attributes
    ----------
    key : RunKey
    status : {"done", "failed"}
    cause : str
        Of a failed one, in one line; else "".
    label : str
        What its label is, in words.
    label_span : int
        Sessions of future that its label reads, from 1 on.
    universe : str
        Of the instruments that are scored; "" where it has no name.
    cost : RunCost or None
    """

    key: RunKey
    status: Literal["done", "failed"]
    cause: str = ""
    label: str = ""
    label_span: int = 1
    universe: str = ""
    cost: RunCost | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "key": [*self.key],
            "status": self.status,
            "cause": self.cause,
            "label": self.label,
            "label_span": self.label_span,
            "universe": self.universe,
            "cost": None if self.cost is None else asdict(self.cost),
        }

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Return what `to_json` wrote.

        Raises
        ------
        ValueError, KeyError, TypeError
            For anything else: it comes from a process that runs other people's code.
        """
        model, dataset, seed = value["key"]
        status = value["status"]
        if status not in ("done", "failed"):
            raise ValueError(f"{status!r} is no status")
        span, cost = int(value["label_span"]), value["cost"]
        if span < 1:
            raise ValueError(f"a label of {span} sessions")
        return cls(
            key=RunKey(str(model), str(dataset), int(seed)),
            status=status,
            cause=str(value["cause"]),
            label=str(value["label"]),
            label_span=span,
            universe=str(value["universe"]),
            cost=None if cost is None else _read_cost(cost),
        )


def _read_cost(value: Any) -> RunCost:
    cost = RunCost(
        seconds=float(value["seconds"]),
        cpu_seconds=float(value["cpu_seconds"]),
        peak_bytes=int(value["peak_bytes"]),
    )
    if not all(math.isfinite(number) and number >= 0 for number in asdict(cost).values()):
        raise ValueError("a cost is no number")
    return cost
