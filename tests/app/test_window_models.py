"""A campaign whose model learns from windows of the last sessions: it is judged by row, like any other."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from small_campaign import CAMPAIGN, make_project, roll_here

WINDOWS = (
    CAMPAIGN.replace(
        "{class: LinearModel, module_path: rollwright.models.linear, kwargs: {estimator: ridge, alpha: 0.1}}",
        "{class: GRU, module_path: qlib.contrib.model.pytorch_gru_ts,"
        " kwargs: {d_feat: 2, hidden_size: 4, num_layers: 1, n_epochs: 1, n_jobs: 1}}",
    )
    .replace("class: DatasetH", "class: TSDatasetH")
    .replace("      segments:", "      step_len: 5\n      segments:")
)


def test_a_campaign_of_windows_is_labelled_and_judged_as_one_of_rows(tmp_path: Path) -> None:
    rows = make_project(tmp_path / "rows")
    windows = make_project(tmp_path / "windows", text=WINDOWS)

    results = [roll_here(file, overrides=("rolling.step=60",)) for file in (rows, windows)]

    assert all(result is not None for result in results)
    labels = [pd.read_parquet(file.parent / "results" / "small" / "label.parquet") for file in (rows, windows)]
    pd.testing.assert_frame_equal(labels[0], labels[1])
    keys = {metric.key for metric in results[1].variants[0].metrics}
    assert {"ic", "rank_ic"} <= keys
