"""The stages of a judgement: collect, analyze, backtest; each leaves named tables, which the report renders."""
