"""A project in one signed file: equal bytes, no secrets, and nothing of it is believed before its signature."""

from __future__ import annotations

import functools
import http.server
import json
import shutil
import struct
import threading
from hashlib import sha256

import pytest

from rollwright.app.bundle import joining
from rollwright.app.bundle.container import FMT, Bundle, BundleIndex, pack, unpack
from rollwright.app.bundle.joining import join_bundle
from rollwright.app.bundle.making import make_bundle
from rollwright.app.campaign_helper import WorkerOptions
from rollwright.app.campaign_record import CampaignRecord, record_path
from rollwright.app.open_campaign import open_campaign, reopen_campaign
from rollwright.cli.root import run
from rollwright.config.settings import load_settings
from rollwright.core.canonical import sha256_hex
from rollwright.errors import ConfigError, CorruptArtifactError, DataError, DataNotFoundError, UntrustedArtifactError
from rollwright.pool.worker.task_function import WorkerReport
from rollwright.signing.envelope import open_sealed, seal
from small_campaign import make_project

SERVERS = """\
[pool]
url = "postgresql://worker:pa55word@db.example/pool"
lease = 30.0
[tracking]
uri = "http://mlflow.example"
artifacts = "s3://models/desk"
[trust]
modules = ["models_of_mine"]
"""


@pytest.fixture(scope="module")
def made_once(tmp_path_factory):
    """Return a project whose campaign was started, to be copied."""
    folder = tmp_path_factory.mktemp("made") / "project"
    make_project(folder)
    (folder / "rollwright.toml").write_text(SERVERS)
    (folder / "models_of_mine.py").write_text("class Mine: ...\n")
    (folder / "code").mkdir()
    (folder / "code" / "deep.py").write_text("DEEP = 1\n")
    for hidden in (".venv/x.py", ".secret.yaml", "env/pyvenv.cfg", "env/y.py", "results/z.yaml", "notes.txt"):
        (folder / hidden).parent.mkdir(parents=True, exist_ok=True)
        (folder / hidden).write_text("password: 'x'\n")
    campaign = open_campaign(folder / "small.yaml", project=folder)
    settings = load_settings(start=folder)
    path = record_path(settings, "small")
    path.parent.mkdir(parents=True)
    digest = sha256_hex(campaign.document.rendered.encode())
    record = CampaignRecord(name="small", file="small.yaml", sha256=digest, overrides=(), provider_uri="market")
    path.write_text(record.text)
    return folder


@pytest.fixture
def project(made_once, tmp_path, monkeypatch):
    """Return a copy of that project, and let this user's keys be of this test alone."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "here"))
    monkeypatch.setenv("ROLLWRIGHT_POOL__URL", "postgresql://worker:pa55word@db.example/pool")
    return shutil.copytree(made_once, tmp_path / "project")


@pytest.fixture
def bundle(project, tmp_path):
    """Return the file of a bundle."""
    make_bundle("small", tmp_path / "small.bundle", project=project)
    return tmp_path / "small.bundle"


@pytest.fixture
def market(project):
    """Return the folder of the market data, which this host has."""
    return project / "market"


def resealed(bundle, change, *, fmt=FMT, name="small"):
    """Return a bundle that is signed like it, with other contents."""
    held = open_sealed(bundle.read_bytes(), fmt=FMT, name=None, where="it")
    return seal(change(bytes(held.payload)), fmt=fmt, name=name)


class TestMaking:
    def test_equal_contents_make_equal_bytes_and_other_contents_the_next_number(self, project, tmp_path):
        first = make_bundle("small", tmp_path / "a", project=project)
        again = make_bundle("small", tmp_path / "b", project=project)
        assert first.sha256 == again.sha256
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
        (project / "code" / "deep.py").write_text("DEEP = 2\n")
        other = make_bundle("small", tmp_path / "c", project=project)
        assert other.sha256 != first.sha256
        serials = [_index_of(tmp_path / name).serial for name in "abc"]
        assert serials == [1, 1, 2]

    def test_it_holds_code_and_configurations_and_nothing_hidden_made_or_linked(self, project, tmp_path):
        (project / "linked.py").symlink_to(project / "notes.txt")
        made = make_bundle(None, tmp_path / "a", project=project)
        assert made.files == ("code/deep.py", "models_of_mine.py", "rollwright.toml", "small.yaml")

    @pytest.mark.parametrize("where", ["environment", "file"])
    def test_what_has_a_secret_in_it_stays_here_and_is_asked_of_the_host(self, project, tmp_path, monkeypatch, where):
        if where == "file":
            monkeypatch.delenv("ROLLWRIGHT_POOL__URL")
        made = make_bundle("small", tmp_path / "a", project=project)
        assert b"pa55word" not in (tmp_path / "a").read_bytes()
        assert made.environment == ("ROLLWRIGHT_POOL__URL",)

    def test_a_configuration_with_a_secret_in_it_is_refused_with_its_line(self, project, tmp_path):
        (project / "other.yaml").write_text("a: 1\npool: {url: 'postgresql://me:hunter2@db/x'}\n")
        with pytest.raises(ConfigError, match=r"other\.yaml, line 2 has a secret") as caught:
            make_bundle("small", tmp_path / "a", project=project)
        assert "hunter2" not in str(caught.value)
        assert not (tmp_path / "a").exists()

    def test_stores_that_are_files_here_are_refused_by_name(self, project, tmp_path, monkeypatch):
        monkeypatch.delenv("ROLLWRIGHT_POOL__URL")
        (project / "rollwright.toml").write_text("")
        with pytest.raises(ConfigError, match=r"pool\.url = .* and tracking\.uri = .* and tracking\.artifacts = "):
            make_bundle("small", tmp_path / "a", project=project)

    def test_data_that_other_tools_wrote_are_refused_with_the_command_that_takes_them_over(self, project, tmp_path):
        (project / "market" / "rollwright.json").unlink()
        with pytest.raises(ConfigError, match="filled by other tools") as caught:
            make_bundle("small", tmp_path / "a", project=project)
        assert "rollwright data check" in caught.value.hint


def _index_of(path):
    return unpack(open_sealed(path.read_bytes(), fmt=FMT, name=None, where="it").payload, where="it").index


class TestJoining:
    def test_a_host_gets_the_project_with_its_own_data(self, bundle, market, project):
        joined = join_bundle(str(bundle), data=market)
        assert joined.name == "small"
        assert joined.market == market
        assert (joined.folder / "code" / "deep.py").read_text() == "DEEP = 1\n"
        settings = load_settings(start=joined.folder)
        assert settings.root == joined.folder
        assert settings.pool.lease == 30.0
        assert settings.tracking.artifacts == "s3://models/desk"
        assert settings.trust.modules == ("models_of_mine",)
        assert settings.resolve(settings.store.path) == joined.folder.parent / "features"
        campaign = reopen_campaign("small", project=joined.folder)
        assert campaign.settings.data.provider_uri == str(market)

    def test_data_may_travel_along(self, project, tmp_path):
        make_bundle("small", tmp_path / "a", with_data=True, project=project)
        joined = join_bundle(str(tmp_path / "a"))
        assert joined.market == joined.folder / "data"
        campaign = reopen_campaign("small", project=joined.folder)
        assert campaign.settings.data.provider_uri == str(joined.market)

    def test_other_data_are_refused_with_the_files_that_differ(self, bundle, market, tmp_path):
        other = shutil.copytree(market, tmp_path / "other")
        changed = other / "features" / "sh600001" / "close.day.bin"
        changed.write_bytes(changed.read_bytes()[:-4] + b"\0\0\0\0")
        (other / "features" / "sh600002" / "open.day.bin").unlink()
        with pytest.raises(DataError, match=r"1 differ \(features/sh600001/close\.day\.bin\), 1 are missing"):
            join_bundle(str(bundle), data=other)

    def test_data_that_were_compared_are_compared_again_when_their_files_change(self, bundle, market, tmp_path):
        other = shutil.copytree(market, tmp_path / "other")
        join_bundle(str(bundle), data=other)
        calendar = other / "calendars" / "day.txt"
        calendar.write_text(calendar.read_text().replace("2020-01-02", "2020-01-04"))
        with pytest.raises(DataError, match=r"calendars/day\.txt"):
            join_bundle(str(bundle), data=other)

    def test_a_host_without_data_is_told_how_to_name_them(self, bundle, tmp_path):
        with pytest.raises(ConfigError, match="nothing says where they are") as caught:
            join_bundle(str(bundle))
        assert "--data DIR" in caught.value.hint
        with pytest.raises(DataNotFoundError):
            join_bundle(str(bundle), data=tmp_path / "nothing")

    def test_a_host_without_a_password_is_told_the_variable(self, bundle, market, monkeypatch):
        monkeypatch.delenv("ROLLWRIGHT_POOL__URL")
        with pytest.raises(ConfigError, match="ROLLWRIGHT_POOL__URL"):
            join_bundle(str(bundle), data=market)

    def test_it_may_come_from_an_address_that_does_not_lead_on(self, bundle, market):
        with _serving(bundle.parent) as address:
            assert join_bundle(f"{address}/{bundle.name}", data=market).name == "small"
            for path in ("missing", "to-file", "to-itself"):
                with pytest.raises(ConfigError, match="cannot be fetched"):
                    join_bundle(f"{address}/{path}", data=market)
        for address in (bundle.as_uri(), f"ftp://127.0.0.1/{bundle.name}", "data:,x"):
            with pytest.raises(ConfigError):
                join_bundle(address, data=market)


class TestCommands:
    def test_a_bundle_is_made_and_a_host_works_with_it(self, project, market, tmp_path, monkeypatch, capsys):
        calls = []

        def help_campaign(name, **given):
            calls.append((name, given))
            return WorkerReport(done=2, failed=1, released=0, seconds=1.0)

        monkeypatch.setattr("rollwright.app.campaign_helper.help_campaign", help_campaign)
        monkeypatch.chdir(project)
        file = tmp_path / "it.bundle"
        assert run(["cluster", "bundle", "small", "--out", str(file), "--json"]) == 0
        told = json.loads(capsys.readouterr().out)["data"]
        assert told["sha256"] == sha256(file.read_bytes()).hexdigest()
        assert told["size"] == len(file.read_bytes())
        assert told["environment"] == ["ROLLWRIGHT_POOL__URL"]
        monkeypatch.chdir(tmp_path)
        arguments = ["worker", "join", str(file), "--data", str(market), "-j", "2", "--tag", "gpu", "--memory", "16G"]
        assert run([*arguments, "--check"]) == 0
        assert not calls
        assert run(arguments) == 1
        said = capsys.readouterr().err
        assert "signed by key" in said
        assert "2 done, 1 failed" in said
        ((name, given),) = calls
        assert name == "small"
        assert given["project"].parent == tmp_path / "here" / "rollwright" / "bundles" / "small"
        assert given["jobs"] == 2
        assert given["options"] == WorkerOptions(tags=("gpu",), memory=16.0)


class _Redirecting(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        if self.path.startswith("/to-"):
            self.send_response(302)
            self.send_header("Location", "file:///etc/passwd" if self.path == "/to-file" else "/small.bundle")
            self.end_headers()
            return
        super().do_GET()

    def log_message(self, *_):
        pass


class _serving:
    def __init__(self, folder):
        self.server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), functools.partial(_Redirecting, directory=str(folder))
        )

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


class TestTrust:
    def test_a_changed_byte_anywhere_is_refused_before_anything_is_parsed(self, bundle, market, monkeypatch):
        monkeypatch.setattr(joining, "unpack", lambda *_, **__: pytest.fail("it was parsed"))
        data = bundle.read_bytes()
        for place in {*range(0, 145, 6), *range(150, len(data), len(data) // 40), len(data) - 1}:
            bundle.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
            with pytest.raises((UntrustedArtifactError, CorruptArtifactError)):
                join_bundle(str(bundle), data=market)
        for cut in (0, 10, 200, len(data) - 1):
            bundle.write_bytes(data[:cut])
            with pytest.raises((UntrustedArtifactError, CorruptArtifactError)):
                join_bundle(str(bundle), data=market)

    def test_the_key_of_another_user_is_refused_and_nothing_is_left(self, bundle, market, tmp_path, monkeypatch):
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "there"))
        with pytest.raises(UntrustedArtifactError, match="holds code that a worker would run") as caught:
            join_bundle(str(bundle), data=market)
        assert "rollwright trust add" in caught.value.hint
        assert not (tmp_path / "there" / "rollwright" / "bundles").exists()

    def test_what_was_signed_as_something_else_is_no_bundle(self, bundle, market):
        bundle.write_bytes(resealed(bundle, bytes, fmt="pickle 1"))
        with pytest.raises(UntrustedArtifactError, match="was signed as pickle 1"):
            join_bundle(str(bundle), data=market)

    def test_a_bundle_under_the_name_of_another_campaign_is_refused(self, bundle, market):
        bundle.write_bytes(resealed(bundle, bytes, name="other"))
        with pytest.raises(UntrustedArtifactError, match="'other' and holds 'small'"):
            join_bundle(str(bundle), data=market)

    def test_an_older_bundle_of_the_same_project_is_refused(self, project, bundle, market, tmp_path):
        (project / "code" / "deep.py").write_text("DEEP = 2\n")
        make_bundle("small", tmp_path / "newer", project=project)
        join_bundle(str(tmp_path / "newer"), data=market)
        with pytest.raises(ConfigError, match="bundle 1 of campaign `small`, and bundle 2 was here"):
            join_bundle(str(bundle), data=market)
        older = join_bundle(str(bundle), data=market, allow_older=True)
        assert (older.folder / "code" / "deep.py").read_text() == "DEEP = 1\n"
        join_bundle(str(tmp_path / "newer"), data=market)


def _index(**values):
    known = {
        "name": "small", "file": "a.yaml", "sha256": "0", "overrides": (), "origin": "o1", "serial": 1,
        "environment": (), "generation": "g", "data": {}, "holds_data": False,
    }  # fmt: skip
    return BundleIndex(**{**known, **values})


def _raw(held, **changes):
    """Return the bytes of a bundle that `pack` would not make."""
    rows = [[path, len(data), sha256(data).hexdigest()] for path, data in held]
    index = {
        "format": 1, "name": "small", "file": "a.yaml", "sha256": "0", "overrides": [], "origin": "o1", "serial": 1,
        "environment": [], "generation": "g", "data": {}, "holds_data": False, "files": rows, **changes,
    }  # fmt: skip
    text = json.dumps(index).encode()
    return struct.pack("<I", len(text)) + text + b"".join(data for _, data in held)


class TestContainer:
    @pytest.mark.parametrize(
        "path",
        [
            "../x.py", "/x.py", "a/../../x.py", "a//x.py", "./x.py", "", "a/", ".rollwright/campaigns/x.json",
            "a/.ssh/x", "C:\\x.py", "a\\..\\x.py", "c:x.py", "a/x.py.", "a/x.py ", "x\0.py", "x\n.py", "x" * 300, "..",
        ],
    )  # fmt: skip
    def test_paths_that_lead_out_or_that_systems_read_otherwise_are_refused(self, path):
        with pytest.raises(CorruptArtifactError):
            unpack(_raw([("a.yaml", b""), (path, b"x")]), where="it")
        with pytest.raises(CorruptArtifactError):
            pack(Bundle(index=_index(), files={"a.yaml": b"", path: b"x"}))

    @pytest.mark.parametrize(
        "names", [("x.py", "X.py"), ("x.py", "x.py"), ("x", "x/y.py"), ("é.py", "e\u0301.py"), ("d/x.py", "D/x.py")]
    )
    def test_files_that_would_be_one_are_refused(self, names):
        with pytest.raises(CorruptArtifactError):
            unpack(_raw([("a.yaml", b""), *((name, name.encode()) for name in names)]), where="it")

    @pytest.mark.parametrize(
        "changes",
        [
            {"format": 2}, {"files": [["a.yaml", 1 << 60, "0"]]}, {"files": [["a.yaml", -1, "0"]]}, {"files": {}},
            {"files": [["a.yaml", True, "0"]]}, {"serial": "1"}, {"serial": True}, {"name": "../x"}, {"origin": "../x"},
            {"name": ""}, {"data": {"../x": "0"}}, {"overrides": [1]}, {"more": 1}, {"file": "b.yaml"}, {"data": []},
        ],
    )  # fmt: skip
    def test_an_index_of_another_form_is_refused(self, changes):
        with pytest.raises(CorruptArtifactError):
            unpack(_raw([("a.yaml", b"")], **changes), where="it")

    @pytest.mark.parametrize("data", [b"", b"\0", b"\xff\xff\xff\xff", b"\2\0\0\0[]", b"\2\0\0\0{}"])
    def test_bytes_that_are_no_bundle_are_refused(self, data):
        with pytest.raises(CorruptArtifactError):
            unpack(data, where="it")

    def test_bytes_after_the_last_file_are_refused(self):
        with pytest.raises(CorruptArtifactError, match="belong to no file"):
            unpack(_raw([("a.yaml", b"")]) + b"x", where="it")

    def test_what_is_packed_is_unpacked(self):
        given = Bundle(index=_index(overrides=("a=1",), data={"x/y": "0"}), files={"a.yaml": b"a", "d/b.py": b""})
        assert unpack(pack(given), where="it") == given


class TestTheFolder:
    def test_what_somebody_changed_in_it_is_not_run(self, bundle, market):
        joined = join_bundle(str(bundle), data=market)
        code = joined.folder / "code" / "deep.py"
        outside = joined.folder.parent.parent / "outside.py"
        outside.write_text("OUT = 1\n")

        def plant_module():
            (joined.folder / "lightgbm.py").write_text("EVIL = 1\n")

        def link_file():
            code.unlink()
            code.symlink_to(outside)

        def link_folder():
            shutil.rmtree(code.parent)
            (outside.parent / "linked").mkdir()
            (outside.parent / "linked" / "deep.py").write_text("DEEP = 1\n")
            code.parent.symlink_to(outside.parent / "linked")

        def link_all():
            joined.folder.rename(outside.parent / "moved")
            joined.folder.symlink_to(outside.parent / "moved")

        def change_file():
            code.write_text("DEEP = 9\n")

        for change in (
            change_file,
            code.unlink,
            plant_module,
            link_file,
            link_folder,
            link_all,
        ):
            change()
            assert join_bundle(str(bundle), data=market).folder == joined.folder
            assert code.read_text() == "DEEP = 1\n"
            assert not code.is_symlink()
            assert not joined.folder.is_symlink()
            assert not (joined.folder / "lightgbm.py").exists()
        assert outside.read_text() == "OUT = 1\n"
        assert [path.name for path in joined.folder.parent.glob(".*")] == []

    def test_what_a_worker_keeps_there_stays(self, bundle, market):
        joined = join_bundle(str(bundle), data=market)
        kept = joined.folder / ".rollwright" / "logs" / "x.yaml"
        kept.parent.mkdir(parents=True)
        kept.write_text("x")
        join_bundle(str(bundle), data=market)
        assert kept.exists()

    def test_a_draft_of_a_killed_join_is_removed(self, bundle, market):
        joined = join_bundle(str(bundle), data=market)
        left = joined.folder.parent / ".joining-0"
        (left / "deep").mkdir(parents=True)
        join_bundle(str(bundle), data=market)
        assert not left.exists()

    def test_a_place_that_cannot_be_written_is_told(self, bundle, market, tmp_path):
        (tmp_path / "here" / "rollwright" / "bundles").write_text("a file")
        with pytest.raises(ConfigError, match="cannot be unpacked below"):
            join_bundle(str(bundle), data=market)
