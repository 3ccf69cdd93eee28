"""What programs under the peer's interpreter share: Qlib without its caches, and the CPU time of all its processes.

It imports nothing of rollwright.
"""

import resource

import qlib
from qlib.config import REG_CN


def start_qlib(folder: str, *, kernels: int) -> None:
    """Let Qlib read `folder` anew for each call, on so many processes."""
    qlib.init(
        provider_uri=folder, region=REG_CN, kernels=kernels, expression_cache=None, dataset_cache=None,
        logging_level=40,
    )  # fmt: skip


def used_cpu() -> float:
    """Return the seconds of CPU time of this process and of those it waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)
