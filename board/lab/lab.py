# SPDX-License-Identifier: Apache-2.0
"""One run: wires, daemons, configuration, servers; all of it gone at the end, however the end comes."""

import os
import shutil

from .appliance import Appliance, make_root
from .system import LabError, wait_until
from .topology import TREE, Topology, sweep

NOTES = TREE / "state" / "runs"
DEMO_CONFIG = TREE / "board" / "demo-config.yaml"


class Lab:
    """`with Lab() as lab`: the demonstration's world, configured and serving."""

    def __init__(self, binaries=None, workers=1, config=DEMO_CONFIG, commit=True, driver="af_packet", remote_access=False, keying=()):
        sweep(NOTES)
        self.tag = str(os.getpid())
        self.config = config
        self.topology = Topology(self.tag, NOTES)
        self.appliance = None
        self._options = {"binaries": binaries, "workers": workers, "driver": driver}
        self._commit = commit
        self._keying = ("iked",) if remote_access else tuple(keying)
        self.root = None

    def __getitem__(self, name):
        return self.topology[name]

    def __enter__(self):
        try:
            self._build()
        except BaseException:
            self.close()
            raise
        return self

    def _build(self):
        self.topology.write_note([TREE / "state" / f"lab-{self.tag}"])
        self.root = make_root(self.tag)
        self.topology.write_note([self.root])
        self.topology.build()
        self.appliance = Appliance(self.root, self.topology, **self._options)
        self.appliance.start(self._keying)
        wait_until(self.appliance.answers, 15, "controld answering")
        if self._commit:
            self.appliance.commit(self.config)
        self.topology.serve(self.root / "pages")

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Takes everything down. Safe at any point, also twice."""
        try:
            if self.appliance:
                self.appliance.stop()
        except LabError as error:
            print(f"while stopping: {error}")
        self.topology.remove()
        if self.root:
            shutil.rmtree(self.root, ignore_errors=True)
        for folder in (NOTES, TREE / "state"):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
