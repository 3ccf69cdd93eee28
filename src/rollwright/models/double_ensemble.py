"""DoubleEnsemble (Zhang et al., 2020): sub-models of LightGBM, each learning from other weights and other features.

A fit goes through these steps:

1. The segments are read and checked as for one LightGBM (`tabular`, `folds`); the reweighter's weights are computed.
2. A sub-model learns. The first one has all features and the reweighter's weights: it is an `LGBModel`.
3. The weights of the samples are found anew from how their losses went while it learnt (`trajectory_weights`).
4. Features are drawn by what shuffling them costs the ensemble so far (`shuffled_features`).
5. From 2. again, until there are `num_models`. The score is the mean of theirs, weighted by `sub_weights`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.core.fit_rounds import part_of_fit
from rollwright.errors import ConfigError, ModelError
from rollwright.models.folds import ModelDataset, SampleWeighter, TrainingFold, sample_weights
from rollwright.models.learning import Learning
from rollwright.models.lightgbm import LGBModel
from rollwright.models.lightgbm_library import load_lightgbm
from rollwright.models.mapped_reading import drop_while_copied
from rollwright.models.shuffled_features import draw_features, shuffle_gains
from rollwright.models.tabular import TabularModel, first_given, read_training_folds, row_blocks
from rollwright.models.trajectory_weights import Floats, rank_share, trajectory_rounds, trajectory_weights

__all__ = ["DEnsembleModel", "SubModel"]

_logger: Final = logging.getLogger("rollwright.models")
_ROWS: Final = 1 << 16  # scored at a time, so that a copy of the features of a sub-model takes some 30 MB
_DECAY: Final = 0.5
_RATIOS: Final = (0.8, 0.7, 0.6, 0.5, 0.4)
_PERIOD: Final = 20
_TINY: Final = 1e-15
_SEEDS: Final = ("seed", "random_seed", "random_state")

Weights = Mapping[str, NDArray[np.float32] | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class SubModel:
    """One member of the ensemble.

    Attributes
    ----------
    columns : tuple of int
        The features that it learnt from, by their place among all, rising.
    trees : LGBModel
    """

    columns: tuple[int, ...]
    trees: LGBModel

    def take(self, features: NDArray[Any]) -> NDArray[Any]:
        """Return its columns of `features`, which is itself where these are all."""
        if len(self.columns) == features.shape[1]:
            return features
        return np.take(features, self.columns, axis=1)


class DEnsembleModel(TabularModel):
    """An ensemble of LightGBM models by DoubleEnsemble, with the constructor of Qlib's ``DEnsembleModel``.

    Guarantees: the same dataset, parameters and seed give the same bytes of every sub-model, on one host and one
    version of LightGBM. With ``num_models: 1`` it is an `LGBModel` of the same parameters, bit for bit. A sub-model
    that does not learn from all features takes one copy of its columns while it learns.

    .. warning:: **Look-ahead.** Weights and features are chosen from the segment ``train`` alone; ``valid`` is watched
       by every sub-model, and with `early_stopping_rounds` decides how many trees it keeps.

    Parameters
    ----------
    base_model : {"gbm"}
        What the sub-models are: LightGBM.
    loss : {"mse", "binary"}
        The objective, and the loss of a sample by which weights and features are chosen. An ``objective`` among
        `kwargs` replaces the first of the two.
    num_models : int
        How many sub-models.
    enable_sr, enable_fs : bool
        Whether weights are found anew and features are drawn between them.
    alpha1, alpha2 : float
        How much a small loss, and one that did not fall, lower a weight; neither negative.
    bins_sr, bins_fs : int
        How many bins the weights and the features are divided into.
    decay : float, optional
        Its k-th power multiplies the bin's value after k sub-models: below 1, weights become more alike. 0.5 if not
        given.
    sample_ratios : sequence of float, optional
        The share of the features drawn from each bin, that of the most useful ones first; one for each of `bins_fs`.
        0.8, 0.7, 0.6, 0.5, 0.4 if not given.
    sub_weights : sequence of float, optional
        The weight of each sub-model in the score; one for each of `num_models`, the first above 0. Equal if not given.
    epochs : int
        Rounds of each sub-model at most; LightGBM's names for it count too.
    early_stopping_rounds : int or None
        Stop a sub-model when the ``valid`` segment has not improved for so many rounds; None or 0 switches it off.
    seed : int, optional
        Of LightGBM, of shuffling and of drawing; a trainer sets the task's own. 0 for the latter two if not given.
    **kwargs
        Parameters of LightGBM, passed on as they are to every sub-model.

    Attributes
    ----------
    params : dict
        What LightGBM is given.
    model : tuple of SubModel or None
        None before `fit`.
    feature_names_ : tuple of str
        Names of the features in column order.
    """

    def __init__(
        self,
        base_model: str = "gbm",
        loss: str = "mse",
        num_models: int = 6,
        enable_sr: bool = True,  # noqa: FBT001, FBT002 - Qlib's signature
        enable_fs: bool = True,  # noqa: FBT001, FBT002 - Qlib's signature
        alpha1: float = 1.0,
        alpha2: float = 1.0,
        bins_sr: int = 10,
        bins_fs: int = 5,
        decay: float | None = None,
        sample_ratios: Sequence[float] | None = None,
        sub_weights: Sequence[float] | None = None,
        epochs: int = 100,
        early_stopping_rounds: int | None = None,
        *,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        if base_model != "gbm":
            raise ConfigError(
                f"DEnsembleModel knows the base_model `gbm`, which is LightGBM, and not `{base_model}`",
                hint="leave it out",
            )
        trees = LGBModel(loss, early_stopping_rounds, epochs, seed=seed, **kwargs)
        self.base_model = base_model
        self.loss = loss
        self.num_models = _count("num_models", num_models)
        self.enable_sr = enable_sr
        self.enable_fs = enable_fs
        self.alpha1 = _number("alpha1", alpha1)
        self.alpha2 = _number("alpha2", alpha2)
        self.bins_sr = _count("bins_sr", bins_sr)
        self.bins_fs = _count("bins_fs", bins_fs)
        self.decay = _number("decay", _DECAY if decay is None else decay, above=True)
        if sample_ratios is None and self.bins_fs != len(_RATIOS):
            raise ConfigError(
                f"DEnsembleModel has {self.bins_fs} bins of features and was not told what share to draw from each",
                hint=f"give sample_ratios with {self.bins_fs} numbers, that of the most useful features first",
            )
        self.sample_ratios = _list("sample_ratios", sample_ratios or _RATIOS, self.bins_fs, "bins_fs", most=1.0)
        self.sub_weights = _list("sub_weights", sub_weights or [1.0] * num_models, self.num_models, "num_models")
        self.epochs = trees.num_boost_round
        self.early_stopping_rounds = early_stopping_rounds
        self.params = trees.params
        self.model: tuple[SubModel, ...] | None = None
        self.feature_names_ = ()

    unknown_parameters = staticmethod(LGBModel.unknown_parameters)

    @property
    def ensemble(self) -> list[Any]:
        """The LightGBM boosters of the sub-models; empty before `fit`."""
        return [member.trees.model for member in self.model or ()]

    @property
    def sub_features(self) -> list[tuple[str, ...]]:
        """The names of the features that each sub-model learnt from; empty before `fit`."""
        return [tuple(self.feature_names_[place] for place in member.columns) for member in self.model or ()]

    def __repr__(self) -> str:
        state = "fitted" if self.model is not None else "not fitted"
        return f"DEnsembleModel(num_models={self.num_models}, loss={self.loss!r}, {state})"

    def fit(self, dataset: ModelDataset, reweighter: SampleWeighter | None = None) -> None:
        """Learn from the segment ``train`` and watch the segment ``valid`` where there is one.

        Parameters
        ----------
        dataset : DatasetH
            Gives ``segments`` and ``fold(segment, data_key="learn")``.
        reweighter : object, optional
            Has ``reweight(frame)``: one weight per row of the segment. Those that the method finds multiply them.

        Raises
        ------
        ModelError
            When a segment has no rows, only NaN labels or infinite values, and when LightGBM refuses the parameters or
            the data.
        """
        load_lightgbm()
        folds = read_training_folds(dataset)
        given = {key: sample_weights(dataset, reweighter, fold, segment=key) for key, fold in folds.items()}
        learning = _Learning(model=self, folds=folds, given=given, rng=np.random.default_rng(self._seed()))
        members = learning.run()
        self.model, self.feature_names_ = tuple(members), tuple(folds["train"].names)

    def new_trees(self) -> LGBModel:
        """Return an unfitted LightGBM model with the parameters of a sub-model."""
        return LGBModel(self.loss, self.early_stopping_rounds, self.epochs, **self.params)

    def get_feature_importance(self, *args: Any, **kwargs: Any) -> pd.Series:
        """Return the importance of every feature, largest first: the weighted sum of those of the sub-models.

        Parameters
        ----------
        importance_type : {"split", "gain"}
            By number of splits, which is the default, or by their gain.
        """
        total = np.zeros(len(self.feature_names_))
        kind = "split"
        for member, weight in zip(self._require_fitted(), self.sub_weights, strict=True):
            found = member.trees.get_feature_importance(*args, **kwargs)
            kind = str(found.name)
            own = found.reindex(list(member.trees.feature_names_)).to_numpy()
            total[list(member.columns)] += weight * own
        series = pd.Series(total, index=list(self.feature_names_), name=kind)
        return series.sort_values(ascending=False, kind="stable")

    def tell_learning(self) -> Learning | None:
        """Return the evaluation by round of every sub-model and the share of each feature; None before `fit`."""
        if self.model is None:
            return None
        history = {
            f"{segment}, sub-model {number}": metrics
            for number, member in enumerate(self.model, 1)
            for segment, metrics in member.trees.evals_result_.items()
        }
        weights = self.get_feature_importance("gain")
        return Learning.of(
            history, basis="gain", weights=[(str(name), float(value)) for name, value in weights.items()]
        )

    def contributions(self, features: NDArray[Any]) -> NDArray[np.float64]:
        """Return for each row what each feature adds to its score (LightGBM's SHAP values), and last the rest.

        Raises
        ------
        ModelError
            For an objective whose score is not a sum, as ``binary``: a mean of probabilities cannot be split so.
        """
        members = self._require_fitted()
        told = np.zeros((len(features), len(self.feature_names_) + 1))
        for member, weight in zip(members, self.sub_weights, strict=True):
            if not member.trees.has_plain_scores:
                raise ModelError(
                    f"the scores of objective {self.params.get('objective')!r} are no sums of what features add",
                    hint="an ensemble of regressions tells them: loss `mse`",
                )
            told[:, [*member.columns, -1]] += weight * member.trees.contributions(member.take(features))
        return told / math.fsum(self.sub_weights)

    def _score(self, features: NDArray[Any], segment: str) -> NDArray[Any]:  # noqa: ARG002 - the port's signature
        members = self._require_fitted()
        scores = np.empty(len(features))
        for rows in row_blocks(len(features), _ROWS):
            block = features[rows]
            scores[rows] = self.blend([member.trees.score(member.take(block)) for member in members])
        return scores

    def blend(self, scores: Sequence[Floats]) -> Floats:
        """Return the weighted mean of the scores of the first sub-models, one array each."""
        weights = self.sub_weights[: len(scores)]
        total = weights[0] * scores[0]
        for weight, other in zip(weights[1:], scores[1:], strict=True):
            total = total + weight * other
        mean: Floats = total / math.fsum(weights)
        return mean

    def _seed(self) -> int:
        return int(first_given(self.params, _SEEDS, 0))


@dataclass(slots=True, kw_only=True)
class _Learning:
    """One fit: the sub-models so far, and the score of each training sample by each."""

    model: DEnsembleModel
    folds: Mapping[str, TrainingFold]
    given: Weights
    rng: np.random.Generator
    members: list[SubModel] = field(default_factory=list)
    scores: list[Floats] = field(default_factory=list)

    def run(self) -> list[SubModel]:
        model, train = self.model, self.folds["train"]
        columns = tuple(range(len(train.names)))
        weights = self.given
        for number in range(model.num_models):
            with part_of_fit(number, model.num_models, rounds=model.epochs):
                self._learn(columns, weights)
            _logger.info(
                "model.sub_model number=%d of=%d features=%d rounds=%d",
                number + 1, model.num_models, len(columns), self.members[-1].trees.best_iteration_,
            )  # fmt: skip
            if number + 1 == model.num_models or not (model.enable_sr or model.enable_fs):
                continue
            self.scores.append(self._scores_of(self.members[-1]))
            losses = self._loss(model.blend(self.scores))
            if model.enable_sr:
                weights = self._find_weights(losses)
            if model.enable_fs:
                columns = self._find_columns(losses)
        return self.members

    def _learn(self, columns: tuple[int, ...], weights: Weights) -> None:
        model = self.model
        member = SubModel(columns=columns, trees=model.new_trees())
        folds = {key: _narrow(fold, member) for key, fold in self.folds.items()}
        patience = model.early_stopping_rounds
        member.trees.learn_folds(
            folds, weights, rounds=model.epochs, patience=patience if patience and "valid" in folds else None,
            period=_PERIOD,
        )  # fmt: skip
        self.members.append(member)

    def _find_weights(self, losses: Floats) -> Weights:
        """Return the weights for the next sub-model: the method's for ``train``, times those given."""
        model, last = self.model, self.members[-1]
        start, end = (
            np.mean([rank_share(self._loss(self._scores_of(last, count))) for count in counts], axis=0)
            for counts in trajectory_rounds(last.trees.best_iteration_)
        )
        found = trajectory_weights(
            start, end, losses, alpha1=model.alpha1, alpha2=model.alpha2, bins=model.bins_sr,
            decay=model.decay ** len(self.members),
        )  # fmt: skip
        given = self.given["train"]
        train = (found if given is None else found * given).astype(np.float32)
        return {**self.given, "train": train}

    def _find_columns(self, losses: Floats) -> tuple[int, ...]:
        """Return the features that the next sub-model learns from."""
        model = self.model
        asks = [_asked(member) for member in self.members]

        def loss_of(block: NDArray[Any], feature: int, rows: slice) -> Floats:
            scores = [
                member.trees.score(member.take(block)) if feature in asked else known[rows]
                for member, asked, known in zip(self.members, asks, self.scores, strict=True)
            ]
            return self._loss(model.blend(scores), rows)

        gains = shuffle_gains(self.folds["train"].features, sorted(set().union(*asks)), loss_of, losses, rng=self.rng)
        return tuple(draw_features(gains, ratios=model.sample_ratios, rng=self.rng).tolist())

    def _scores_of(self, member: SubModel, rounds: int | None = None) -> Floats:
        """Return the scores of the training samples by `member`, after so many rounds or all."""
        features = self.folds["train"].features
        with drop_while_copied([features]):
            return np.concatenate(
                [
                    member.trees.score(member.take(features[rows]), rounds=rounds)
                    for rows in row_blocks(len(features), _ROWS)
                ]
            )

    def _loss(self, scores: Floats, rows: slice = slice(None)) -> Floats:
        """Return the loss of each of the training samples `rows`."""
        label = self.folds["train"].label[rows].astype(np.float64)
        if self.model.loss == "mse":
            return (label - scores) ** 2
        chance = np.clip(scores, _TINY, 1.0 - _TINY)
        return -(label * np.log(chance) + (1.0 - label) * np.log1p(-chance))


def _narrow(fold: TrainingFold, member: SubModel) -> TrainingFold:
    """Return the columns of `fold` that `member` learns from: the fold itself where these are all."""
    if len(member.columns) == len(fold.names):
        return fold
    with drop_while_copied([fold.features]):
        features = member.take(fold.features)
    return replace(fold, features=features, names=tuple(fold.names[place] for place in member.columns))


def _asked(member: SubModel) -> frozenset[int]:
    """Return the features that any tree of `member` splits on."""
    splits = member.trees.model.feature_importance(importance_type="split")
    return frozenset(place for place, count in zip(member.columns, splits, strict=True) if count)


def _count(name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(f"DEnsembleModel cannot work with {name} = {value!r}", hint="give a whole number, 1 at least")
    return value


def _number(name: str, value: object, *, above: bool = False) -> float:
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not good or float(value) < 0 or (above and not value):  # type: ignore[arg-type]  # it is a number by now
        wanted = "above 0" if above else "0 at least"
        raise ConfigError(f"DEnsembleModel cannot work with {name} = {value!r}", hint=f"give a number, {wanted}")
    return float(value)  # type: ignore[arg-type]  # it is a number by now


def _list(name: str, values: object, size: int, of: str, *, most: float = math.inf) -> list[float]:
    if isinstance(values, str) or not isinstance(values, Sequence) or len(values) != size:
        raise ConfigError(
            f"DEnsembleModel has {of} = {size}, and {name} is {values!r}", hint=f"give {size} numbers, one for each"
        )
    found = [_number(name, value) for value in values]
    if not found[0] or max(found) > most:
        raise ConfigError(
            f"DEnsembleModel cannot work with {name} = {values!r}",
            hint="the first number must be above 0" + (f", and none above {most:g}" if most < math.inf else ""),
        )
    return found
