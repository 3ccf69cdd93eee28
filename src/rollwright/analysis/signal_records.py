"""Further records of a signal: its squared error, the precision of its legs, its coefficients by segment."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from rollwright.analysis.metrics import to_recorder_metrics
from rollwright.analysis.panel import take_column
from rollwright.analysis.records import ACRecordTemp, RecordTemp, SignalRecord, keep_finite, refuse_inputs
from rollwright.analysis.signal import calc_ic, calc_long_short_prec, calc_long_short_return, summarise
from rollwright.backtest.risk import standard_deviation
from rollwright.dataset.contract import TaskDataset
from rollwright.dataset.dataset import read_labels
from rollwright.errors import ArtifactNotFoundError, ConfigError, ModelError
from rollwright.models.base import Model
from rollwright.models.scores import check_scores
from rollwright.tracking.recorder import Recorder

__all__ = ["HFSignalRecord", "MultiSegRecord", "SignalMseRecord", "ValidationRecord"]

_logger: Final = logging.getLogger("rollwright.analysis")


class HFSignalRecord(ACRecordTemp):
    """The coefficients of a signal, and how often its best and worst fifth were right, day by day and not annualised.

    Artifacts, beneath ``hg_sig_analysis/``, which is Qlib's folder: ``ic.pkl``, ``ric.pkl``, ``long_pre.pkl``,
    ``short_pre.pkl`` (`calc_long_short_prec`, labels counted from the mean of their day), ``long_short_r.pkl`` and
    ``long_avg_r.pkl``. Metrics: ``IC``, ``ICIR``, ``Rank IC``, ``Rank ICIR``, ``Long precision``, ``Short precision``,
    ``Long-Short Average Return`` and ``Long-Short Average Sharpe``, the ratio of mean and standard deviation.
    """

    artifact_path = "hg_sig_analysis"
    depend_cls = SignalRecord
    needs = ("pred.pkl", "label.pkl")

    def __init__(self, recorder: Recorder | None, *, skip_existing: bool = False) -> None:
        super().__init__(recorder=recorder, skip_existing=skip_existing)

    def _generate(self, **kwargs: Any) -> dict[str, Any]:
        refuse_inputs(self, kwargs, "nothing")
        scores = take_column(self.load("pred.pkl"), what="prediction")
        truth = take_column(self.load("label.pkl"), what="label", column=0)
        ic, ric = calc_ic(scores, truth)
        long, short = calc_long_short_prec(scores, truth, is_alpha=True)
        both, average = calc_long_short_return(scores, truth)
        spread = standard_deviation(both.dropna().to_numpy(dtype=np.float64))
        metrics = {
            **to_recorder_metrics(summarise(ic, ric).metrics()),
            "Long precision": float(long.mean()),
            "Short precision": float(short.mean()),
            "Long-Short Average Return": float(both.mean()),
            "Long-Short Average Sharpe": float(both.mean()) / spread if spread > 0 else math.nan,
        }
        self.recorder.log_metrics(step=None, **keep_finite(metrics))
        made = (ic, ric, long, short, both, average)
        return dict(zip(self.list(), made, strict=True))

    def list(self) -> list[str]:
        """Return the names of what `generate` saves."""
        return ["ic.pkl", "ric.pkl", "long_pre.pkl", "short_pre.pkl", "long_short_r.pkl", "long_avg_r.pkl"]


class SignalMseRecord(ACRecordTemp):
    """The mean squared error of the scores, for those that are meant to be the label itself.

    Artifacts ``sig_analysis/mse.pkl`` and ``sig_analysis/rmse.pkl``, its root; metrics ``MSE`` and ``RMSE``, over the
    rows that have score and first label.
    """

    artifact_path = "sig_analysis"
    depend_cls = SignalRecord
    needs = ("pred.pkl", "label.pkl")

    def __init__(self, recorder: Recorder | None, *, skip_existing: bool = False) -> None:
        super().__init__(recorder=recorder, skip_existing=skip_existing)

    def _generate(self, **kwargs: Any) -> dict[str, Any]:
        refuse_inputs(self, kwargs, "nothing")
        scores = take_column(self.load("pred.pkl"), what="prediction")
        truth = take_column(self.load("label.pkl"), what="label", column=0).reindex(scores.index)
        errors = (scores - truth).to_numpy(dtype=np.float64)
        known = errors[~np.isnan(errors)]
        if not len(known):
            raise ArtifactNotFoundError(
                f"SignalMseRecord: none of the {len(errors)} scores has a label to compare with",
                hint="the labels of the segment `test` are not known yet: end it earlier",
            )
        mse = float(np.mean(known**2))
        found = {"MSE": mse, "RMSE": math.sqrt(mse)}
        self.recorder.log_metrics(step=None, **found)
        return {"mse.pkl": found["MSE"], "rmse.pkl": found["RMSE"]}

    def list(self) -> list[str]:
        """Return the names of what `generate` saves."""
        return ["mse.pkl", "rmse.pkl"]


class MultiSegRecord(RecordTemp):
    """The coefficients of a model on several segments, such as train and valid beside test.

    .. warning:: **Look-ahead.** On a segment that the model learnt from, they say how well it was learnt, not how well
       it predicts.
    """

    def __init__(self, model: Model, dataset: TaskDataset, recorder: Recorder | None = None) -> None:
        super().__init__(recorder=recorder)
        self.model = model
        self.dataset = dataset

    def generate(self, segments: Mapping[str, Any] | None = None, save: bool = False, **kwargs: Any) -> None:  # noqa: FBT001, FBT002 - the signature users know
        """Judge each of `segments`.

        Parameters
        ----------
        segments : mapping of str to segment
            What each is called, and the segment of the dataset (its name, or what ``dataset.prepare`` takes).
        save : bool
            Keep the days too: ``results-NAME.pkl``, a frame with the columns ``IC`` and ``Rank IC``. Qlib saves a
            dictionary with their means, which are metrics here: ``NAME.IC``, ``NAME.ICIR`` …

        Raises
        ------
        ConfigError
            When no segment is given.
        """
        refuse_inputs(self, kwargs, "segments, save")
        if not segments:
            raise ConfigError(
                "MultiSegRecord.generate was given no segments",
                hint="call it from a program: generate({'train': 'train', 'test': 'test'}, save=True)",
            )
        for name, segment in segments.items():
            scores = take_column(self.model.predict(self.dataset, segment), what="prediction")
            label = read_labels(self.dataset, segment)
            ic, ric = calc_ic(scores, take_column(label, what="label", column=0))
            metrics = to_recorder_metrics(summarise(ic, ric).metrics())
            self.recorder.log_metrics(step=None, **keep_finite({f"{name}.{key}": metrics[key] for key in metrics}))
            if save:
                self.save(**{f"results-{name}.pkl": pd.DataFrame({"IC": ic, "Rank IC": ric})})
            _logger.info("record.segment_judged name=%s days=%d", name, len(ic))


class ValidationRecord(RecordTemp):
    """The daily coefficients of a model on the segment ``valid``, by which a search may choose without a test session.

    Artifact ``validation/daily_ic.pkl``: a frame by ``datetime`` with the columns ``ic`` and ``rank_ic`` (float64, NaN
    on a day without one), of the scores and the first raw label.

    .. warning:: **Look-ahead.** A model that stopped early, or was chosen, by the segment ``valid`` is judged too well
       by these: they rank candidates, and say nothing of how well the best predicts.
    """

    artifact_path = "validation"

    def __init__(
        self, model: Model | None = None, dataset: TaskDataset | None = None, recorder: Recorder | None = None
    ) -> None:
        super().__init__(recorder=recorder)
        self.model = model
        self.dataset = dataset

    def generate(self, **kwargs: Any) -> None:
        """Score the segment ``valid``, and save its daily coefficients.

        Raises
        ------
        ConfigError
            For an argument: scores and labels come from the model and the dataset alone.
        ModelError
            When what the model returned is no score for exactly the rows of the segment.
        """
        refuse_inputs(self, kwargs, "nothing")
        if self.model is None or self.dataset is None:
            raise ModelError("ValidationRecord needs a model and a dataset", hint="in a task: <MODEL> and <DATASET>")
        expected = self.dataset.inference_index("valid")
        scores = check_scores(self.model.predict(self.dataset, "valid"), expected, model=self.model)
        label = read_labels(self.dataset, "valid")
        ic, rank_ic = calc_ic(scores, take_column(label, what="label", column=0))
        self.save(**{"daily_ic.pkl": pd.DataFrame({"ic": ic, "rank_ic": rank_ic})})

    def list(self) -> list[str]:
        """Return the names of what `generate` saves."""
        return ["daily_ic.pkl"]
