#!/usr/bin/env python3
"""Prints what compare.py found, as Markdown: table.py FOLDER NAME...

The exit code is 1 if a server is missing, a prompt has other tokens, or a text differs from the
local engine's without a near tie.
"""

import datetime
import json
import os
import re
import sys
from pathlib import Path


def machine():
    words = Path("/proc/cpuinfo").read_text().split()
    kinds = [("amx_tile", "AVX-512 and AMX"), ("avx512f", "AVX-512"), ("avx2", "AVX2")]
    best = next((name for word, name in kinds if word in words), "no AVX2")
    return "%d cores, %s" % (os.cpu_count(), best)


def flavour(result):
    found = re.search(r", (\S+) at http", result["about"])
    return found.group(1) if found else "?"


def prompts(result):
    """One cell about the prompt's tokens in all stories."""
    cells = []
    for story, row in result["stories"].items():
        if not (prompt := row.get("prompt")):
            cells.append("%s not written" % story)
            continue
        known = isinstance(prompt["ids"], list)
        size = "%d ids" % len(prompt["ids"]) if known else "%s tokens" % prompt["ids"]
        cells.append("%s %s %s" % (story, size, "equal" if prompt["same"] else "**differ**"))
    hows = {row["prompt"]["how"] for row in result["stories"].values() if "prompt" in row}
    return "%s (by %s)" % (", ".join(cells), ", ".join(sorted(hows)))


def text(row):
    if row.get("failed"):
        return "**failed**: " + row["failed"].splitlines()[-1].replace("|", "\\|")
    return row["compared"] if row["same"] else "**%s**" % row["compared"]


def limits(result):
    """What the server could not do, from illumine's own words and from what came of them."""
    probes = result["probes"]
    words = "\n".join([result["said"], *(it["said"] + "\n" + it["out"] for it in probes.values())])
    without = re.findall(r"without effect on this server: (.*)", words)
    names = dict.fromkeys(name for one in without for name in one.split(", "))
    found = ["takes no " + ", ".join("`%s`" % name for name in names)] if names else []
    if "does not report its context size" in words:
        found.append("does not report its context size")
    if "token counts are estimates" in words:
        found.append("counts no tokens")
    if "Alternatives after" not in probes["prose"]["out"]:
        found.append("no `/alts`")
    last = probes["chat"]["messages"]
    if last and last[-1]["role"] == "user":
        found.append("a reply is continued by an instruction")
    if " young" in probes["bans"]["out"].replace("Banned young", ""):
        found.append("bans do not hold")
    refused = re.findall(r"The server refuses (\w+)", words)
    found += ["refuses `%s`" % name for name in dict.fromkeys(refused)]
    failed = [name for name, it in probes.items() if it["code"] not in (0, 2)]
    found += ["the probe %s failed" % name for name in failed]
    return "; ".join(found) or "nothing"


def main(folder, names):
    good = True
    print("%s, on %s:\n" % (datetime.date.today().isoformat(), machine()))
    print("| server | flavour | prompt tokens | opening | chat | passage | could not |")
    print("|---|---|---|---|---|---|---|")
    for name in names:
        if not (folder / (name + ".json")).exists():
            good = False
            print("| %s | **not run** | | | | | |" % name)
            continue
        result = json.loads((folder / (name + ".json")).read_text())
        rows = result["stories"].values()
        good &= all(row.get("same") and row["prompt"]["same"] for row in rows)
        cells = [name, flavour(result), prompts(result), *map(text, rows), limits(result)]
        print("| %s |" % " | ".join(cells))
    return 0 if good else 1


sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
