# SPDX-License-Identifier: Apache-2.0
"""Command lines of everything that is measured: ours, the floor, the limit, the stateless peer."""

import subprocess
from pathlib import Path

import machine
import pfgen

BURSTS_OF_THE_FLOOR = (64, 128)
WINDOWS = 6


class Programs:
    """Knows the build folder, whether 2 MiB pages were granted, and where rule files go."""

    def __init__(self, folder: Path, granted: bool, scratch: Path):
        self.folder, self.granted, self.scratch = folder, granted, scratch
        self.library = folder / "librte_net_pfgen.so"
        self.prefix = machine.real_time_prefix()

    def _eal(self, cores_wanted):
        return machine.eal_arguments(self.granted, cores_wanted, "bench-measured")

    def _rule_file(self, language, rules):
        path = self.scratch / f"rules-{language}-{rules}.txt"
        if not path.exists():
            path.write_text(self.rules(language, rules))
        return path

    def rules(self, language, rules):
        return subprocess.run([self.folder / "print_rules", language, str(rules)], check=True, capture_output=True, text=True).stdout

    def dataplane(self, ports, **words):
        """Our data plane with `ports` (--vdev arguments)."""
        return [*self.prefix, self.folder / "dataplane_bench", *self._eal(f"{machine.HELPER_CORE},{machine.MEASURED_CORE}"),
                "--main-lcore", str(machine.HELPER_CORE), *ports, "--", *(f"{key}={value}" for key, value in words.items())]

    def memory(self):
        return [self.folder / "dataplane_bench", *self._eal(str(machine.MEASURED_CORE)), "--vdev", "net_null0", "--vdev", "net_null1",
                "--", "memory=1", "devices=net_null0,net_null1"]

    def classify(self):
        return [*self.prefix, self.folder / "classify_bench", *self._eal(str(machine.MEASURED_CORE))]

    def esp(self):
        return [*self.prefix, self.folder / "esp_bench"]

    def crypto_perf(self):
        """DPDK's own measuring program: the same library behind the cryptodev interface; encryption alone, no packet around it."""
        return [*self.prefix, "dpdk-test-crypto-perf", *self._eal(f"{machine.HELPER_CORE},{machine.MEASURED_CORE}"), "--vdev", "crypto_aesni_gcm0", "--",
                "--devtype", "crypto_aesni_gcm", "--optype", "aead", "--aead-algo", "aes-gcm", "--aead-op", "encrypt", "--aead-key-sz", "16",
                "--aead-iv-sz", "12", "--aead-aad-sz", "8", "--digest-sz", "16", "--ptest", "throughput", "--buffer-sz", "64,512,1400",
                "--burst-sz", "64", "--total-ops", "3000000", "--pool-sz", "2048", "--silent", "--csv-friendly"]

    def established(self, family, protocol, flows):
        shared = pfgen.flow_arguments(family, protocol, flows, handshake=1)
        sessions = max(65536, 1 << (flows * 3 // 2).bit_length())
        return self.dataplane(pfgen.two_ports(shared), sessions=sessions, rules=1000)

    def worlds(self, name, *words):
        """A program that brings its own ring ports and pages of 4 KiB."""
        return [self.folder / name, *words]

    def floor(self, flows, burst):
        return [*self.prefix, self.folder / "floor_filter", *self._eal(str(machine.MEASURED_CORE)), "--vdev", f"net_pfgen0,flows={flows}",
                "--", str(flows), str(burst)]

    def testpmd(self, flows):
        return [*self.prefix, "dpdk-testpmd", *self._eal(f"{machine.HELPER_CORE},{machine.MEASURED_CORE}"), "--main-lcore", str(machine.HELPER_CORE),
                "--vdev", f"net_pfgen0,flows={flows}", "--", "--forward-mode=macswap", "--auto-start"]

    def l3fwd(self, flows, rules):
        ipv6 = self.scratch / "rules-l3fwd-ipv6.txt"
        ipv6.write_text("R0:0:0:0:0:0:0:0/0 0:0:0:0:0:0:0:0/0 0 : 65535 0 : 65535 0/0x00 0\n")
        algorithm = "avx512x32" if machine.simd_bits() == 512 else "avx2"
        core = machine.MEASURED_CORE
        return [*self.prefix, self.folder / "l3fwd", *self._eal(str(core)), "--vdev", f"net_pfgen0,{pfgen.flow_arguments(4, 'udp', flows)}",
                "--", "-p", "1", "-P", f"--config=(0,0,{core})", "--lookup=acl", f"--alg={algorithm}",
                f"--rule_ipv4={self._rule_file('l3fwd', rules)}", f"--rule_ipv6={ipv6}"]

    def start(self, command, windows=WINDOWS, **how):
        return pfgen.start([str(word) for word in command], self.library, windows, **how)
