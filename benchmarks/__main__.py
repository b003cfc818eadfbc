"""`python -m benchmarks [part ...]`: run the parts, print their tables, save the results."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console

from benchmarks import report
from benchmarks.report import Result
from benchmarks.rig import rig
from benchmarks.sizes import FULL, QUICK, Size

PAGES = ("page-growth", "page-memory", "processor", "read", "post")
DELIVERIES = ("big-account", "ordinary-tweets", "latency", "fan-out-growth", "workers")
NODES = ("nodes", "node-processor", "node-pages")
STREAMS = ("streams", "streams-fan-out", "streams-pages")
PARTS = ("memory", "storage", *PAGES, *DELIVERIES, *STREAMS, *NODES)


def main() -> int:
    """Run the parts named on the command line. Return the exit code: 1 if a target was missed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure what Twit costs."
    )
    parser.add_argument("parts", nargs="*", help=f"{', '.join(PARTS)} (default: all)")
    parser.add_argument(
        "--quick", action="store_true", help="use little data, to test the benchmarks"
    )
    parser.add_argument("--pages", type=int, help="how many different pages page-memory reads")
    parser.add_argument("--save", action="store_true", help="save to benchmarks/results/")
    asked = parser.parse_args()
    unknown = set(asked.parts) - set(PARTS)
    if unknown:
        parser.error(f"unknown part: {', '.join(sorted(unknown))}")
    size = QUICK if asked.quick else FULL
    if asked.pages:
        size = replace(size, different_pages=asked.pages)
    results = run(asked.parts or PARTS, size)
    if asked.save:
        report.save(results)
    missed = [
        f"{result.title}: {target.what}"
        for result in results
        for target in result.targets
        if not target.holds
    ]
    Console().print("\n- ".join(["Missed targets:", *missed]) if missed else "All targets are met.")
    return 1 if missed else 0


def run(asked: Sequence[str], size: Size) -> list[Result]:
    """Start servers, run the parts on them, and print each part's tables."""
    results = []
    with rig() as stack:
        # These modules need Django, and Django needs the addresses of the servers.
        from benchmarks import (
            deliveries,
            fan_out_growth,
            latency,
            memory,
            nodes,
            page_growth,
            page_memory,
            pages,
            posts,
            processor,
            storage,
            streams,
            workers,
        )

        read = (memory, storage, page_growth, page_memory, processor, pages, posts)
        modules = (*read, deliveries, latency, fan_out_growth, workers, streams, nodes)
        in_order = (part for module in modules for part in module.PARTS)
        parts = dict(zip(PARTS, in_order, strict=True))
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
