"""A headless Chromium, spoken to over two pipes: no port is opened and nothing is asked of the network."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
from contextlib import contextmanager

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
    "--no-first-run", "--no-default-browser-check", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--disable-extensions", "--mute-audio", "--remote-debugging-pipe",
)  # fmt: skip

START = """import fcntl, os, sys
low, high = (fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3])
os.dup2(low, 3)  # Chromium reads from 3 and writes to 4
os.dup2(high, 4)
os.execv(sys.argv[3], sys.argv[3:])"""
OURS = ("file:", "blob:", "data:")  # what leaves no machine; a heat map is a picture in the page


def find_chromium():
    """Return the path of a Chromium, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@contextmanager
def chromium(profile, *, limit=120.0, tries=3, path=None):
    """Start Chromium with a folder in `profile`, wait until it answers, and end it afterwards.

    Chromium gives up now and then when it is started on a machine that is busy: the start, and nothing else, is tried
    up to `tries` times, each with a profile of its own. What it said stands in the message when none succeeds.
    """
    said = []
    for number in range(tries):
        process, browser, log = _start(path or find_chromium(), profile / f"start-{number}", limit)
        try:
            browser.call("Browser.getVersion")
        except (OSError, RuntimeError) as error:  # a pipe without a reader, an early end, or silence
            _end(process, browser)
            said.append(
                f"start {number + 1}: {error}, exit {process.returncode}\n{log.read_text(errors='replace')[-2000:]}"
            )
            continue
        break
    else:
        raise ConnectionError(f"Chromium did not start in {tries} tries\n" + "\n".join(said))
    try:
        yield browser
    finally:
        _end(process, browser)


def _start(path, profile, limit):
    """Return a process of Chromium, the pipes to it, and the file of what it says."""
    profile.mkdir(parents=True)
    log = profile / "stderr.txt"
    ours_read, theirs_write = os.pipe()
    theirs_read, ours_write = os.pipe()
    command = [path, *FLAGS, f"--user-data-dir={profile / 'user'}", "about:blank"]
    with log.open("wb") as told:
        process = subprocess.Popen(
            [sys.executable, "-S", "-c", START, str(theirs_read), str(theirs_write), *command],
            pass_fds=(theirs_read, theirs_write), stdin=subprocess.DEVNULL, stdout=told, stderr=told,
            env={**os.environ, "HOME": str(profile)},
        )  # fmt: skip
    os.close(theirs_read)
    os.close(theirs_write)
    return process, Browser(ours_read, ours_write, limit, log), log


def _end(process, browser):
    """Close the pipes, at which Chromium ends by itself, and make sure that it does."""
    browser.close()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Browser:
    """The two pipes: commands go out, answers and events come in, each ended by a zero byte."""

    def __init__(self, read, write, limit, log):
        self.read, self.write, self.limit, self.log = read, write, limit, log
        self.number, self.buffer, self.events = 0, b"", []

    def call(self, method, session=None, **params):
        """Give a command and return its answer; events that come meanwhile are kept."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params} | ({"sessionId": session} if session else {})
        left = memoryview(json.dumps(message).encode() + b"\0")
        try:
            while left:
                left = left[os.write(self.write, left) :]
        except BrokenPipeError:
            raise self._lost("Chromium ended") from None
        while True:
            answer = self.receive()
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def receive(self):
        """Return the next message."""
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.read], [], [], self.limit)
            if not ready:
                raise self._lost(f"Chromium says nothing for {self.limit:g} seconds")
            part = os.read(self.read, 1 << 20)
            if not part:
                raise self._lost("Chromium ended")
            self.buffer += part
        message, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(message)

    def _lost(self, what):
        """Return the error that tells what the browser said last."""
        return ConnectionError(f"{what}; it said last:\n{self.log.read_text(errors='replace')[-2000:]}")

    def close(self):
        """Close both pipes."""
        os.close(self.write)
        os.close(self.read)

    def wait_for(self, method):
        """Return the next event of that name."""
        while True:
            for place, event in enumerate(self.events):
                if event.get("method") == method:
                    return self.events.pop(place)
            self.events.append(self.receive())


class Tab:
    """One page, its console and what it asked of the network."""

    def __init__(self, browser, *, width, height=900, dark=False, phone=False):
        self.browser, self.width, self.height = browser, width, height
        self.target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = browser.call("Target.attachToTarget", targetId=self.target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def call(self, method, **params):
        return self.browser.call(method, session=self.session, **params)

    def open(self, path):
        """Open a file and wait until it has been read."""
        self.call("Page.navigate", url=path.resolve().as_uri())
        self.browser.wait_for("Page.loadEventFired")

    def run(self, script):
        """Return the JSON value of an expression; a promise is awaited."""
        found = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in found:
            raise RuntimeError(found["exceptionDetails"])
        return found["result"].get("value")

    def draw_all(self):
        """Scroll through the page, so that every chart is drawn, and return how many there are."""
        return self.run(
            """(async () => {
              const pause = () => new Promise(done => requestAnimationFrame(() => setTimeout(done, 30)));
              for (const chart of document.querySelectorAll("[data-figure]")) {
                if (!chart.checkVisibility()) continue;  // in what is closed
                chart.scrollIntoView({block: "center", behavior: "instant"});
                for (let tries = 0; tries < 200 && !chart.querySelector(".main-svg"); tries++) await pause();
              }
              window.scrollTo({top: 0, behavior: "instant"});
              await pause();
              return document.querySelectorAll("[data-figure] > .plot-container").length;
            })()"""
        )

    def screenshot(self, path, *, whole=True):
        """Write a picture of the page, or of what the window shows of it."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        height = size["height"] if whole else self.height
        clip = {"x": 0, "y": 0, "width": self.width, "height": height, "scale": 1}
        found = self.call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(found["data"]))

    def print_pdf(self, path):
        """Write the page as it is printed."""
        path.write_bytes(base64.b64decode(self.call("Page.printToPDF", printBackground=False)["data"]))

    def close(self):
        """Close the page."""
        self.browser.call("Target.closeTarget", targetId=self.target)

    def said(self):
        """Return what page and browser said: the console, errors, and requests that are no file of ours."""
        lines = []
        for event in self.browser.events:
            if event.get("sessionId") != self.session:
                continue
            method, params = event["method"], event["params"]
            if method == "Runtime.consoleAPICalled":
                lines.append(f"console.{params['type']}: {[one.get('value') for one in params['args']]}")
            elif method == "Runtime.exceptionThrown":
                lines.append(f"exception: {params['exceptionDetails']}")
            elif method == "Log.entryAdded":
                lines.append(f"log.{params['entry']['level']}: {params['entry']['text']}")
            elif method == "Network.requestWillBeSent" and not params["request"]["url"].startswith(OURS):
                lines.append(f"request: {params['request']['url'][:80]}")
        return lines
