from __future__ import annotations

from gateway.alerting.alert import Subject, with_links
from tests.gateway.alerting.samples import alert


def test_a_link_is_filled_in_and_left_out_where_something_is_missing() -> None:
    templates = (("run", "https://g.example/r?run={run}&agent={agent}"), ("user", "https://g.example/u/{user}"))
    found = with_links(alert(), templates).links
    assert found == (("run", "https://g.example/r?run=researcher%2Fr1&agent=researcher"),)


def test_what_clients_chose_cannot_leave_its_place_in_a_link() -> None:
    subject = Subject(user="x&admin=1#/../{agent}")
    (link,) = with_links(alert(subject=subject), [("u", "https://g.example/?u={user}")]).links
    assert link == ("u", "https://g.example/?u=x%26admin%3D1%23%2F..%2F%7Bagent%7D")
