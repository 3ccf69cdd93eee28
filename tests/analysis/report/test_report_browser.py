"""The page in a headless Chromium: no error, no request, nothing wider than the screen, every chart drawn.

Pictures and the console log of each view stay in the folder of the test, or in that of `ROLLWRIGHT_TEST_PICTURES`.
"""

from __future__ import annotations

import csv
import io
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from headless_chromium import Tab, chromium, find_chromium
from made_report import make_report, make_traded, make_variant
from rollwright.analysis.report import render_report

pytestmark = pytest.mark.skipif(find_chromium() is None, reason="there is no Chromium: apt-get install chromium")

PHONE, DESKTOP = 360, 1440


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    return {lang: render_report(make_report(lang=lang), folder / f"{lang}.html") for lang in ("en", "zh")}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    given = os.environ.get("ROLLWRIGHT_TEST_PICTURES")
    folder = Path(given) if given else tmp_path_factory.mktemp("pictures")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.mark.parametrize(
    ("lang", "width", "dark"),
    [
        ("en", DESKTOP, True),
        ("zh", PHONE, False),
        pytest.param("en", PHONE, True, marks=pytest.mark.slow),
        pytest.param("zh", DESKTOP, False, marks=pytest.mark.slow),
    ],
)
def test_every_chart_is_drawn_and_nothing_goes_wrong(browser, pages, pictures, lang, width, dark):
    tab = Tab(browser, width=width, dark=dark, phone=width == PHONE)
    tab.open(pages[lang])
    charts = tab.run("document.querySelectorAll('[data-figure]').length")
    assert charts > 10
    assert tab.draw_all() == charts
    name = f"{lang}-{width}-{'dark' if dark else 'light'}"
    tab.screenshot(pictures / f"{name}.png")
    (pictures / f"{name}.log").write_text("\n".join(tab.said()) + "\n")
    assert tab.said() == []
    assert tab.run("document.documentElement.scrollWidth") <= width
    too_wide = tab.run(
        """[...document.querySelectorAll("[data-figure] .main-svg, section, .card, h1, nav")]
          .filter(each => each.getBoundingClientRect().right > innerWidth + 1).length"""
    )
    assert too_wide == 0
    tab.close()


def test_a_chart_is_drawn_only_when_it_comes_near_the_window(browser, pages):
    tab = Tab(browser, width=DESKTOP)
    tab.open(pages["en"])
    drawn = "document.querySelectorAll('[data-figure] > .plot-container').length"
    assert tab.run(drawn) < tab.run("document.querySelectorAll('[data-figure]').length")
    tab.close()


def test_the_reader_can_choose_between_light_and_dark(browser, pages):
    tab = Tab(browser, width=DESKTOP)
    tab.open(pages["en"])
    colour = "getComputedStyle(document.body).backgroundColor"
    light = tab.run(colour)
    tab.run("document.getElementById('theme').click()")
    dark = tab.run(colour)
    assert dark != light
    assert tab.run("document.getElementById('theme').textContent") == "Light"
    tab.run("document.getElementById('theme').click()")
    assert tab.run(colour) == light
    assert tab.said() == []
    tab.close()


def test_a_dark_page_is_printed_on_white(browser, pages, pictures):
    tab = Tab(browser, width=DESKTOP, dark=True)
    tab.open(pages["en"])
    tab.draw_all()
    tab.print_pdf(pictures / "print.pdf")
    assert (pictures / "print.pdf").read_bytes().startswith(b"%PDF")
    tab.call("Emulation.setEmulatedMedia", media="print", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    assert tab.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert tab.run("getComputedStyle(document.querySelector('#contents')).display") == "none"
    tab.close()


SAVE = """(async () => {
  let saved;
  const link = HTMLAnchorElement.prototype.click;
  HTMLAnchorElement.prototype.click = function () { saved = [this.download, this.href]; };
  const revoke = URL.revokeObjectURL;
  URL.revokeObjectURL = () => {};
  const blobs = {};
  const create = URL.createObjectURL;
  URL.createObjectURL = blob => { const url = create(blob); blobs[url] = blob; return url; };
  document.querySelector("[data-table='TABLE'] [data-form='FORM']").click();
  HTMLAnchorElement.prototype.click = link;
  URL.revokeObjectURL = revoke;
  URL.createObjectURL = create;
  return [saved[0], await blobs[saved[1]].text()];
})()"""


def test_tables_are_saved_from_the_page_itself(browser, pages, tmp_path):
    evil = make_traded().frame("sensitivity").assign(note='=cmd("x"), y')
    variant = make_variant()
    stages = (*variant.stages[:2], make_traded(sensitivity=evil))
    page = render_report(make_report(variants=[replace(variant, stages=stages)]), tmp_path / "page.html")
    tab = Tab(browser, width=DESKTOP)
    tab.open(page)
    account = make_traded().frame("account")
    name, text = tab.run(SAVE.replace("TABLE", "account").replace("FORM", "csv"))
    rows = list(csv.DictReader(io.StringIO(text)))
    assert name == "account.csv"
    assert [row["datetime"] for row in rows] == [f"{day:%Y-%m-%d}" for day in account.index]
    assert [float(row["return"]) for row in rows] == pytest.approx(account["return"].tolist(), rel=1e-7)
    name, text = tab.run(SAVE.replace("TABLE", "account").replace("FORM", "json"))
    found = json.loads(text)
    assert name == "account.json"
    assert found["units"]["account"] == "currency"
    assert found["data"]["cost"] == [1e-4] * len(account)
    _, text = tab.run(SAVE.replace("TABLE", "sensitivity").replace("FORM", "csv"))
    notes = {row["note"] for row in csv.DictReader(io.StringIO(text))}
    assert notes == {'\'=cmd("x"), y'}, "a spreadsheet must not run it"
    assert tab.said() == []
    tab.close()


def test_the_members_of_a_signal_are_closed_until_a_link_leads_to_them(browser, tmp_path):
    variants = [make_variant(name="all", is_signal=True), make_variant(name="trees"), make_variant(name="line")]
    tab = Tab(browser, width=DESKTOP)
    tab.open(render_report(make_report(variants=variants), tmp_path / "page.html"))
    opened = "[...document.querySelectorAll('details.part')].map(each => each.open)"
    assert tab.run(opened) == [False, False]
    tab.run("document.querySelector('nav a[href=\"#variant-3\"]').click()")
    assert tab.run("new Promise(done => setTimeout(() => done(true), 200))")
    assert tab.run(opened) == [False, True]
    assert tab.said() == []
    tab.close()


def test_a_page_without_charts_has_no_error_either(browser, tmp_path):
    page = render_report(make_report(variants=[]), tmp_path / "empty.html")
    tab = Tab(browser, width=PHONE, phone=True)
    tab.open(page)
    assert tab.run("document.querySelector('h1').textContent") == "A campaign"
    assert tab.said() == []
    tab.close()


FICKLE = """#!/bin/sh
# Dies at its first two starts, as Chromium does now and then on a busy machine.
count=$(cat "{count}" 2>/dev/null || echo 0)
echo $((count + 1)) > "{count}"
[ "$count" -lt 2 ] && {{ echo "GPU process is not usable" >&2; exit 5; }}
exec "{real}" "$@"
"""


def write_program(path, text):
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def test_a_browser_that_dies_at_its_start_is_started_again(tmp_path):
    fickle = write_program(tmp_path / "fickle", FICKLE.format(count=tmp_path / "count", real=find_chromium()))
    with chromium(tmp_path / "profile", path=fickle) as found:
        assert Tab(found, width=PHONE).run("1 + 1") == 2
    assert (tmp_path / "count").read_text().strip() == "3"


def test_a_browser_that_never_starts_says_why(tmp_path):
    broken = write_program(tmp_path / "broken", "#!/bin/sh\necho no library libnss >&2\nexit 5\n")
    with (
        pytest.raises(ConnectionError, match=r"(?s)in 2 tries.*no library libnss"),
        chromium(tmp_path / "profile", path=broken, tries=2),
    ):
        pass
