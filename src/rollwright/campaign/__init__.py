"""The main job: one file becomes a walk-forward campaign."""
