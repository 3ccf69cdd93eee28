"""Files made to harm: nothing is run, built or filled up, and the answer is a typed error in little time."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

import pytest

from rollwright.campaign.yaml.document import MAX_BYTES, read_document
from rollwright.errors import ConfigError

LAUGHS = "\n".join(["a0: &a0 {k: lol}", *(f"a{n}: &a{n} {{x: *a{n - 1}, y: *a{n - 1}}}" for n in range(1, 40))])
MERGED_LAUGHS = "\n".join(["a0: &a0 {k: lol}", *(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}" for n in range(1, 40))])
HOSTILE = {
    "apply": "a: !!python/object/apply:os.system ['touch marker']\n",
    "new": "a: !!python/object/new:subprocess.Popen [['touch', 'marker']]\n",
    "name": "a: !!python/name:os.system ''\n",
    "module": "a: !!python/module:antigravity ''\n",
    "own tag": "a: !run 'touch marker'\n",
    "tag of a key": "!!python/object/apply:os.system ['touch marker']: 1\n",
    "tag behind a directive": "%TAG ! tag:yaml.org,2002:python/\n---\na: !object/apply:os.system ['touch marker']\n",
    "laughs": LAUGHS,
    "laughs of merges": MERGED_LAUGHS,
    "deep lists": "[" * 60_000,
    "deep mappings": "a: " + "{a: " * 15_000,
    "many values": "a: [" + "a," * 30_000 + "]",
    "many wrong keys": "".join(f"{n}: x\n" for n in range(6_000)),
    "huge integer": "a: " + "9" * 60_000,
    "too large": "a: " + "x" * MAX_BYTES,
    "control characters": "a: \x01\x02\n",
    "recursive": "a: &a {b: *a}\n",
    "template that runs": "a: {{ cycler.__init__.__globals__.os.system('touch marker') }}\n",
    "template that reads": "a: {% include '/etc/passwd' %}\n",
    "template that grows": "a: {{ 'x' * 10 ** 9 }}\n",
    "template that loops": "{% for a in range(10 ** 9) %}{% endfor %}a: 1\n",
    "base that is a device": "BASE_CONFIG_PATH: /dev/zero\n",
    "base that is a folder": "BASE_CONFIG_PATH: /\n",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_it_is_refused_without_effect(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "hostile.yaml"
    path.write_text(HOSTILE[name])
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.process_time()
    with pytest.raises(ConfigError) as caught:
        read_document(path, environ={})
    assert time.process_time() - begun < 8  # 2 s of a machine that does nothing else, which a busy one makes five
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 256 * 1024
    assert len(str(caught.value)) < 20_000
    assert not (tmp_path / "marker").exists()


def test_a_device_is_no_file():
    with pytest.raises(ConfigError, match="it is not a regular file"):
        read_document(Path("/dev/zero"))


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(ConfigError, match="it is not a regular file"):
        read_document(tmp_path / "pipe.yaml")
