"""Prints what the tests need of promptfoo's out.json, as JSON Lines."""

import json
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    results = json.load(file)["results"]["results"]
for result in sorted(results, key=lambda it: it["testIdx"]):
    grading = result["gradingResult"] or {}
    # The result of a set of assertions is followed by those of its assertions.
    found = [it for it in grading.get("componentResults") or [] if it.get("assertion")]
    row = {
        "case": result["testCase"]["description"],
        "output": result["response"]["output"],
        "pass": result["success"],
        "score": result["score"],
        "assertions": [
            {"type": it["assertion"]["type"], "pass": it["pass"], "score": it["score"]}
            for it in found
        ],
    }
    print(json.dumps(row, ensure_ascii=False))
