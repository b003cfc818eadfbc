import random
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from rich.progress import Progress

from api.commands import ServerCommand
from timelines.management.readers import reader_ids
from timelines.reading.rebuild import rebuild
from timelines.verify import Finding, verify

SHOWN_IDS = 10  # how many missing tweets are named per list


class Command(ServerCommand):
    help = (
        "Compare the home timelines in Redis with Postgres: all of them, or those of the named "
        "users. 'Believed' lists are those that readers are served from. A list is not believed "
        "if its owner's follows have changed or another server has been admitted since it was "
        "built; the next read rebuilds it. 'Missing' counts delivered tweets that should be in a "
        "list but are not; if a believed list lacks any and was not repaired, the exit code is 1. "
        "'Surplus' counts entries that are never shown, such as those of deleted tweets; they only "
        "cost memory. A tweet counts as delivered once all parts of its fan-out are done. You can "
        "run this command while the service runs."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("users", nargs="*", metavar="USER", help="a username, or a user's id")
        add("--sample", type=int, metavar="N", help="compare only N of them, at random")
        add("--repair", action="store_true", help="rebuild lists with differences")

    def handle(self, *, users: list[str], sample: int | None, repair: bool, **options: Any) -> None:
        """Report all differences. Raises CommandError if a believed list still lacks a tweet."""
        ids = reader_ids(users, everybody=not users)
        if sample is not None and sample < len(ids):
            ids = random.sample(ids, max(sample, 0))
        findings: list[Finding] = []
        wrong = repaired = 0
        with Progress() as progress:
            for reader_id in progress.track(ids, description="Verifying"):
                if (finding := verify(reader_id)) is None:
                    continue
                findings.append(finding)
                if finding.missing or finding.surplus:
                    self._describe(reader_id, finding)
                    if repair and rebuild(reader_id).is_stored:
                        repaired += 1
                    elif finding.is_wrong:
                        wrong += 1
        self._summarise(findings)
        if repair:
            self.stdout.write(f"{repaired:,} rebuilt")
        if wrong:
            raise CommandError(f"{wrong:,} home timelines lack tweets; --repair rebuilds them")

    def _describe(self, reader_id: int, finding: Finding) -> None:
        missing = sorted(finding.missing, reverse=True)
        named = ", ".join(map(str, missing[:SHOWN_IDS])) + (", ..." if missing[SHOWN_IDS:] else "")
        self.stdout.write(
            f"user {reader_id}{'' if finding.is_believed else ' (not believed)'}: "
            f"{len(missing)} missing{f' ({named})' if named else ''}, "
            f"{len(finding.surplus)} surplus"
        )

    def _summarise(self, findings: list[Finding]) -> None:
        entries = sum(finding.entries for finding in findings)
        memory = sum(finding.memory_bytes for finding in findings)
        self.stdout.write(
            f"{len(findings):,} timelines, {sum(f.is_believed for f in findings):,} believed: "
            f"{sum(len(f.missing) for f in findings if f.is_believed):,} missing, "
            f"{sum(len(f.surplus) for f in findings):,} surplus; {entries:,} entries in "
            f"{memory:,} bytes ({memory / max(entries, 1):.1f} an entry)"
        )
