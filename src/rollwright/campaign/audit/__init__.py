"""The leakage audit: what is learnt and predicted, recomputed while the future is another one."""
