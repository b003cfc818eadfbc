"""`python -m benchmarks [part ...]`: measure, print, and keep the results."""

import argparse
import sys
from collections.abc import Sequence

from rich.console import Console

from benchmarks import report
from benchmarks.report import Result
from benchmarks.rig import rig
from benchmarks.sizes import FULL, QUICK, Size

PAGES = ("page-growth", "read", "post")
DELIVERIES = ("big-account", "ordinary-tweets", "latency", "fan-out-growth")
PARTS = ("memory", *PAGES, *DELIVERIES)


def main() -> int:
    """Run the parts that are asked for; returns 1 if a target is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="What Twit costs.")
    parser.add_argument("parts", nargs="*", help=f"all, or some of {', '.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="small worlds: does it work at all?")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/")
    asked = parser.parse_args()
    unknown = set(asked.parts) - set(PARTS)
    if unknown:
        parser.error(f"no such part: {', '.join(unknown)}")
    results = run(asked.parts or PARTS, QUICK if asked.quick else FULL)
    if asked.save:
        report.save(results)
    missed = [target.what for result in results for target in result.targets if not target.holds]
    Console().print(f"Missed: {', '.join(missed)}" if missed else "All targets hold.")
    return 1 if missed else 0


def run(asked: Sequence[str], size: Size) -> list[Result]:
    """Run those parts on servers of their own, and print each one's table."""
    results = []
    with rig() as stack:
        # These need Django, which needs the servers.
        from benchmarks import deliveries, memory, pages

        parts = dict(zip(PARTS, (*memory.PARTS, *pages.PARTS, *deliveries.PARTS), strict=True))
        prepared = None
        for name in [name for name in PARTS if name in asked]:
            prepare, part = parts[name]
            if prepare is not prepared:
                prepare(stack, size)
                prepared = prepare
            for result in part(stack, size):
                report.show(result)
                results.append(result)
    return results


if __name__ == "__main__":
    sys.exit(main())
