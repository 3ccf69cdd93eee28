"""The operators that expressions may call: the built-in ones, and those the user registers."""

from __future__ import annotations

from typing import Final

from rollwright.expression.operators.cross_section import CROSS_SECTION
from rollwright.expression.operators.elementwise import ELEMENTWISE
from rollwright.expression.operators.pair import PAIR
from rollwright.expression.operators.period import PERIOD
from rollwright.expression.operators.registry import Operator, OperatorTable
from rollwright.expression.operators.rolling import ROLLING

__all__ = ["OPERATORS", "register"]

OPERATORS: Final = OperatorTable([*ELEMENTWISE, *ROLLING, *PAIR, *CROSS_SECTION, *PERIOD])


def register(*operators: Operator) -> None:
    """Make operators of your own callable in expressions, in this process.

    A worker process knows them when it imports the module that registers them.

    Raises
    ------
    ConfigError
        When a name is taken: an expression must mean one thing.
    """
    OPERATORS.add(*operators)
