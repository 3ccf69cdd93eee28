"""Settings: every value knows its origin, the stronger source wins, and a misspelled name is never ignored."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from rollwright.config.settings import find_root, known_names, load_settings
from rollwright.core.masking import mask_secrets
from rollwright.errors import ConfigError, UnknownSettingError


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "project"
    (folder / "sub" / "deeper").mkdir(parents=True)
    (folder / "rollwright.toml").write_text('[pool]\nlease = 30\n[data]\nregion = "us"\n', encoding="utf-8")
    return folder


def origin(settings, name):
    return {known: (value, where) for known, value, where in settings.rows()}[name]


def user_file(text):
    path = Path(os.environ["XDG_CONFIG_HOME"]) / "rollwright" / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_without_any_source_everything_is_default():
    settings = load_settings()
    assert {where for _, _, where in settings.rows()} == {"default"}
    assert [name for name, _, _ in settings.rows()] == known_names()
    assert settings.root == Path.cwd()
    assert settings.state_dir == Path.cwd() / ".rollwright"


def test_the_stronger_source_wins_and_says_so(project, monkeypatch):
    user = user_file('[pool]\nlease = 20\npoll = 0.2\nmax_attempts = 9\nurl = "memory:"\n')
    weakest = load_settings(start=project)
    assert origin(weakest, "pool.poll") == (0.2, str(user))
    assert origin(weakest, "pool.lease") == (30.0, "rollwright.toml")
    monkeypatch.setenv("ROLLWRIGHT_POOL__LEASE", "40")
    monkeypatch.setenv("ROLLWRIGHT_POOL__MAX_ATTEMPTS", "5")
    stronger = load_settings({"pool.lease": 50}, start=project, origin="--lease")
    assert origin(stronger, "pool.lease") == (50.0, "--lease")
    assert origin(stronger, "pool.max_attempts") == (5, "environment")
    assert origin(stronger, "pool.url") == ("memory:", str(user))
    assert origin(stronger, "data.region") == ("us", "rollwright.toml")
    assert origin(stronger, "data.freq") == ("day", "default")


def test_none_means_not_given(project):
    assert origin(load_settings({"pool.lease": None}, start=project), "pool.lease") == (30.0, "rollwright.toml")


def test_a_given_environment_replaces_the_process_s_own(monkeypatch):
    monkeypatch.setenv("ROLLWRIGHT_POOL__LEASE", "40")
    assert load_settings(environ={}).pool.lease == 60.0
    assert load_settings(environ={"ROLLWRIGHT_DATA__REGION": "us"}).data.region == "us"


def test_settings_are_frozen():
    settings = load_settings()
    with pytest.raises(ValidationError, match="Instance is frozen"):
        settings.pool.lease = 1.0
    with pytest.raises(ValidationError, match="Instance is frozen"):
        settings.pool = settings.pool


def test_defaults_are_not_shared_with_the_origins_of_another(project):
    first = load_settings()
    load_settings(start=project)
    assert first.origins == {}


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("pool.leese", "pool.lease"), ("tracking.url", "tracking.uri"), ("pol.lease", "pool.lease"), ("lease", None)],
)
def test_an_unknown_argument_names_the_nearest(name, nearest):
    with pytest.raises(UnknownSettingError) as caught:
        load_settings({name: 1})
    assert caught.value.name == name
    if nearest:
        assert caught.value.suggestion == nearest
        assert nearest in str(caught.value)


def test_an_unknown_key_of_a_file_is_an_error_that_names_the_file(project):
    (project / "rollwright.toml").write_text("[pool]\nleese = 30\n", encoding="utf-8")
    with pytest.raises(UnknownSettingError, match=r"rollwright\.toml") as caught:
        load_settings(start=project)
    assert caught.value.suggestion == "pool.lease"


def test_an_unknown_section_of_a_file_is_an_error(project):
    (project / "rollwright.toml").write_text("[pools]\nlease = 30\n", encoding="utf-8")
    with pytest.raises(UnknownSettingError) as caught:
        load_settings(start=project)
    assert caught.value.suggestion == "pool"


def test_a_bare_value_where_a_section_belongs_is_an_error(project):
    (project / "rollwright.toml").write_text("pool = 3\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="pool"):
        load_settings(start=project)


def test_a_table_where_a_value_belongs_is_an_error(project):
    (project / "rollwright.toml").write_text("[pool.lease]\nseconds = 3\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"pool\.lease"):
        load_settings(start=project)


def test_an_unknown_variable_is_an_error(monkeypatch):
    monkeypatch.setenv("ROLLWRIGHT_POOL__LEESE", "3")
    with pytest.raises(UnknownSettingError, match="environment") as caught:
        load_settings()
    assert caught.value.suggestion == "pool.lease"


def test_a_variable_with_one_underscore_is_not_ignored(monkeypatch):
    monkeypatch.setenv("ROLLWRIGHT_POOL_LEASE", "3")
    with pytest.raises(UnknownSettingError) as caught:
        load_settings()
    assert "ROLLWRIGHT_POOL__LEASE" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "what"),
    [("[pool", "TOML"), ("pool.lease = ", "TOML"), ("[pool]\nlease = 1\nlease = 2\n", "TOML")],
)
def test_a_broken_file_is_named(project, text, what):
    (project / "rollwright.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=what) as caught:
        load_settings(start=project)
    assert "rollwright.toml" in str(caught.value)


def test_a_file_in_another_encoding_is_named(project):
    (project / "rollwright.toml").write_bytes(b'[data]\nprovider_uri = "\xff\xfe"\n')
    with pytest.raises(ConfigError, match=r"rollwright\.toml"):
        load_settings(start=project)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pool.lease", 0),
        ("pool.lease", -1),
        ("pool.lease", "soon"),
        ("pool.lease", float("nan")),
        ("pool.lease", float("inf")),
        ("pool.poll", float("inf")),
        ("pool.max_attempts", 0),
        ("pool.max_attempts", 1.5),
        ("data.region", "mars"),
        ("data.kernels", 0),
        ("trust.modules", 3),
        ("tracking.uri", ["a"]),
    ],
)
def test_a_value_it_cannot_take_is_told_with_its_origin(name, value):
    with pytest.raises(ConfigError) as caught:
        load_settings({name: value}, origin="somewhere")
    assert name in str(caught.value)
    assert "somewhere" in str(caught.value)


def test_all_bad_values_are_told_at_once():
    with pytest.raises(ConfigError) as caught:
        load_settings({"pool.lease": 0, "data.region": "mars"})
    assert "pool.lease" in str(caught.value)
    assert "data.region" in str(caught.value)


def test_a_bad_value_is_told_without_its_password():
    with pytest.raises(ConfigError) as caught:
        load_settings({"data.region": "postgresql://me:secret@host/db"})
    assert "secret" not in str(caught.value)


def test_trusted_modules_come_as_a_list_from_a_file_and_as_a_path_from_the_environment(project, monkeypatch):
    (project / "rollwright.toml").write_text('[trust]\nmodules = ["mine", "ours.models"]\n', encoding="utf-8")
    assert load_settings(start=project).trust.modules == ("mine", "ours.models")
    monkeypatch.setenv("ROLLWRIGHT_TRUST__MODULES", os.pathsep.join(("a", "b.c")))
    assert load_settings(start=project).trust.modules == ("a", "b.c")
    monkeypatch.setenv("ROLLWRIGHT_TRUST__MODULES", "")
    assert load_settings(start=project).trust.modules == ()


def test_one_trusted_module_as_plain_text_is_one_module_and_not_its_letters(project):
    (project / "rollwright.toml").write_text('[trust]\nmodules = "mine"\n', encoding="utf-8")
    try:
        modules = load_settings(start=project).trust.modules
    except ConfigError:
        return
    assert modules == ("mine",)


def test_the_project_is_found_upwards(project):
    assert find_root(project / "sub" / "deeper") == project
    (project / "sub" / ".rollwright").mkdir()
    assert find_root(project / "sub" / "deeper") == project / "sub"


def test_a_file_named_like_the_state_folder_marks_nothing(tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / ".rollwright").write_text("", encoding="utf-8")
    assert find_root(tmp_path / "here") == tmp_path / "here"


def test_settings_read_from_a_subfolder_stay_relative_to_the_project(project):
    settings = load_settings(start=project / "sub")
    assert settings.resolve("x/y") == project / "x" / "y"
    assert settings.resolve_url("sqlite:///.rollwright/pool.db") == f"sqlite:///{project}/.rollwright/pool.db"
    assert settings.state_dir == project / ".rollwright"


def test_absolute_paths_and_homes_stay_what_they_are(project):
    settings = load_settings(start=project)
    assert settings.resolve("/data") == Path("/data")
    assert settings.resolve("~/data") == Path(os.environ["HOME"]) / "data"
    assert settings.resolve_url(f"sqlite:///{project}/a.db") == f"sqlite:///{project}/a.db"


@pytest.mark.parametrize(
    "url", ["memory:", "sqlite:///:memory:", "postgresql://u:p@h/d", "mongodb://h/d", "http://h:5000"]
)
def test_urls_without_a_relative_path_stay_what_they_are(url):
    assert load_settings().resolve_url(url) == url


def test_new_values_keep_what_was_set_before(project):
    first = load_settings({"pool.poll": 0.5}, start=project, origin="init")
    second = first.with_values({"pool.lease": 99}, origin="code")
    assert origin(second, "pool.lease") == (99.0, "code")
    assert origin(second, "pool.poll") == (0.5, "init")
    assert origin(second, "data.region") == ("us", "rollwright.toml")
    assert origin(first, "pool.lease") == (30.0, "rollwright.toml"), "the first value is not touched"
    assert second.root == first.root


def test_new_values_are_checked_like_old_ones():
    settings = load_settings()
    with pytest.raises(UnknownSettingError, match=r"unknown name `pool\.leese` in code"):
        settings.with_values({"pool.leese": 1}, origin="code")
    with pytest.raises(ConfigError, match=r"pool\.lease = -1"):
        settings.with_values({"pool.lease": -1}, origin="code")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("postgresql://me:secret@host:5432/db", "postgresql://me:***@host:5432/db"),
        ("postgresql://me:s@cr@t@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me:se/cret@host/db", "postgresql://me:***@host/db"),
        ("mongodb+srv://me:secret@h1,h2/db?x=1", "mongodb+srv://me:***@h1,h2/db?x=1"),
        ("postgresql://host/db?user=me&password=secret", "postgresql://host/db?user=me&password=***"),
        ("https://token@host/", "https://***@host/"),
        ("sqlite:///pool.db", "sqlite:///pool.db"),
        ("memory:", "memory:"),
        ("http://host/a@b", "http://host/a@b"),
        (3, "3"),
        ((), "()"),
    ],
)
def test_secrets_are_masked_and_nothing_else(value, shown):
    assert mask_secrets(value) == shown
