"""Options that all imports of tables take: which instruments the rows are about, and how their texts are read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["Encoding", "OneSymbol", "Source", "SymbolColumn", "SymbolDigits", "Symbols", "Timezone"]

Source = Annotated[Path, typer.Argument(metavar="PATH", help="CSV or Parquet file, or a folder of them.")]
SymbolColumn = Annotated[str | None, typer.Option(help="Column of the instruments' codes.")]
OneSymbol = Annotated[str | None, typer.Option(help="The one instrument of all rows.")]
Symbols = Annotated[
    str | None, typer.Option(help="qlib: 600000.SH, sh.600000 and 600000.XSHG become SH600000. Or as-given.")
]
SymbolDigits = Annotated[int | None, typer.Option(help="Fill codes of digits up with zeros, to so many.")]
Timezone = Annotated[str | None, typer.Option(help="The market's time zone, for dates that carry one.")]
Encoding = Annotated[str | None, typer.Option(help="Of text files, where the bytes do not show it.")]
