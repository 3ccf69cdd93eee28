"""Building what a configuration names: only from trusted modules, and with errors that say what is wrong."""

from __future__ import annotations

import sys
from fractions import Fraction

import pytest

from rollwright import init_instance_by_config
from rollwright.config.construct import Trust, get_class, translate_module
from rollwright.config.context import using
from rollwright.config.settings import load_settings
from rollwright.errors import ConstructError, UntrustedModuleError
from rollwright.registrations import QLIB_MODULES

SOURCE = """
from pathlib import Path
Path(__file__).with_suffix(".imported").write_text(Path(__file__).name)

class Thing:
    def __init__(self, size=1, *, name="x"):
        if size == 13:
            raise TypeError("unlucky size")
        self.size, self.name = size, name

class Greedy:
    def __init__(self, **kwargs):
        self.kwargs = kwargs

class Needy:
    def __init__(self, model, dataset):
        self.model, self.dataset = model, dataset

def make(size):
    return Thing(size)

VALUE = 3
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two importable modules and a folder beside a configuration; a marker tells what was imported."""
    library = tmp_path / "library"
    package = library / "mine_pkg"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "models.py").write_text(SOURCE)
    (library / "minetoo.py").write_text(SOURCE)
    (library / "broken_mod.py").write_text("import a_module_that_is_not_there\n")
    beside = tmp_path / "beside"
    (beside / "deep").mkdir(parents=True)
    (beside / "own.py").write_text(SOURCE)
    (beside / "deep" / "own.py").write_text(SOURCE)
    (beside / "fails.py").write_text("raise RuntimeError('at import')\n")
    (tmp_path / "outside.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(library))
    known = set(sys.modules)
    yield beside
    for name in set(sys.modules) - known:
        if name.startswith(("mine", "broken_mod", "_rollwright_user_")):
            del sys.modules[name]


def imported(folder):
    return sorted(path.relative_to(folder.parent).as_posix() for path in folder.parent.rglob("*.imported"))


MINE = Trust(modules=("mine_pkg", "minetoo", "fractions", "broken_mod"))


def config(cls="Thing", module="mine_pkg.models", **kwargs):
    return {"class": cls, "module_path": module, "kwargs": kwargs}


def test_a_class_is_built_with_its_arguments(folder):
    thing = init_instance_by_config(config(size=3, name="y"), trust=MINE)
    assert (thing.size, thing.name) == (3, "y")


def test_the_dotted_name_of_a_class_is_enough(folder):
    assert init_instance_by_config("mine_pkg.models.Thing", trust=MINE).size == 1
    assert init_instance_by_config({"class": "mine_pkg.models.Thing"}, trust=MINE).size == 1


def test_a_default_module_is_for_configurations_that_name_none(folder):
    assert init_instance_by_config({"class": "Thing"}, "mine_pkg.models", trust=MINE).size == 1
    assert init_instance_by_config(config(module="minetoo"), "mine_pkg.models", trust=MINE).__module__ == "minetoo"


@pytest.mark.parametrize("key", ["func", "class"])
def test_a_function_is_refused(folder, key):
    with pytest.raises(ConstructError, match="`make` of `minetoo` is a function, and a configuration builds classes"):
        init_instance_by_config({key: "make", "module_path": "minetoo", "kwargs": {"size": 4}}, trust=MINE)


def test_an_instance_is_returned_as_it_is():
    ready = Fraction(1, 2)
    assert init_instance_by_config(ready, accept_types=Fraction) is ready
    assert init_instance_by_config(ready, accept_types=(int, Fraction)) is ready


def test_what_names_nothing_is_refused():
    for useless in (3, None, [], object()):
        with pytest.raises(ConstructError, match="names nothing"):
            init_instance_by_config(useless)


def test_arguments_given_in_code_win(folder):
    assert init_instance_by_config(config(size=3), trust=MINE, size=5).size == 5


def test_offered_arguments_are_taken_only_where_there_is_a_parameter(folder):
    thing = init_instance_by_config(config(size=3), try_kwargs={"size": 9, "name": "z", "model": 1}, trust=MINE)
    assert (thing.size, thing.name) == (3, "z")
    needy = init_instance_by_config(config("Needy", model=1), try_kwargs={"dataset": 2}, trust=MINE)
    assert (needy.model, needy.dataset) == (1, 2)
    assert init_instance_by_config(config("Greedy"), try_kwargs={"dataset": 2}, trust=MINE).kwargs == {}


def test_the_configuration_is_not_changed(folder):
    given = config(size=3)
    init_instance_by_config(given, trust=MINE, size=5, name="q")
    assert given == config(size=3)


@pytest.mark.parametrize(
    "module", ["mine_pkg.models", "minetoo", "mine_pkg", "os", "subprocess", "builtins", "rollwrightx", "lightgbmevil"]
)
def test_a_module_nobody_trusts_is_not_imported(folder, module):
    before = set(sys.modules)
    with pytest.raises(UntrustedModuleError) as caught:
        init_instance_by_config(config(module=module), trust=Trust())
    assert caught.value.module == module
    assert f'modules = ["{module}"]' in str(caught.value)
    assert imported(folder) == []
    assert set(sys.modules) == before


def test_trust_in_a_package_covers_what_is_beneath_and_no_neighbour(folder):
    trust = Trust(modules=("mine_pkg",))
    assert init_instance_by_config(config(), trust=trust).size == 1
    with pytest.raises(UntrustedModuleError, match="`mine_pkg_evil` is not trusted"):
        init_instance_by_config(config(module="mine_pkg_evil"), trust=trust)
    with pytest.raises(UntrustedModuleError, match="`minetoo` is not trusted"):
        init_instance_by_config(config(module="minetoo"), trust=trust)


def test_trust_in_a_module_does_not_cover_its_parent(folder):
    with pytest.raises(UntrustedModuleError, match="`mine_pkg` is not trusted"):
        init_instance_by_config(config(module="mine_pkg"), trust=Trust(modules=("mine_pkg.models",)))


def test_an_empty_name_on_the_trust_list_trusts_nothing(folder):
    for name in ("", ".", " "):
        with pytest.raises(UntrustedModuleError, match=r"`mine_pkg\.models` is not trusted"):
            init_instance_by_config(config(), trust=Trust(modules=(name,)))


IMPORTS = """import importlib, sys
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from subprocess import Popen
"""


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("importlib", "is a module, and a configuration builds classes only"),
        ("import_module", "is a function, and a configuration builds classes only"),
        ("contextmanager", "is a function, and a configuration builds classes only"),
        ("IMPORTED", "int, and a configuration builds classes only"),
        ("sys.exit", r"has no `sys\.exit`"),
        ("importlib.import_module", r"has no `importlib\.import_module`"),
        ("Path.unlink", r"has no `Path\.unlink`"),
        ("Popen", "`subprocess` is not trusted"),
        ("Path", "`pathlib` is not trusted"),
    ],
)
def test_what_a_trusted_module_itself_imported_is_not_reached_through_it(folder, name, words):
    (folder / "base.py").write_text(IMPORTS + "IMPORTED = 1\n")
    with pytest.raises(ConstructError, match=words):
        get_class(config(name, "base.py"), trust=Trust(folder=folder))


def test_a_module_of_ours_that_holds_no_component_is_not_reached_at_all():
    for name, module in (
        ("importlib.import_module", "rollwright.config.construct"),
        ("import_module", "rollwright.core.optional"),
        ("Path", "rollwright.config.construct"),
        ("contextmanager", "rollwright.config.context"),
    ):
        with pytest.raises(ConstructError, match=rf"nothing is built of `{module}`"):
            get_class({"class": name, "module_path": module}, trust=Trust())


def test_a_class_imported_from_another_trusted_module_is_built(folder):
    (folder / "base.py").write_text("from mine_pkg.models import Thing\nfrom subprocess import Popen\n")
    trust = Trust(modules=("mine_pkg",), folder=folder)
    assert init_instance_by_config(config(module="base.py"), trust=trust).size == 1
    with pytest.raises(UntrustedModuleError, match="subprocess"):
        init_instance_by_config(config("Popen", "base.py", args="true"), trust=trust)


def test_a_file_leaves_no_bytecode_beside_the_configuration(folder):
    init_instance_by_config(config(module="own.py"), trust=Trust(folder=folder))
    assert not (folder / "__pycache__").exists()


def test_a_class_of_a_file_says_where_it_is_from(folder):
    found, _ = get_class(config(module="own.py"), trust=Trust(folder=folder))
    import inspect  # noqa: PLC0415

    assert inspect.getsourcefile(found) == str(folder / "own.py")
    assert "class Thing" in inspect.getsource(found)


def test_relative_module_names_are_refused(folder):
    with pytest.raises(UntrustedModuleError, match=r"`\.models` is not trusted"):
        init_instance_by_config(config(module=".models"), trust=MINE)


def test_the_settings_say_what_is_trusted(folder):
    with using(load_settings({"trust.modules": ["mine_pkg"]})):
        assert init_instance_by_config(config()).size == 1
    with using(load_settings()), pytest.raises(UntrustedModuleError, match=r"`mine_pkg\.models` is not trusted"):
        init_instance_by_config(config())
    with using(load_settings({"trust.folder": str(folder)})):
        assert init_instance_by_config(config(module="own.py")).size == 1


def test_a_file_beside_the_configuration_is_trusted(folder):
    trust = Trust(folder=folder)
    assert init_instance_by_config(config(module="own.py", size=2), trust=trust).size == 2
    assert init_instance_by_config(config(module="deep/own.py"), trust=trust).size == 1
    assert imported(folder) == ["beside/deep/own.imported", "beside/own.imported"]


def test_a_file_is_loaded_once_and_two_of_a_name_are_two(folder):
    trust = Trust(folder=folder)
    first, _ = get_class(config(module="own.py"), trust=trust)
    again, _ = get_class(config(module="./own.py"), trust=trust)
    other, _ = get_class(config(module="deep/own.py"), trust=trust)
    assert first is again
    assert first is not other


def test_a_file_that_changed_is_loaded_anew(folder):
    trust = Trust(folder=folder)
    first, _ = get_class(config(module="own.py"), trust=trust)
    (folder / "own.py").write_text(SOURCE.replace("size=1", "size=21"))
    assert init_instance_by_config(config(module="own.py"), trust=trust).size == 21
    assert first().size == 1


def test_a_file_without_a_folder_is_not_trusted(folder):
    with pytest.raises(UntrustedModuleError, match=r"`own\.py` is not trusted"):
        init_instance_by_config(config(module="own.py"), trust=Trust())


@pytest.mark.parametrize("escape", ["../outside.py", "deep/../../outside.py", "{parent}/outside.py"])
def test_a_file_outside_the_folder_is_refused(folder, escape):
    with pytest.raises(UntrustedModuleError, match=r"outside\.py` is not trusted"):
        init_instance_by_config(config(module=escape.format(parent=folder.parent)), trust=Trust(folder=folder))
    assert imported(folder) == []


def test_a_link_that_leads_outside_is_refused(folder):
    (folder / "link.py").symlink_to(folder.parent / "outside.py")
    with pytest.raises(UntrustedModuleError, match=r"`link\.py` is not trusted"):
        init_instance_by_config(config(module="link.py"), trust=Trust(folder=folder))
    assert imported(folder) == []


def test_a_file_that_is_not_there_is_named(folder):
    with pytest.raises(ConstructError, match=r"nowhere\.py"):
        init_instance_by_config(config(module="nowhere.py"), trust=Trust(folder=folder))


def test_a_file_that_fails_leaves_nothing_behind(folder):
    for _ in range(2):
        with pytest.raises(RuntimeError, match="at import"):
            init_instance_by_config(config(module="fails.py"), trust=Trust(folder=folder))


@pytest.mark.parametrize(("module", "targets"), QLIB_MODULES.items())
def test_qlib_s_modules_lead_here(module, targets):
    assert translate_module(module) == targets
    assert all(target.startswith("rollwright.") for target in targets)


def test_a_class_of_qlib_is_built_from_here():
    found, _ = get_class({"class": "LGBModel", "module_path": "qlib.contrib.model.gbdt", "kwargs": {}}, trust=Trust())
    assert found.__module__ == "rollwright.models.lightgbm"
    assert not any(name == "qlib" or name.startswith("qlib.") for name in sys.modules)


@pytest.mark.parametrize("module", ["qlib.contrib.model.pytorch_secret", "qlib", "qlib.data.dataset.handlerx"])
def test_an_unknown_module_of_qlib_says_so(module):
    with pytest.raises(ConstructError, match="counterpart") as caught:
        init_instance_by_config(config(module=module), trust=Trust())
    assert "qlib-names.md" in str(caught.value)


def test_a_type_error_inside_a_constructor_is_its_own(folder):
    with pytest.raises(TypeError, match="unlucky size"):
        init_instance_by_config(config(size=13), trust=MINE)


def test_a_misspelled_argument_is_told_with_the_nearest(folder):
    with pytest.raises(ConstructError, match="siez") as caught:
        init_instance_by_config(config(siez=3), trust=MINE)
    assert "`size`" in str(caught.value.hint)


def test_a_missing_argument_is_named(folder):
    with pytest.raises(ConstructError, match="dataset"):
        init_instance_by_config(config("Needy", model=1), trust=MINE)


def test_a_misspelled_class_is_told_with_the_nearest(folder):
    with pytest.raises(ConstructError, match="Thign") as caught:
        init_instance_by_config(config("Thign"), trust=MINE)
    assert "`Thing`" in str(caught.value.hint)


def test_a_module_that_is_not_there_is_named():
    with pytest.raises(ConstructError, match=r"rollwright\.no_such_thing"):
        init_instance_by_config(config(module="rollwright.no_such_thing"), trust=Trust())


def test_a_module_that_lacks_something_of_its_own_says_what(folder):
    with pytest.raises(ModuleNotFoundError, match="a_module_that_is_not_there"):
        init_instance_by_config(config(module="broken_mod"), trust=MINE)


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({"module_path": "minetoo"}, "class"),
        ({"class": "", "module_path": "minetoo"}, "class"),
        ({"class": 3, "module_path": "minetoo"}, "class"),
        ({"class": "Thing"}, "module_path"),
        ({"class": "Thing", "module_path": 3}, "module_path"),
        ({"class": "Thing", "module_path": "minetoo", "kwargs": [1]}, "kwargs"),
        ({"class": "Thing", "module_path": "minetoo", "kwargs": {3: 1}}, "3"),
        ({"class": "Thing", "module_path": "minetoo", "kwarg": {}}, "kwarg"),
        ({"class": "Thing", "module_path": "minetoo", 3: {}, "kwarg": 1}, "3"),
        ({"clas": "Thing", "module_path": "minetoo"}, "clas"),
        ({"class": "VALUE", "module_path": "minetoo"}, "VALUE"),
    ],
)
def test_a_malformed_configuration_says_what_is_wrong(folder, broken, words):
    with pytest.raises(ConstructError, match=words):
        init_instance_by_config(broken, trust=MINE)


def test_an_unknown_key_is_told_with_the_nearest(folder):
    with pytest.raises(ConstructError) as caught:
        init_instance_by_config({"class": "Thing", "module_path": "minetoo", "kwarg": {}}, trust=MINE)
    assert "`kwargs`" in str(caught.value.hint)


def test_null_kwargs_are_none_at_all(folder):
    assert init_instance_by_config({"class": "Thing", "module_path": "minetoo", "kwargs": None}, trust=MINE).size == 1
