"""The file of a scikit-learn estimator: skops format, without pickle, and only types that are trusted by name.

`SkopsCodec.read` checks in this order, and builds nothing before the last step:

1. The file is an uncompressed zip archive of known members (`skops_archive.unpack`).
2. The state of rollwright is complete, and its SHA-256 is that of the other members.
3. Nodes, arrays and trees are consistent (`skops_archive.check_archive`, `skops_trees`).
4. Every type is trusted: by skops, by this module, or by ``[trust] modules``.
5. skops builds the estimator.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from rollwright.codecs.registry import Codec, read_artifact
from rollwright.config.context import current_settings
from rollwright.core.bounded_read import LARGE
from rollwright.core.canonical import sha256_hex
from rollwright.core.optional import require
from rollwright.errors import CorruptArtifactError, ModelError, UnsupportedArtifactError, UntrustedArtifactError
from rollwright.models.sklearn import SklearnModel, is_estimator
from rollwright.models.skops_archive import STATE, ArchiveError, check_archive, normalise_archive, pack, unpack
from rollwright.models.skops_trees import TREE, TREE_PREDICTOR
from rollwright.models.state import check_state, dump_state, is_exact_instance, parse_state, refuse_other_classes

__all__ = ["SkopsCodec"]

_VERSION: Final = 1
# Types that skops does not trust by default and that are harmless: plain values, and trees, which are checked.
_HARMLESS: Final = frozenset((
    "numpy.dtype",
    TREE,
    TREE_PREDICTOR,
    "sklearn.feature_selection._univariate_selection.f_classif",
    "sklearn.feature_selection._univariate_selection.f_regression",
    "sklearn.feature_selection._univariate_selection.r_regression",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.utils._bunch.Bunch",
))  # fmt: skip
_STATE: Final[dict[str, type | tuple[type, ...]]] = {
    "sha256": str,
    "seed": int,
    "threads": int,
    "feature_names": list,
    "scikit_learn": str,
    "skops": str,
}
_FAILURES: Final = (
    ValueError, TypeError, KeyError, AttributeError, IndexError, AssertionError, ImportError, NotImplementedError,
    ArithmeticError, RuntimeError, MemoryError, EOFError, OSError,
)  # fmt: skip


class SkopsCodec(Codec):
    """Stores a `SklearnModel` as a skops file; ``skops.io.load`` can open the file too.

    One more member, which skops ignores, holds the seed, the names of the features, the versions and the SHA-256 of
    the rest. Guarantees: equal models give equal bytes; a model that was read predicts the same bytes as the one
    written; no type is built that neither skops nor ``[trust] modules`` lists; an inconsistent tree is refused before
    scikit-learn reads it. Not guaranteed: that another version of scikit-learn reads the file; the error names both.
    """

    kind = "skops"
    suffix = ".skops"

    def accepts(self, obj: Any) -> bool:
        """Whether reading the file would bring back all of `obj`."""
        return is_estimator(getattr(obj, "estimator", None)) and is_exact_instance(obj, SklearnModel, _new_model(obj))

    def check(self, obj: Any) -> None:
        """Raise an error before `obj` learns if the unfitted estimator already has a type that is not trusted.

        Raises
        ------
        UnsupportedArtifactError, UntrustedArtifactError
        """
        self._members(_skops(), obj.estimator)

    def write(self, obj: Any, path: Path) -> None:
        """Write the fitted model `obj` to `path`.

        Raises
        ------
        ModelError
            When it is not fitted.
        UnsupportedArtifactError
            When it is of a derived class, has attributes of its own, or skops has no format for a part of it.
        UntrustedArtifactError
            When a part of it is of a type that is not trusted: the file could not be read again.
        """
        refuse_other_classes(obj, SklearnModel, _new_model(obj))
        if obj.model is None:
            raise ModelError("the model is not fitted", hint="call fit(dataset) first")
        skops = _skops()
        members = self._members(skops, obj.model)
        state = {
            "version": _VERSION,
            "sha256": _checksum(members),
            "seed": obj.seed,
            "threads": obj.threads,
            "feature_names": list(obj.feature_names_),
            "scikit_learn": version("scikit-learn"),
            "skops": version("skops"),
        }
        path.write_bytes(pack({**members, STATE: dump_state(state).encode()}))

    def read(self, path: Path) -> SklearnModel:
        """Return the model in `path`.

        Raises
        ------
        CorruptArtifactError
            When it is not what `write` makes, or of a version of scikit-learn that this one cannot read.
        UntrustedArtifactError
            When it holds a type that is not trusted; the hint is the line to add. Nothing of it was built then.
        """
        skops = _skops()
        name = path.name
        try:
            members = unpack(read_artifact(path, limit=LARGE))
        except ArchiveError as error:
            raise CorruptArtifactError(f"{name} is not an estimator: {error}") from error
        content = members.pop(STATE, b"null")
        state = check_state(parse_state(content, name=name), _STATE, name=name, version=_VERSION)
        if state["sha256"] != _checksum(members):
            raise CorruptArtifactError(f"the estimator in {name} is not the one that was written: its sha256 differs")
        try:
            check_archive(members)
            trusted = _refuse_untrusted(skops, members, name=name)
            fitted = skops.loads(pack(members), trusted=trusted)
            unfitted = require("sklearn.base", extra="sklearn").clone(fitted)
            require("sklearn.utils", extra="sklearn").get_tags(fitted)
        except (ArchiveError, *_FAILURES) as error:
            written = {"scikit-learn": state["scikit_learn"], "skops": state["skops"]}
            here = {package: version(package) for package in written}
            said = f" (written with {written}, installed are {here})" if written != here else ""
            raise CorruptArtifactError(f"{name} is not an estimator: {error}{said}") from error
        if not is_estimator(fitted):
            raise CorruptArtifactError(f"{name} holds a {type(fitted).__name__}, which is not an estimator")
        model = SklearnModel(unfitted, seed=state["seed"], threads=state["threads"])
        model.model, model.feature_names_ = fitted, tuple(state["feature_names"])
        return model

    @staticmethod
    def _members(skops: ModuleType, estimator: Any) -> dict[str, bytes]:
        """Return the members of the file of `estimator`, after checking that they can be read again."""
        name = type(estimator).__name__
        try:
            members = normalise_archive(skops.dumps(estimator))
            check_archive(members)
        except (ArchiveError, skops.exceptions.UnsupportedTypeException, *_FAILURES) as error:
            raise UnsupportedArtifactError(
                f"skops cannot store this {name}: {error}",
                hint="register a codec for your class: rollwright.codecs.registry.codecs.register(codec, types=[...])",
            ) from error
        _refuse_untrusted(skops, members, name=name)
        return members


def _refuse_untrusted(skops: ModuleType, members: dict[str, bytes], *, name: str) -> list[str]:
    """Return the types in `members` that skops does not trust by default; raise unless all are trusted here."""
    named = skops.get_untrusted_types(data=pack(members))
    settings = current_settings().trust.modules
    strange = [found for found in named if found not in _HARMLESS and not _is_covered(found, settings)]
    if strange:
        lines = ", ".join(f'"{found}"' for found in strange)
        raise UntrustedArtifactError(
            f"{name} holds {', '.join(strange)}, which is not trusted to be built from a file",
            hint=f"if you trust what made it, add it to rollwright.toml:\n[trust]\nmodules = [{lines}]",
        )
    return list(named)


def _is_covered(name: str, modules: Sequence[str]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def _checksum(members: dict[str, bytes]) -> str:
    listing = "\n".join(f"{name} {sha256_hex(members[name])}" for name in sorted(members))
    return sha256_hex(listing.encode())


def _new_model(obj: Any) -> Any:
    return SklearnModel(obj.estimator)


def _skops() -> ModuleType:
    require("skops", extra="sklearn")
    return require("skops.io", extra="sklearn")
