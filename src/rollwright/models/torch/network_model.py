"""Base class of the models whose scores a network of PyTorch computes."""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from types import ModuleType
from typing import Any, ClassVar, Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.config.construct import get_class, init_instance_by_config
from rollwright.core.fit_checkpoint import find_checkpoint_place
from rollwright.core.optional import require
from rollwright.errors import ConfigError, ModelError
from rollwright.models.folds import ModelDataset, SampleWeighter, TrainingFold, sample_weights
from rollwright.models.learning import Learning
from rollwright.models.tabular import (
    TabularModel,
    finite_or_none,
    join_names,
    map_history,
    names_with_missing,
    nan_if_none,
    read_training_folds,
)
from rollwright.models.torch.checkpoint import CheckpointWriter
from rollwright.models.torch.samples import RowSamples, Samples, TrainingSet, WindowDataset, read_windows
from rollwright.models.torch.training_plan import TrainingPlan, check_whole

__all__ = ["NetworkModel", "import_part", "name_network", "own_arguments", "read_device", "read_seed"]

EXTRA: Final = "torch"
NETWORKS: Final = "rollwright.models.torch.networks"


class NetworkModel(TabularModel):
    """Base class: a derived class says which network learns, and how.

    Guarantees: the same dataset, parameters and seed give the same bytes of weights and the same scores, on one machine
    and one version of PyTorch, whatever else the process computes; scores are computed on the CPU, wherever the
    network learnt, and those of a session are the same bits whether it is scored alone or with others.

    Rows with a NaN feature are refused; those with a NaN label are left out.

    Attributes
    ----------
    params : dict
        What the constructor was given.
    model : torch.nn.Module or None
        The network, on the CPU; None before `fit`.
    best_iteration_ : int
        The round whose weights were kept, counted from 1; 0 before `fit`.
    evals_result_ : dict
        ``{segment: {metric: [one value per round]}}``.
    """

    windowed: ClassVar[bool | None] = None
    """Whether it learns from windows of a `TSDatasetH`; None: from rows and from windows alike."""

    def __init__(self, params: dict[str, Any]) -> None:
        self.params = params
        self.model: Any = None
        self.best_iteration_ = 0
        self.evals_result_: dict[str, dict[str, list[float]]] = {}
        self.feature_names_ = ()
        self.plan()  # refuses what cannot be
        self.network_config()

    @abstractmethod
    def plan(self) -> TrainingPlan:
        """Return how the network learns.

        Raises
        ------
        ConfigError
        """

    def plan_terms(self) -> dict[str, Any]:
        """Return what Qlib's arguments of all networks mean for the plan."""
        given = self.params
        return {
            "batch_size": given["batch_size"],
            "seed": read_seed(given["seed"]),
            "lr": given["lr"],
            "metric": given["metric"] or "loss",
            "loss": given["loss"],
            "optimizer": str(given["optimizer"]).lower(),
            "device": read_device(given["GPU"]),
            "threads": given["num_threads"],
        }

    @abstractmethod
    def network_config(self) -> dict[str, Any]:
        """Return which network learns: ``{class, module_path, kwargs}``."""

    def __repr__(self) -> str:
        state = "not fitted" if self.model is None else f"fitted, round {self.best_iteration_}"
        return f"{type(self).__name__}({state})"

    def fit(  # type: ignore[override]  # Qlib's, too, disagree with `Model` on the place of reweighter
        self,
        dataset: ModelDataset,
        evals_result: dict[str, Any] | None = None,
        verbose_eval: int | None = 20,
        reweighter: SampleWeighter | None = None,
    ) -> None:
        """Learn from the segment ``train`` and watch the segment ``valid`` where there is one.

        .. warning:: **Look-ahead.** The ``valid`` segment decides which round is kept. A label that reads sessions of
           the test segment leaks through it as through ``train``: purge both.

        Parameters
        ----------
        dataset : DatasetH or TSDatasetH
        evals_result : dict, optional
            Gets what `evals_result_` holds, too.
        verbose_eval : int or None
            Log the evaluation every so many rounds; None or 0 logs none.
        reweighter : object, optional
            Has ``reweight(frame)``: one weight per row of the segment; of windows, per row they end with.

        Raises
        ------
        ModelError
            When a segment has no rows, only NaN labels, infinite values or NaN features; when learning diverges; and
            when PyTorch refuses to compute the network.
        MissingExtraError
            When PyTorch is not installed.
        """
        training = import_part("training")
        network = self.build_network()
        windows = self._windows_of(dataset)
        folds = read_training_folds(dataset)
        sets = {key: self._read_set(dataset, fold, key, reweighter, windows) for key, fold in folds.items()}
        names = folds["train"].names
        del folds
        trained = training.train_network(
            network,
            self.plan(),
            sets["train"],
            sets.get("valid"),
            period=verbose_eval,
            checkpoint=self._open_checkpoint(names, sets),
        )
        self.model, self.best_iteration_ = network, trained.best
        self.evals_result_ = trained.history
        self.feature_names_ = names
        if evals_result is not None:
            evals_result.update(self.evals_result_)

    def build_network(self) -> Any:
        """Return a new network with its first weights, which are drawn from the seed.

        Raises
        ------
        ConfigError
            When its class or its arguments are refused.
        MissingExtraError
        """
        repeatable = import_part("repeatable").repeatable
        plan = self.plan()
        with repeatable(threads=plan.threads, seed=plan.seed):
            return init_instance_by_config(self.network_config(), slot="network")

    def network_is_ours(self) -> bool:
        """Tell whether the network's class is one of rollwright's."""
        found, _ = get_class(self.network_config(), slot="network")
        return found.__module__ == NETWORKS

    def tell_learning(self) -> Learning | None:
        """Return the evaluation by round; None before `fit`."""
        return None if self.model is None else Learning.of(self.evals_result_, best=self.best_iteration_)

    def state(self) -> dict[str, Any]:
        """Return everything but the weights that a saved model must bring back, as JSON values."""
        return {
            "params": dict(self.params),
            "best_iteration": self.best_iteration_,
            "evals_result": map_history(self.evals_result_, finite_or_none),
            "feature_names": list(self.feature_names_),
        }

    def restore(self, state: Mapping[str, Any], network: Any) -> None:
        """Take what `state` returned, and a network that has its weights."""
        self.model = network
        self.best_iteration_ = int(state["best_iteration"])
        self.evals_result_ = map_history(state["evals_result"], nan_if_none)
        self.feature_names_ = tuple(state["feature_names"])

    def _open_checkpoint(self, names: tuple[str, ...], sets: Mapping[str, TrainingSet]) -> CheckpointWriter | None:
        """Return where this fit notes how far it has come, None where nobody offers a place."""
        place = find_checkpoint_place()
        if place is None:
            return None
        identity = {
            "model": f"{type(self).__module__}.{type(self).__qualname__}",
            "params": self.params,
            "names": list(names),
            "samples": {key: told.digest() for key, told in sets.items()},
            "versions": [version("torch"), version("rollwright")],
        }
        return CheckpointWriter(place, identity)

    def _windows_of(self, dataset: ModelDataset) -> WindowDataset | None:
        """Return `dataset` where the network is to have its windows, None where it is to have its rows.

        Raises
        ------
        ModelError
            When the network takes the other kind only.
        """
        windows = dataset if isinstance(dataset, WindowDataset) else None
        if self.windowed is not None and self.windowed != (windows is not None):
            wanted, other = ("TSDatasetH", "_ts") if self.windowed else ("DatasetH", "")
            raise ModelError(
                f"{type(self).__name__} of {type(self).__module__} learns from a {wanted}, and this is a "
                f"{type(dataset).__name__}",
                hint="take the model of the same name from the module whose name "
                + ("does not end" if other else "ends")
                + " with `_ts`",
            )
        return windows

    def _read_set(
        self,
        dataset: ModelDataset,
        fold: TrainingFold,
        segment: str,
        reweighter: SampleWeighter | None,
        windows: WindowDataset | None,
    ) -> TrainingSet:
        self._refuse_missing(fold.features, fold.names, segment, processors="learn_processors and infer_processors")
        if self.plan().loss == "binary" and bool(((fold.label < 0) | (fold.label > 1)).any()):
            raise ModelError(
                f"segment `{segment}` has labels outside 0 to 1, and the loss `binary` learns labels from 0 to 1",
                hint="make the label 0 or 1 in its expression, as `Ref($close, -2) > Ref($close, -1)`, or take `mse`",
            )
        index = fold.index()
        samples: Samples = RowSamples(fold.features)
        if windows is not None:
            samples = read_windows(windows, segment, index, fold.names, data_key="learn")
        rows = dataset if windows is None else _Rows(dataset)
        return TrainingSet(
            samples=samples,
            label=fold.label,
            weights=sample_weights(rows, reweighter, fold, segment=segment),
            days=np.asarray(index.codes[0], dtype=np.intp),
        )

    def _score_dataset(
        self, dataset: ModelDataset, features: NDArray[Any], index: pd.MultiIndex, segment: str
    ) -> NDArray[Any]:
        windows = self._windows_of(dataset)
        self._refuse_missing(features, self.feature_names_, segment, processors="infer_processors")
        if windows is None:
            return self._score_sessions(features, index, segment)
        samples = read_windows(windows, segment, index, self.feature_names_, data_key="infer")
        return self._score_parts(samples, _sessions(index))

    def _score_sessions(self, features: NDArray[Any], index: pd.MultiIndex, segment: str) -> NDArray[Any]:  # noqa: ARG002 - its name is told before
        return self._score_parts(RowSamples(features), _sessions(index))

    def _score(self, features: NDArray[Any], segment: str) -> NDArray[Any]:
        self._refuse_missing(features, self.feature_names_, segment, processors="infer_processors")
        return self._score_parts(RowSamples(features), iter([np.arange(len(features), dtype=np.intp)]))

    def _score_parts(self, samples: Samples, parts: Iterator[NDArray[np.intp]]) -> NDArray[Any]:
        """Return the scores, each part computed alone: the last bits of a product depend on how many rows it has."""
        training = import_part("training")
        scores = np.empty(len(samples))
        training.score_parts(self._require_fitted(), samples, parts, into=scores, threads=self.plan().threads)
        return scores

    def _refuse_missing(self, features: NDArray[Any], names: tuple[str, ...], segment: str, *, processors: str) -> None:
        missing = names_with_missing(features, names)
        if missing:
            raise ModelError(
                f"{type(self).__name__} does not support NaN, and segment `{segment}` has some in "
                f"{join_names(missing)}",
                hint=f"add the processor Fillna to the handler's {processors}",
            )


class _Rows:
    """A dataset of windows as a reweighter knows datasets: `prepare` gives the frame of its rows."""

    def __init__(self, dataset: ModelDataset) -> None:
        self._dataset = dataset
        self.segments = dataset.segments

    def fold(self, segment: str, *, data_key: Literal["infer", "learn"]) -> Any:
        """Return the rows as arrays."""
        return self._dataset.fold(segment, data_key=data_key)

    def inference_index(self, segment: str) -> pd.MultiIndex:
        """Return the rows to score."""
        return self._dataset.inference_index(segment)

    def prepare(self, segment: str, /, *, col_set: Any, data_key: Literal["infer", "learn"]) -> pd.DataFrame:  # noqa: ARG002 - it is always asked for both groups
        """Return the rows as a frame with the column groups ``feature`` and ``label``."""
        fold = self.fold(segment, data_key=data_key)
        features = pd.DataFrame(fold.features, index=fold.index, columns=list(fold.names))
        label = pd.DataFrame({"LABEL0": fold.label}, index=fold.index)
        return pd.concat({"feature": features, "label": label}, axis=1)


def own_arguments(scope: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a constructor, in their order, from its ``locals()`` before it has others."""
    return {name: value for name, value in scope.items() if name not in ("self", "__class__")}


def read_device(gpu: Any) -> str:
    """Return the device that Qlib's argument ``GPU`` means: a number or its text (below 0: the CPU), or its name.

    Raises
    ------
    ConfigError
        When it means none.
    """
    text = str(gpu).strip()
    if text.lstrip("-").isdigit():
        return "cpu" if int(text) < 0 else f"cuda:{int(text)}"
    if text == "cpu":
        return "cpu"
    kind, _, number = text.partition(":")
    if kind == "cuda" and (not number or number.isdigit()):
        return f"cuda:{int(number or 0)}"
    raise ConfigError(f"`GPU` is {gpu!r}, which is no device", hint="give the number of a GPU, or -1 for the CPU")


def read_seed(seed: Any) -> int:
    """Return the seed that an argument means: 0 where none is given.

    Raises
    ------
    ConfigError
    """
    return 0 if seed is None else check_whole("seed", seed, least=0, most=(1 << 63) - 1)


def name_network(uri: Any, arguments: Any) -> dict[str, Any]:
    """Return the configuration of the network that Qlib's ``pt_model_uri`` and ``pt_model_kwargs`` mean.

    Raises
    ------
    ConfigError
        When they are neither a name nor a mapping.
    """
    if not isinstance(uri, str | Mapping) or not isinstance(arguments, Mapping):
        raise ConfigError(
            f"`pt_model_uri` is {type(uri).__name__} and `pt_model_kwargs` {type(arguments).__name__}",
            hint="give the name of a class, or {class, module_path}, and a mapping of its arguments",
        )
    named = {"class": uri} if isinstance(uri, str) else dict(uri)
    if named.get("kwargs"):
        raise ConfigError("`pt_model_uri` has arguments of its own", hint="give them as `pt_model_kwargs`")
    return {**named, "kwargs": dict(arguments)}


def _sessions(index: pd.MultiIndex) -> Iterator[NDArray[np.intp]]:
    """Yield the places of each session's rows, which follow one another."""
    days = np.asarray(index.codes[0])
    ends = [*(np.flatnonzero(np.diff(days)) + 1).tolist(), len(days)]
    return (np.arange(start, end, dtype=np.intp) for start, end in itertools.pairwise([0, *ends]))


def import_part(name: str) -> ModuleType:
    """Import a module of this package that imports PyTorch.

    Raises
    ------
    MissingExtraError
    """
    require("torch", extra=EXTRA)
    return require(f"rollwright.models.torch.{name}", extra=EXTRA)
