"""What of a task manager goes into a file: its pool's name and terms, and never a connection."""

from __future__ import annotations

from typing import Any, ClassVar

from rollwright.signing.serializable import Serializable

__all__ = ["ManagerFile"]


class ManagerFile(Serializable):
    """A manager that is opened again works on the ambient settings' store, as an owner of its own."""

    exclude_attr: ClassVar = ("store", "owner", "clock", "listens")

    def __setstate__(self, state: dict[str, Any]) -> None:
        cls: Any = type(self)
        fresh = {} if "store" in state else vars(cls(state["task_pool"]))
        self.__dict__.update({**fresh, **state})
