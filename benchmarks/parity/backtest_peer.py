"""Back-test with Qlib, in the peer's environment: python backtest_peer.py REQUEST.json"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import qlib
from qlib.contrib.evaluate import backtest_daily
from qlib.contrib.strategy import TopkDropoutStrategy, WeightStrategyBase, cost_control
from qlib.contrib.strategy.order_generator import OrderGenWInteract, OrderGenWOInteract

_choice = np.random.choice


def _choose_names(names, count, replace):
    """Draw as NumPy does, but names that are `str`: Qlib fails where some are `numpy.str_` and others are not."""
    return [str(name) for name in _choice(names, count, replace=replace)]


GENERATORS = {one.__name__: one for one in (OrderGenWInteract, OrderGenWOInteract)}


class SoftTopk(WeightStrategyBase):
    """Qlib's rule in a class that can be built: its own gives its base arguments by position, which that refuses."""

    def __init__(self, *, topk, max_sold_weight=1.0, buy_method="first_fill", **kwargs):
        super().__init__(**kwargs)
        self.topk, self.max_sold_weight, self.buy_method = topk, max_sold_weight, buy_method

    generate_target_weight_position = cost_control.SoftTopkStrategy.generate_target_weight_position


class FixedWeights(WeightStrategyBase):
    """So much weight for the best, so much for the second."""

    def __init__(self, *, weights, **kwargs):
        super().__init__(**kwargs)
        self.weights = weights

    def generate_target_weight_position(self, score, current, trade_start_time, trade_end_time):  # noqa: ARG002
        best = score.sort_values(ascending=False).index
        return dict(zip(best, self.weights, strict=False))


CLASSES = {"TopkDropoutStrategy": TopkDropoutStrategy, "SoftTopkStrategy": SoftTopk, "FixedWeights": FixedWeights}


def _shorten(value):
    """Return a number of ten digits: they are compared to six."""
    return float(f"{value:.10g}")


def main() -> None:
    np.random.choice = _choose_names
    cost_control.set = list  # the best are filled in order, not in that of a hash
    request = json.loads(Path(sys.argv[1]).read_text())
    qlib.init(provider_uri=request["provider"], kernels=1, logging_level=50, region="us", expression_cache=None)
    rows = [(pd.Timestamp(day), name, score) for day, name, score in request["scores"]]
    scores = pd.DataFrame(rows, columns=["datetime", "instrument", "score"]).set_index(["datetime", "instrument"])
    benchmark = pd.Series(0.0, pd.DatetimeIndex(request["days"]))
    answers = []
    for setting in request["settings"]:
        strategy = dict(setting["strategy"])
        np.random.seed(strategy.pop("seed", 0))  # noqa: NPY002 - what Qlib draws from
        made_of = CLASSES[strategy.pop("class", "TopkDropoutStrategy")]
        if "generator" in strategy:
            strategy["order_generator_cls_or_obj"] = GENERATORS[strategy.pop("generator")]
        exchange = dict(setting["exchange"])
        if isinstance(exchange.get("deal_price"), list):
            exchange["deal_price"] = tuple(f"${field}" for field in exchange["deal_price"])
        report, positions = backtest_daily(
            request["days"][setting["start"]],
            request["days"][setting["end"]],
            made_of(signal=scores["score"], **strategy),
            account=setting["account"],
            benchmark=benchmark,
            exchange_kwargs=exchange,
        )
        held = [
            {code: _shorten(positions[day].get_stock_amount(code)) for code in sorted(positions[day].get_stock_list())}
            for day in report.index
        ]
        columns = {name: [_shorten(value) for value in report[name]] for name in report.columns if name != "bench"}
        answers.append({"report": columns, "positions": held})
    Path(request["answer"]).write_text(json.dumps(answers))


if __name__ == "__main__":
    main()
