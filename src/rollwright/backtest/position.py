"""What a strategy by weights is given as its current position: a copy, under Qlib's names."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Holding", "Position"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """One holding.

    Attributes
    ----------
    amount : float
        Adjusted shares.
    price : float
        The last close before the session; what is held was priced once.
    count : int
        Closes it has seen.
    """

    amount: float
    price: float
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Cash and holdings before the orders of a session, valued at the last closes before it. Reading changes nothing.

    Attributes
    ----------
    cash : float
        Cash that can be spent.
    holdings : dict of str to Holding
        By code, sorted.
    """

    cash: float
    holdings: dict[str, Holding]

    def get_cash(self) -> float:
        """Return the cash."""
        return self.cash

    def get_stock_list(self) -> list[str]:
        """Return the codes of what is held."""
        return list(self.holdings)

    def check_stock(self, code: str) -> bool:
        """Tell whether `code` is held."""
        return code in self.holdings

    def get_stock_amount(self, code: str) -> float:
        """Return the adjusted shares of `code`, 0 where none is held."""
        return self.holdings[code].amount if code in self.holdings else 0.0

    def get_stock_amount_dict(self) -> dict[str, float]:
        """Return the adjusted shares by code."""
        return {code: holding.amount for code, holding in self.holdings.items()}

    def get_stock_price(self, code: str) -> float:
        """Return the last known price of a holding."""
        return self.holdings[code].price

    def get_stock_count(self, code: str, bar: str = "day") -> int:  # noqa: ARG002 - Qlib's argument; bars are days
        """Return how many closes `code` has been held for, 0 where it is not."""
        return self.holdings[code].count if code in self.holdings else 0

    def calculate_stock_value(self) -> float:
        """Return the value of the holdings."""
        return sum(holding.amount * holding.price for holding in self.holdings.values())

    def calculate_value(self) -> float:
        """Return the value of holdings and cash."""
        return self.calculate_stock_value() + self.cash

    def get_stock_weight_dict(self, only_stock: bool = False) -> dict[str, float]:  # noqa: FBT001, FBT002 - Qlib's
        """Return the weights by code: of the holdings alone, or of holdings and cash."""
        whole = self.calculate_stock_value() if only_stock else self.calculate_value()
        return {code: holding.amount * holding.price / whole for code, holding in self.holdings.items()}

    def get_stock_weight(self, code: str) -> float:
        """Return the weight of a holding in holdings and cash, 0 where it is not held."""
        return self.get_stock_weight_dict().get(code, 0.0)
