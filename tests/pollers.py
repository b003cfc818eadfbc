"""A client that comes back: it follows `rel="prev"` and counts how often it is given each tweet."""

from collections import Counter

import httpx

MOST_PAGES = 200


class Poller:
    """Polls one timeline. It knows no server, so several of them can answer in turns."""

    def __init__(self, path: str) -> None:
        self.address = path  # of the next request
        self.given: Counter[int] = Counter()

    def ask(self, web: httpx.Client) -> list[int]:
        """Return the ids on the next page, newest first. The first page is the newest one."""
        return self.take(web.get(self.address).raise_for_status())

    def take(self, answer: httpx.Response) -> list[int]:
        """Return the ids on this page, newest first. Its `prev` is asked for next."""
        ids = [int(tweet["id"]) for tweet in answer.json()]
        assert ids == sorted(set(ids), reverse=True)
        self.address = httpx.URL(answer.links["prev"]["url"]).raw_path.decode()
        self.given.update(ids)
        return ids

    def poll(self, web: httpx.Client) -> list[int]:
        """Ask until a page is empty. Return all ids, each page's lowest first."""
        found: list[int] = []
        for _ in range(MOST_PAGES):
            ids = self.ask(web)
            found += ids[::-1]
            if not ids:
                return found
        raise AssertionError(f"it goes on after {MOST_PAGES} pages")

    def repetitions(self) -> int:
        """Return how often a tweet was given that had been given before."""
        return self.given.total() - len(self.given)
