"""The expressions by period that both sides of `pit.py` compute; it imports nothing of either side."""

from __future__ import annotations

from typing import Final

FIELDS: Final = ("roewa_q", "yoyni_q", "revenue_q")
_FORMS: Final = (
    "P({0})", "P(Ref({0},1))", "P(Mean({0},4))", "P(Ref({0},4))", "P({0}-Ref({0},4))", "P(Sum({0},4))", "P(Std({0},8))",
    "P(Max({0},8))", "P({0}/Mean({0},8))", "P(Mean({0},4)/Ref({0},4))",
)  # fmt: skip


def expressions_by_period(count: int) -> list[str]:
    """Return the first of thirty expressions: ten forms of three fields, field by field within a form."""
    return [form.format(f"$${field}") for form in _FORMS for field in FIELDS][:count]
