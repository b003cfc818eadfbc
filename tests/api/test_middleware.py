"""Which middleware a request meets."""

import pytest
from django.test import Client


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("path", "headers", "is_for_people"),
    [
        ("/tweets", {}, False),
        ("/tweets", {"accept": "application/json", "authorization": "Bearer x"}, False),
        ("/tweets", {"accept": "text/html,*/*;q=0.8"}, True),
        ("/tweets", {"cookie": "sessionid=x"}, True),
        ("/nowhere", {}, True),
        ("/admin/login/", {"accept": "*/*"}, True),
    ],
)
def test_programs_are_spared_what_is_for_people(
    client: Client, path: str, headers: dict[str, str], is_for_people: bool
) -> None:
    answer = client.get(path, headers=headers)
    assert ("X-Frame-Options" in answer) == is_for_people
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert "Cookie" in answer["Vary"]
