"""Agents that are stuck. Each is followed until its last message; by then it should have been found."""

from __future__ import annotations

from collections.abc import Callable

from tests.gateway.guard.corpus.transcript import Transcript

Case = Callable[[], Transcript]

MISSED = {
    "a_question_put_in_other_words_each_time",
    "an_answer_that_carries_a_counter",
    "four_calls_that_take_turns",
    "an_edit_that_grows_a_blank_line_each_time",
    "a_fresh_token_among_the_arguments",
}
"""Stuck as well, but not by what the rule looks at."""


def the_same_search() -> Transcript:
    t = Transcript()
    for _ in range(3):
        t.call("search", {"results": []}, query="farebox manual")
    return t


def the_same_search_of_an_unknown_tool() -> Transcript:
    t = Transcript()
    for _ in range(3):
        t.call("kb", "No documents.", q="returns policy")
    return t


def a_search_among_other_searches() -> Transcript:
    t = Transcript()
    for other in ("cars", "planes"):
        t.call("search", "[]", q="trains").call("search", f"{other} found", q=other)
    return t.call("search", "[]", q="trains")


def keys_in_another_order() -> Transcript:
    t = Transcript().call("query", "0 rows", table="orders", limit=10)
    t.call("query", "0 rows", limit=10, table="orders")
    return t.call("query", "0 rows", table="orders", limit=10)


def two_files_by_turns() -> Transcript:
    t = Transcript()
    for _ in range(3):
        t.call("read_file", "a = 1", path="a.py").call("read_file", "b = 2", path="b.py")
    return t


def an_edit_and_its_undoing() -> Transcript:
    t = Transcript()
    for _ in range(3):
        t.call("edit_file", "ok", path="a.py", old="1", new="2").call("edit_file", "ok", path="a.py", old="2", new="1")
    return t


def a_test_and_the_same_edit() -> Transcript:
    t = Transcript()
    for _ in range(4):
        t.call("run_tests", "1 failed", path="tests").call("edit_file", "no change", path="a.py", new="x = 1")
    return t


def three_tools_by_turns() -> Transcript:
    t = Transcript()
    for _ in range(4):
        t.call("plan", "step 1", goal="ship").call("act", "nothing to do", step=1).call("reflect", "try again", step=1)
    return t


def a_bad_argument() -> Transcript:
    t = Transcript()
    for _ in range(3):
        t.call("create_ticket", "Invalid value for field `priority`: urgent", title="Printer", priority="urgent")
    return t


def a_missing_file() -> Transcript:
    t = Transcript()
    for _ in range(4):
        t.call("read_file", "FileNotFoundError: config.yml", path="config.yml")
    return t


def a_refused_permission() -> Transcript:
    t = Transcript()
    for _ in range(3):
        t.call("bash", "Permission denied", command="cat /etc/shadow")
    return t


def an_unknown_tool() -> Transcript:
    t = Transcript()
    for _ in range(3):
        t.call("browse_web", "No tool has the name browse_web.", url="https://example.com")
    return t


def a_shell_command() -> Transcript:
    t = Transcript()
    for _ in range(5):
        t.call("bash", "", command="make build")
    return t


def a_clean_tree_looked_at_again_and_again() -> Transcript:
    t = Transcript()
    for _ in range(4):
        t.call("git_status", "nothing to commit, working tree clean; all done")
    return t


def a_job_that_is_over() -> Transcript:
    t = Transcript()
    for _ in range(4):
        t.call("get_job_status", {"status": "completed"}, job="j-1")
    return t


def a_job_that_failed() -> Transcript:
    t = Transcript()
    for _ in range(3):
        t.call("get_job_status", {"status": "failed", "error": "disk full"}, job="j-1")
    return t


def a_job_asked_after_for_ever() -> Transcript:
    t = Transcript()
    for _ in range(14):
        t.call("get_job_status", {"status": "pending"}, job="j-1")
    return t


def a_job_asked_after_for_ever_with_naps() -> Transcript:
    t = Transcript()
    for _ in range(14):
        t.call("get_job_status", {"status": "pending"}, job="j-1").call("sleep", "ok", seconds=5)
    return t


def an_error_that_never_passes() -> Transcript:
    t = Transcript()
    for _ in range(13):
        t.call("fetch", "HTTP 503 Service Unavailable", url="https://example.com/a")
    return t


def the_same_page_for_ever() -> Transcript:
    t = Transcript()
    for _ in range(4):
        t.call("list_orders", {"orders": [1, 2], "next": 2}, page=1)
    return t


def two_last_pages_by_turns() -> Transcript:
    t = Transcript()
    for page in (1, 2, 3):
        t.call("list_orders", {"page": page}, page=page)
    for _ in range(3):
        t.call("list_orders", {"page": 4}, page=4).call("list_orders", {"page": 5}, page=5)
    return t


def a_click_that_does_nothing() -> Transcript:
    t = Transcript()
    for _ in range(3):
        t.call("click", "clicked", selector="#next")
    return t


def a_click_and_a_screenshot() -> Transcript:
    t = Transcript()
    for _ in range(4):
        t.call("click", "clicked", selector="#next").call("screenshot", "image 1: a login page")
    return t


def test_output_with_its_duration() -> Transcript:
    t = Transcript()
    for seconds in ("0.31s", "0.29s", "0.30s"):
        t.call("run_tests", f"FAILED tests/test_a.py::test_b - 1 failed in {seconds}")
    return t


def answers_with_a_time() -> Transcript:
    t = Transcript()
    for minute in range(3):
        t.call("lookup_customer", {"found": 0, "at": f"2026-11-21T07:{minute:02d}:00Z"}, name="Smith")
    return t


def answers_with_a_request_id() -> Transcript:
    t = Transcript()
    for number in range(3):
        t.call("lookup", {"id": f"6f1d3c2a-0000-4000-8000-00000000000{number}", "hits": []}, name="Smith")
    return t


def searches_after_honest_work() -> Transcript:
    t = Transcript()
    for number in range(12):
        t.call("read_file", f"line {number}", path=f"{number}.py")
    for _ in range(3):
        t.call("grep", "no match", pattern="TODO")
    return t


def a_delegate_asked_the_same() -> Transcript:
    t = Transcript()
    for _ in range(3):
        t.call("ask_researcher", "I could not find it.", question="What is the capital of Atlantis?")
    return t


def agents_that_hand_over_to_each_other() -> Transcript:
    t = Transcript()
    for _ in range(4):
        t.call("transfer_to_billing", "transferred").call("transfer_to_support", "transferred")
    return t


def a_handover_to_itself() -> Transcript:
    t = Transcript()
    for _ in range(3):
        t.call("transfer_to_support", "transferred")
    return t


def a_thought_without_end() -> Transcript:
    t = Transcript()
    for _ in range(3):
        t.call("think", "ok", thought="I should look at the file.")
    return t


def the_same_email() -> Transcript:
    t = Transcript()
    for _ in range(3):
        t.call("send_email", "sent", to="boss@example.com", text="Hello")
    return t


def the_same_charge() -> Transcript:
    t = Transcript()
    for _ in range(3):
        t.call("charge_card", {"error": "card declined"}, card="c-1", cents=100)
    return t


def a_user_proxy_that_says_go_on() -> Transcript:
    t = Transcript()
    for _ in range(5):
        t.call("search", "[]", q="x").say("I am still looking.").user("Continue.")
    return t


def a_user_proxy_that_counts() -> Transcript:
    t = Transcript()
    for step in range(1, 6):
        t.call("search", "[]", q="x").user(f"Step {step} of 20. Continue.")
    return t


def the_same_sum() -> Transcript:
    t = Transcript()
    for _ in range(4):
        t.call("calculator", "4", expression="2+2")
    return t


def pairs_side_by_side() -> Transcript:
    t = Transcript()
    for _ in range(4):
        t.together(("weather", {"city": "Paris"}, "rain"), ("weather", {"city": "Rome"}, "sun"))
    return t


def a_long_document_read_again() -> Transcript:
    t = Transcript()
    for _ in range(3):
        t.call("read_file", "All work and no play. " * 1_500, path="novel.txt")
    return t


def a_list_without_arguments() -> Transcript:
    t = Transcript()
    for _ in range(3):
        t.call("list_files", "a.py\nb.py")
    return t


def a_read_between_other_reads() -> Transcript:
    t = Transcript()
    for number in range(4):
        t.call("read_file", "TODO: everything", path="plan.md").call("read_file", f"{number}", path=f"{number}.py")
    return t


def an_sql_query() -> Transcript:
    t = Transcript()
    for _ in range(3):
        t.call("run_sql", 'column "usr" does not exist', sql="select usr from users")
    return t


def a_failing_build_without_any_edit() -> Transcript:
    t = Transcript()
    for number in range(3):
        t.call("run_build", "error: missing semicolon at line 3").call("view_file", f"part {number}", start=number)
    return t


def a_spelling_that_changes_little() -> Transcript:
    t = Transcript()
    for _ in range(2):
        t.call("search", "[]", q="x", limit=5).call("search", "[]", limit=5, q="x")
    return t


# --- missed ---


def a_question_put_in_other_words_each_time() -> Transcript:
    t = Transcript()
    for words in ("farebox docs", "docs farebox", "farebox documentation", "documentation of farebox", "farebox doc"):
        t.call("search", "[]", q=words)
    return t


def an_answer_that_carries_a_counter() -> Transcript:
    t = Transcript()
    for number in range(5):
        t.call("search", {"hits": [], "queries_today": 100 + number}, q="x")
    return t


def four_calls_that_take_turns() -> Transcript:
    t = Transcript()
    for _ in range(4):
        t.call("plan", "ok").call("act", "ok").call("observe", "ok").call("reflect", "ok")
    return t


def an_edit_that_grows_a_blank_line_each_time() -> Transcript:
    t = Transcript()
    for number in range(1, 6):
        t.call("edit_file", "ok", path="a.py", new="\n" * number).call("run_tests", "1 failed")
    return t


def a_fresh_token_among_the_arguments() -> Transcript:
    t = Transcript()
    for number in range(5):
        t.call("fetch", "not found", url="https://example.com/a", nonce=number)
    return t


LOOPING: dict[str, Case] = {
    name: case
    for name, case in list(globals().items())
    if callable(case) and getattr(case, "__module__", "") == __name__ and not name.startswith("_")
}
