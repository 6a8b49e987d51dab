# SPDX-License-Identifier: Apache-2.0
"""sekishoctl as a person and a program meet it: help, JSON everywhere, tab completion, errors that say what to do."""

import json
import re
import subprocess
from pathlib import Path

import pytest

SHOWS = ("tenants", "ports", "bindings", "rules", "nat", "sessions", "neighbours", "drops", "status")


@pytest.mark.parametrize("what", SHOWS)
def test_every_show_speaks_json(lab, what):
    rows = lab.appliance.show(what)

    assert isinstance(rows, (list, dict))
    assert rows or what in ("sessions", "drops", "nat")


@pytest.mark.parametrize("what", SHOWS)
def test_every_show_speaks_to_people(lab, what):
    text = lab.appliance.ctl("show", what).stdout

    assert text.strip() and not text.lstrip().startswith(("[", "{"))


def test_rules_count_their_hits_by_name(lab):
    lab["acme-pc"].curl("http://10.0.0.2/")
    rows = lab.appliance.show("rules", "--tenant", "acme")
    hit = next(row for row in rows if row["name"] == "web for the office")

    assert int(hit["connections"]) >= 1


def test_counters_of_a_rule_survive_a_commit(lab):
    lab["acme-pc"].curl("http://10.0.0.2/")

    def hits():
        return int(next(row for row in lab.appliance.show("rules", "--tenant", "acme") if row["name"] == "web for the office")["connections"])

    before = hits()
    lab.appliance.commit(lab.config)
    assert hits() >= before > 0


def test_check_and_diff_speak_json(lab):
    assert json.loads(lab.appliance.ctl("--json", "config", "check", lab.config).stdout)["ok"] is True
    assert json.loads(lab.appliance.ctl("--json", "config", "diff", lab.config).stdout)["changes"] == []


def test_help_names_every_command(lab):
    text = lab.appliance.ctl("--help").stdout

    assert all(word in text for word in ("config", "show", "log"))


def test_an_unknown_command_is_refused_in_words(lab):
    done = lab.appliance.ctl("shwo", "rules", check=False)

    assert done.returncode != 0 and done.stderr.strip()


def _complete(lab, line):
    """What bash offers at the end of `line`, by the tool's own completion script."""
    tool = str(lab.appliance.binaries / "sekishoctl")
    script = f"""
source <({tool} completion bash)
COMP_LINE={line!r}; COMP_POINT=${{#COMP_LINE}}
read -ra COMP_WORDS <<<"$COMP_LINE"; [[ $COMP_LINE == *' ' ]] && COMP_WORDS+=('')
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
function_name=$(complete -p sekishoctl | sed -E 's/.*-F ([^ ]+).*/\\1/')
"$function_name" sekishoctl "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD-1]}}"
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=20,
                          env={"PATH": f"{lab.appliance.binaries}:/usr/bin:/bin", "SEKISHO_RUN_DIR": str(lab.appliance.run_dir)})
    return {word.strip() for word in done.stdout.split()}


def test_tab_completion_offers_commands_and_what_can_be_shown(lab):
    assert {"config", "show", "log"} <= _complete(lab, "sekishoctl ")
    assert {"rules", "sessions"} <= _complete(lab, "sekishoctl show ")
    assert "rollback" in _complete(lab, "sekishoctl config ro")


def test_tab_completion_offers_an_options_values(lab):
    assert _complete(lab, "sekishoctl log download --window ") == {"month", "thirty-days", "days"}
    assert _complete(lab, "sekishoctl vpn profile alice --for a") == {"apple", "android"}
    assert {"audit", "vpn", "loss"} <= _complete(lab, "sekishoctl log search --type ")
    assert _complete(lab, "sekishoctl log erase ") >= {"schedule", "withdraw"}
    assert "acm00000001" in _complete(lab, "sekishoctl show rules --tenant ")
    assert "month" not in _complete(lab, "sekishoctl show rules --limit ")


def test_every_command_has_help_and_every_answer_is_json_when_asked(lab, tmp_path):
    """Commands are found as a person finds them, by the help of what stands above."""
    def leaves(path):
        said = lab.appliance.ctl(*path, "--help").stdout
        below = said.partition("Subcommands:\n")[2].partition("\n\n")[0]
        names = re.findall(r"^  ([a-z][a-z-]*) ", below, flags=re.M)
        assert "Usage:" in said, path
        return [path] if not names else [leaf for name in names for leaf in leaves([*path, name])]

    found = {" ".join(path) for path in leaves([])}
    page = (Path(__file__).resolve().parents[2] / "docs/sekishoctl.md").read_text()
    assert [leaf for leaf in found if leaf not in page and not leaf.startswith("show ")] == [], "commands the page does not know"
    assert {"show rules", "config commit", "log verify", "erasure key", "backup create", "factory-wipe", "explain"} <= found
    key, backup, secret = tmp_path / "unit.pub", tmp_path / "unit.backup", tmp_path / "passphrase"
    secret.write_text("twelve characters at least\n")
    for command in (["erasure", "key", "-o", key], ["erasure", "list"], ["backup", "create", backup, "--passphrase-file", secret],
                    ["log", "status"], ["log", "exports"], ["log", "verify", "--tenant", "acm00000001"],
                    ["log", "erase", "report", "--tenant", "acm00000001"], ["account", "list"], ["config", "revisions"],
                    ["log", "download", "--tenant", "acm00000001", "--window", "month", "-o", tmp_path / "month.json"]):
        answer = json.loads(lab.appliance.ctl("--json", *map(str, command), check=False).stdout)
        assert isinstance(answer, list) or answer.get("ok", True) is True or "error" in answer, command
    assert json.loads(lab.appliance.ctl("--json", "backup", "restore", str(backup), "--passphrase-file", str(key), check=False).stdout)["ok"] is False
