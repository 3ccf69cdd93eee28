"""Projects with a finished campaign, which each test may change."""

from rolled_projects import roll_once, rolled_project

__all__ = ["roll_once", "rolled_project"]
