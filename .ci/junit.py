"""Counts the tests of a JUnit report: passed and failed, then a line for each skipped test with its reason."""

import re
import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter


def reason(case: ElementTree.Element) -> str:
    """Why a test was skipped: GoogleTest says so in its output, pytest in the report."""
    output = case.findtext("system-out") or ""
    said = re.search(r": Skipped\n(.*?)\n\s*\[  SKIPPED", output, re.DOTALL)
    return said[1].strip() if said else case.find("skipped").get("message", "")


def main(path: str) -> None:
    cases = list(ElementTree.parse(path).iter("testcase"))
    failed = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    skipped = Counter(reason(case) for case in cases if case not in failed and case.find("skipped") is not None)
    print(len(cases) - len(failed) - skipped.total(), len(failed))
    for why, count in sorted(skipped.items()):
        print(f"    skipped {count}: {why}")


main(sys.argv[1])
