"""EnhancedIndexingStrategy: beat an index with little risk against it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.backtest.index_optimizer import EnhancedIndexingOptimizer
from rollwright.backtest.position import Position
from rollwright.backtest.risk_model import RiskModel, read_risk_model
from rollwright.backtest.strategy import Account, Order, TradingDay
from rollwright.backtest.weight_strategy import WeightStrategyBase
from rollwright.errors import ConfigError

__all__ = ["EnhancedIndexingStrategy"]

_logger: Final = logging.getLogger("rollwright.backtest")


class EnhancedIndexingStrategy(WeightStrategyBase):
    """Weights near those of an index, moved towards the scores as far as a risk model allows.

    Each session goes by the risk model, the index's weights and the volume of the session before: what had no volume
    is held as it is, what is on the blacklist is sold, and `EnhancedIndexingOptimizer` chooses the weights of the
    others. Instruments of the risk model without a score count as the worst. A session before which there is no risk
    model trades nothing, and the log says so.

    Parameters
    ----------
    riskmodel_root : path
        Folders by session, see `read_risk_model`.
    market : str
        The field ``{market}_weight`` of the market holds the weights of the index; missing ones are 0.
    turn_limit : None
        Only None: Qlib takes it and does nothing with it; the limit is ``optimizer_kwargs={"delta": …}``.
    name_mapping : mapping, optional
        Other names of the risk model's files.
    optimizer_kwargs : mapping, optional
        Of `EnhancedIndexingOptimizer`.
    verbose : bool
        Log the number of holdings of each session.
    **kwargs
        As in `WeightStrategyBase`.

    Raises
    ------
    ConfigError
        For what is not simulated; for instruments of the risk model that the predictions do not name.
    MissingExtraError
        Without ``pip install "rollwright[optimizer]"``.
    DataError
        For files of the risk model that are missing or do not fit.
    """

    def __init__(
        self,
        *,
        riskmodel_root: str | Path,
        market: str = "csi500",
        turn_limit: None = None,
        name_mapping: Mapping[str, str] | None = None,
        optimizer_kwargs: Mapping[str, Any] | None = None,
        verbose: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if turn_limit is not None:
            raise ConfigError(
                f"turn_limit = {turn_limit}: nothing goes by it, in Qlib either", hint='optimizer_kwargs={"delta": …}'
            )
        self.riskmodel_root = Path(riskmodel_root)
        self.market = market
        self.name_mapping = dict(name_mapping or {})
        self.optimizer = EnhancedIndexingOptimizer(**dict(optimizer_kwargs or {}))
        self.verbose = verbose

    @property
    def fields(self) -> Sequence[str]:
        """The weights of the index, and the volume."""
        return (f"{self.market}_weight", "volume")

    def decide(self, day: TradingDay, account: Account) -> Iterator[Order]:
        """Return the orders of one session; see the class."""
        position, score = self.read_session(day, account)
        before = pd.Timestamp(self._dates(day)[day.number - 1])
        risk = read_risk_model(self.riskmodel_root, before, self.name_mapping)
        if risk is None:
            _logger.warning("backtest.risk_model_missing session=%s action=nothing_traded", f"{before:%Y-%m-%d}")
            return
        target = self._optimize(risk, score, position, day)
        yield from self.order_generator.generate(target, self.get_risk_degree(day.number), day, account)

    def generate_target_weight_position(
        self,
        score: Any,  # noqa: ARG002
        current: Any,  # noqa: ARG002
        trade_start_time: Any,  # noqa: ARG002
        trade_end_time: Any,  # noqa: ARG002
    ) -> Mapping[str, float] | None:
        """Raise: the weights of the index and the volume are those of a session of a back-test, see `decide`."""
        raise ConfigError(
            "the weights go by the index's weights and the volume of a session, which are not given here",
            hint="back-test the strategy",
        )

    def _optimize(
        self, risk: RiskModel, score: pd.Series[float], position: Position, day: TradingDay
    ) -> dict[str, float]:
        places = {name: place for place, name in enumerate(day.names or ())}
        unknown = [code for code in risk.instruments if code not in places]
        if unknown:
            raise ConfigError(
                f"the risk model has {len(unknown)} instruments that the predictions do not name: {unknown[0]}",
                hint="give them rows in the predictions, with a missing score, or leave them out of the risk model",
            )
        columns = np.array([places[code] for code in risk.instruments], dtype=np.intp)
        index_weight, volume = (day.fields[name][columns] for name in self.fields)
        weights = position.get_stock_weight_dict(only_stock=False)
        held = np.array([weights.get(code, 0.0) for code in risk.instruments])
        found: NDArray[np.float64] = self.optimizer(
            r=np.asarray(score.reindex(list(risk.instruments)).fillna(score.min()), dtype=np.float64),
            F=risk.exposure,
            cov_b=risk.covariance,
            var_u=risk.specific**2,
            w0=held / self.get_risk_degree(day.number),
            wb=np.nan_to_num(index_weight),
            mfh=~(volume > 0),
            mfs=np.array([code in risk.blacklist for code in risk.instruments], dtype=np.bool_),
        )
        found = found / max(float(found.sum()), 1.0)  # present weights that are kept may have grown beyond 1
        target = {code: float(weight) for code, weight in zip(risk.instruments, found, strict=True) if weight > 0}
        if self.verbose:
            _logger.info("backtest.weights_chosen session=%d instruments=%d", day.number, len(target))
        return target
