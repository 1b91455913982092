"""Rules that a recipe alone cannot break: the tests that break them are run, each must make a finding of its rule.

`python -m benchmarks.rules_fired` prints JSON: the test of each such rule (tests/support/offences.py), and the rules
whose test makes no finding of them. Those that recipes break are counted by `benchmarks.fuzz_validate`.
"""

from __future__ import annotations

import contextlib
import json
import sys
from typing import Any

import pytest

from hptransfer.errors import Finding
from tests.support.offences import FIRED_BY


def fired() -> dict[str, Any]:
    """Runs the tests, with the codes of all findings that are made in each."""
    made: dict[str, set[str]] = {}

    class Watch:
        """Notes the codes of all findings that are made while a test runs."""

        running = ""

        def pytest_runtest_logstart(self, nodeid: str) -> None:
            """Whose findings follow."""
            self.running = nodeid

    watch, construct = Watch(), Finding.__init__

    def noted(self: Finding, *args: Any, **kwargs: Any) -> None:
        construct(self, *args, **kwargs)
        made.setdefault(watch.running.split("[")[0], set()).add(self.code)
        made.setdefault(watch.running, set()).add(self.code)

    Finding.__init__ = noted  # type: ignore[method-assign]  # for this process, which ends after it
    tests = sorted(set(FIRED_BY.values()))
    with contextlib.redirect_stdout(sys.stderr):
        status = pytest.main([*tests, "-q", "-p", "no:cacheprovider", "-m", ""], plugins=[watch])
    never = sorted(code for code, test in FIRED_BY.items() if code not in made.get(test, ()))
    return {"tests": len(tests), "exit status": int(status), "fired by": FIRED_BY, "never": never}


if __name__ == "__main__":
    print(json.dumps(fired(), indent=1))
