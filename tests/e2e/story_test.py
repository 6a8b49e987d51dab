# SPDX-License-Identifier: Apache-2.0
"""The demonstration comes true, row by row, and leaves nothing behind. Two packet threads tell the same story as one."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from lab import story
from lab.lab import NOTES, Lab
from lab.system import wait_until
from lab.topology import sweep

TREE = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module", params=[1, 2], ids=["one worker", "two workers"])
def rows(request):
    with Lab(workers=request.param, keying=("tunneld",)) as lab:
        told = story.tell(lab)
        print("\n".join(story.table(told)))
        yield told


def test_every_row_of_the_story_is_true(rows):
    assert [f"{row.who} -> {row.whom}, {row.what}: {row.seen}; log: {row.says}" for row in rows if not row.true] == []


def test_the_story_tells_what_it_is_for(rows):
    told = {(row.expected, row.what.split(",")[0].split(" ")[0]) for row in rows}

    assert {("passed", "curl"), ("refused", "curl"), ("no answer", "curl"), ("passed", "ping"), ("passed", "nc"),
            ("no answer", "forged"), ("passed", "behind"), ("not believed", "forged"), ("nothing crossed", "all"), ("in", "SSTP"), ("refused", "SSTP")} <= told


def _namespaces():
    return {name for name in os.listdir("/run/netns") if name.startswith("sekisho-")} if os.path.isdir("/run/netns") else set()


def _demo(*arguments):
    return subprocess.Popen([sys.executable, str(TREE / "board/demo"), *arguments], stdin=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "ONCE": ""})


def _mine(process):
    return {name for name in _namespaces() if f"-{process.pid}-" in name}


def _folders(process):
    """The folders the demo noted as its own; in state/, or elsewhere when the tree is closed to the daemons' users."""
    try:
        return [Path(folder) for folder in json.loads((NOTES / f"{process.pid}.json").read_text())["folders"]]
    except (OSError, ValueError):
        return []


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_ended_half_way_leaves_nothing_behind(sign):
    demo = _demo()
    wait_until(lambda: _mine(demo), 20, "namespaces of the demo")
    folders = _folders(demo)
    demo.send_signal(sign)
    demo.wait(120)

    assert folders and not any(folder.exists() for folder in folders)
    assert not _mine(demo)


def test_a_killed_demo_is_swept_by_the_next_run():
    demo = _demo()
    wait_until(lambda: [sock for folder in _folders(demo) for sock in folder.glob("run/*.sock")], 30, "daemons of the demo")
    folders = _folders(demo)
    demo.kill()
    demo.wait()
    assert _mine(demo)

    sweep(NOTES)

    assert not _mine(demo)
    assert not any(folder.exists() for folder in folders)
    assert not any(f"{folder}/" in words for folder in folders for words in _command_lines())


def _command_lines():
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield path.read_text(errors="replace")
        except OSError:
            continue  # ended meanwhile
