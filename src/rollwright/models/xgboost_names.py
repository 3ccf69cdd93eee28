"""Which names XGBoost knows: it passes over one it does not, so a misspelled parameter would go unnoticed."""

from __future__ import annotations

from typing import Final

__all__ = ["PARAMETERS"]

# Of XGBoost's parameter reference, for a task that a CPU or a GPU learns from one label.
PARAMETERS: Final = frozenset((
    "alpha", "base_score", "booster", "colsample_bylevel", "colsample_bynode", "colsample_bytree", "device",
    "disable_default_eval_metric", "early_stopping_rounds", "eta", "eval_metric", "extmem_single_page",
    "feature_selector", "gamma", "grow_policy", "huber_slope", "interaction_constraints", "lambda", "learning_rate",
    "max_bin", "max_cached_hist_node", "max_cat_threshold", "max_cat_to_onehot", "max_delta_step", "max_depth",
    "max_leaves", "min_child_weight", "min_split_loss", "monotone_constraints", "n_estimators", "n_jobs",
    "normalize_type", "nthread", "num_boost_round", "num_boosting_rounds", "num_parallel_tree", "num_round",
    "num_rounds", "objective", "one_drop", "process_type", "quantile_alpha", "random_state", "rate_drop",
    "refresh_leaf", "reg_alpha", "reg_lambda", "sample_type", "sampling_method", "scale_pos_weight", "seed",
    "seed_per_iteration", "sketch_ratio", "skip_drop", "subsample", "top_k", "tree_method", "tweedie_variance_power",
    "updater", "validate_parameters", "verbosity",
))  # fmt: skip
