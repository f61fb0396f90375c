"""Agents that repeat themselves with reason, or hardly. No request of any of them may be taken for a loop."""

from __future__ import annotations

from collections.abc import Callable

from tests.gateway.guard.corpus.transcript import Transcript

Case = Callable[[], Transcript]

# --- polling ---


def a_job_pending_eight_times() -> Transcript:
    t = Transcript().call("start_job", {"job": "j-1"}, kind="report")
    for _ in range(8):
        t.call("get_job_status", {"status": "pending"}, job="j-1")
    return t.call("get_job_status", {"status": "completed"}, job="j-1")


def a_job_with_naps() -> Transcript:
    t = Transcript().call("start_job", {"job": "j-1"}, kind="report")
    for _ in range(10):
        t.call("get_job_status", {"status": "running"}, job="j-1").call("sleep", "slept", seconds=30)
    return t.call("get_job_status", {"status": "succeeded"}, job="j-1")


def a_job_with_naps_in_the_shell() -> Transcript:
    t = Transcript()
    for _ in range(6):
        t.call("bash", "", command="sleep 30").call("bash", "deployment/web 1/3 pending", command="kubectl get pods")
    return t.call("bash", "deployment/web 3/3", command="kubectl get pods")


def a_job_with_progress() -> Transcript:
    t = Transcript()
    for percent in range(0, 100, 7):
        t.call("get_job", {"percent": percent}, job="j-1")
    return t


def a_job_whose_status_text_changes() -> Transcript:
    t = Transcript()
    for text in ("queued", "starting", "building", "testing", "uploading", "done"):
        t.call("build_info", text, build=7)
    return t


def a_job_that_is_not_ready() -> Transcript:
    t = Transcript()
    for _ in range(5):
        t.call("download_result", {"ready": False}, task="t-9")
    return t.call("download_result", {"ready": True, "url": "https://example.com/r"}, task="t-9")


def a_job_with_an_eta() -> Transcript:
    t = Transcript()
    for eta_s in (120, 90, 60, 30, 10):
        t.call("transcode", f"processing, {eta_s} s left", video="v-1")
    return t


def an_empty_inbox() -> Transcript:
    t = Transcript()
    for _ in range(6):
        t.call("check_inbox", [])
    return t.call("check_inbox", ["hello"])


def an_empty_queue() -> Transcript:
    t = Transcript()
    for _ in range(5):
        t.call("receive_messages", {"messages": []}, queue="work")
    return t


def a_deployment_health_check() -> Transcript:
    t = Transcript()
    for _ in range(4):
        t.call("http_get", "HTTP 502 Bad Gateway", url="https://example.com/healthz")
    return t.call("http_get", "HTTP 200 OK", url="https://example.com/healthz")


def a_port_that_opens() -> Transcript:
    t = Transcript().call("bash", "started", command="server &")
    for _ in range(4):
        t.call("bash", "curl: (7) connection refused", command="curl localhost:8000")
    return t.call("bash", "hello", command="curl localhost:8000")


def a_user_who_has_not_answered_yet() -> Transcript:
    t = Transcript().call("ask_human", "asked", question="May I deploy?")
    for _ in range(5):
        t.call("get_approval", "not yet approved", request=4)
    return t.call("get_approval", "approved", request=4)


def a_lock_held_by_others() -> Transcript:
    t = Transcript()
    for _ in range(4):
        t.call("acquire_lock", {"error": "resource is locked"}, name="db")
    return t.call("acquire_lock", {"held": True}, name="db")


def a_clock() -> Transcript:
    t = Transcript()
    for minute in range(5):
        t.call("current_time", f"2026-11-21T07:{minute:02d}:00Z")
    return t


def a_price_watch() -> Transcript:
    t = Transcript()
    for price in ("10.01", "10.02", "9.99", "10.00", "10.05"):
        t.call("get_price", {"price": price}, symbol="ABC")
    return t


def a_pipeline_with_logs_between() -> Transcript:
    t = Transcript()
    for line in range(6):
        t.call("pipeline_status", "in_progress", id=3).call("read_log", f"line {line}", id=3)
    return t.call("pipeline_status", "passed", id=3)


def a_growing_log() -> Transcript:
    t = Transcript()
    for size in range(6):
        t.call("tail", "\n".join(f"event {n}" for n in range(size)), file="app.log")
    return t


def naps_of_growing_length() -> Transcript:
    t = Transcript()
    for seconds in (1, 2, 4, 8, 16):
        t.call("task_state", "queued", id=1).call("wait", "ok", seconds=seconds)
    return t


def a_thread_of_an_assistant() -> Transcript:
    t = Transcript()
    for _ in range(7):
        t.call("retrieve_run", {"object": "run", "status": "in_progress"}, run="r-1")
    return t.call("retrieve_run", {"object": "run", "status": "completed"}, run="r-1")


# --- paging ---


def pages_by_number() -> Transcript:
    t = Transcript()
    for page in range(1, 15):
        t.call("list_orders", {"orders": [page]}, page=page)
    return t


def pages_that_are_empty_by_number() -> Transcript:
    t = Transcript()
    for page in range(1, 8):
        t.call("list_orders", {"orders": []}, page=page)
    return t


def pages_by_cursor() -> Transcript:
    t = Transcript()
    for cursor in ("", "c1", "c2", "c3", "c4"):
        t.call("list_issues", {"items": ["x"]}, cursor=cursor)
    return t


def pages_of_a_cursor_that_the_tool_keeps() -> Transcript:
    t = Transcript()
    for page in range(8):
        t.call("next_page", {"rows": [page]})
    return t


def a_file_in_pieces() -> Transcript:
    t = Transcript()
    for start in range(0, 1_000, 100):
        t.call("read_file", f"lines {start} on", path="a.py", offset=start)
    return t


def scrolling() -> Transcript:
    t = Transcript()
    for screen in range(6):
        t.call("scroll_down", f"image {screen}")
    return t


def scrolling_without_looking() -> Transcript:
    t = Transcript()
    for screen in range(6):
        t.call("scroll", "ok", y=600).call("screenshot", f"image {screen}: more text")
    return t


def a_menu_walked_with_the_same_key() -> Transcript:
    t = Transcript()
    for item in ("File", "Edit", "View", "Help"):
        t.call("press_key", "ok", key="Right").call("screenshot", f"{item} is marked")
    return t


# --- trying again after an error ---


def a_timeout_twice() -> Transcript:
    t = Transcript()
    for _ in range(3):
        t.call("fetch", "Error: timed out after 30s", url="https://example.com")
    return t.call("fetch", "<html>", url="https://example.com")


def a_503_with_backoff() -> Transcript:
    t = Transcript()
    for seconds in (1, 2, 4, 8):
        t.call("api", "503 Service Unavailable", path="/orders").call("sleep", "ok", seconds=seconds)
    return t.call("api", {"orders": 3}, path="/orders")


def a_busy_upstream() -> Transcript:
    t = Transcript()
    for _ in range(6):
        t.call("search", {"error": {"code": 429, "message": "slow down"}}, q="x")
    return t.call("search", ["hit"], q="x")


def a_network_that_drops() -> Transcript:
    t = Transcript()
    for _ in range(4):
        t.call("git_push", "fatal: connection reset by peer", remote="origin")
    return t.call("git_push", "pushed", remote="origin")


def a_deadlock() -> Transcript:
    t = Transcript()
    for _ in range(3):
        t.call("run_sql", "deadlock detected", sql="update a set b = 1")
    return t.call("run_sql", "1 row", sql="update a set b = 1")


def a_tool_that_overloads() -> Transcript:
    t = Transcript()
    for _ in range(3):
        t.call("translate", "The model is overloaded. Please try again.", text="hello")
    return t.call("translate", "hallo", text="hello")


def an_error_once_more() -> Transcript:
    return Transcript().call("parse", "syntax error", file="a.json").call("parse", "syntax error", file="a.json")


def errors_with_other_arguments() -> Transcript:
    t = Transcript()
    for path in ("config.yml", "config.yaml", "conf/config.yaml", "etc/config.yaml", "settings.yaml"):
        t.call("read_file", "no such file", path=path)
    return t


def an_argument_put_right() -> Transcript:
    t = Transcript()
    for priority in ("urgent", "highest", "p1", "high"):
        t.call("create_ticket", "Invalid value" if priority != "high" else "created", priority=priority)
    return t


# --- work that comes back to the same call ---


def a_failing_test_with_edits() -> Transcript:
    t = Transcript()
    for number in range(6):
        t.call("edit_file", "ok", path="a.py", new=f"x = {number}").call("run_tests", "1 failed: test_x")
    return t.call("run_tests", "all passed")


def a_failing_test_with_patches_in_the_shell() -> Transcript:
    t = Transcript()
    for number in range(6):
        t.call("bash", "", command=f"sed -i s/{number}/{number + 1}/ a.py")
        t.call("bash", "FAILED test_x", command="pytest -q")
    return t


def a_failing_test_with_reads_and_edits() -> Transcript:
    t = Transcript()
    for number in range(4):
        t.call("read_file", "x = 1", path="a.py").call("apply_patch", "ok", patch=f"+{number}")
        t.call("run_tests", "1 failed")
    return t


def a_build_after_each_new_dependency() -> Transcript:
    t = Transcript()
    for package in ("a", "b", "c", "d"):
        t.call("install", "ok", package=package).call("build", "error: a header is missing")
    return t


def a_todo_list_read_between_tasks() -> Transcript:
    t = Transcript()
    for number in range(5):
        t.call("read_file", "- many tasks", path="todo.md").call("write_file", "ok", path=f"{number}.py", text="x")
    return t


def a_file_read_twice() -> Transcript:
    return Transcript().call("read_file", "a = 1", path="a.py").call("read_file", "a = 1", path="a.py")


def a_file_read_before_and_after() -> Transcript:
    t = Transcript().call("read_file", "a = 1", path="a.py").call("edit_file", "ok", path="a.py", new="a = 2")
    return t.call("read_file", "a = 2", path="a.py").call("read_file", "b = 2", path="b.py")


def git_status_between_changes() -> Transcript:
    t = Transcript()
    for number in range(5):
        t.call("edit_file", "ok", path=f"{number}.py", new="x").call("git_status", "modified files: several")
    return t


def a_screenshot_after_each_click() -> Transcript:
    t = Transcript()
    for button in ("#a", "#b", "#c", "#d", "#e"):
        t.call("click", "clicked", selector=button).call("screenshot", "image: the same page")
    return t


def a_form_filled_field_by_field() -> Transcript:
    t = Transcript()
    for field in ("name", "street", "city", "country"):
        t.call("type_text", "ok", field=field, text="x").call("press_key", "ok", key="Tab")
    return t


def a_list_of_customers_one_by_one() -> Transcript:
    t = Transcript()
    for number in range(10):
        t.call("lookup_customer", "not found", id=number)
    return t


def a_mail_to_each_of_many() -> Transcript:
    t = Transcript()
    for number in range(8):
        t.call("send_email", "sent", to=f"user{number}@example.com", text="The same text for all.")
    return t


def a_check_before_each_booking() -> Transcript:
    t = Transcript()
    for seat in ("1A", "1B", "1C", "1D"):
        t.call("get_seat_map", "free: many", flight="F1").call("book_seat", "booked", flight="F1", seat=seat)
    return t


def dice() -> Transcript:
    t = Transcript()
    for result in ("4", "1", "6", "4", "2"):
        t.call("roll_dice", result, sides=6)
    return t


def random_numbers_side_by_side() -> Transcript:
    return Transcript().together(*(("roll_dice", {"sides": 6}, result) for result in ("4", "4", "4", "1", "4")))


def the_same_call_side_by_side() -> Transcript:
    return Transcript().together(*(("weather", {"city": "Paris"}, "rain") for _ in range(4)))


def thoughts_that_differ() -> Transcript:
    t = Transcript()
    for thought in ("Read the file.", "It is Python.", "Find main().", "Change it.", "Test it."):
        t.call("think", "ok", thought=thought)
    return t


def notes_taken() -> Transcript:
    t = Transcript()
    for number in range(6):
        t.call("remember", "saved", note=f"fact {number}")
    return t


def sums() -> Transcript:
    t = Transcript()
    for number in range(6):
        t.call("calculator", str(number * 2), expression=f"{number}*2")
    return t


def a_plan_updated_after_each_step() -> Transcript:
    t = Transcript()
    for number in range(5):
        t.call("act", "ok", step=number).call("update_plan", "ok", done=number).call("show_plan", f"{number} of 5")
    return t


# --- conversations ---


def a_user_who_asks_again() -> Transcript:
    t = Transcript("How is the weather in Paris?")
    for words in ("And now?", "Has it changed?", "Look once more, please.", "Still?"):
        t.call("weather", "rain", city="Paris").say("It rains.").user(words)
    return t.call("weather", "rain", city="Paris")


def a_support_chat_with_many_customers_questions() -> Transcript:
    t = Transcript()
    for question in ("Where is my order?", "When does it come?", "Can I change it?", "Who brings it?"):
        t.user(question).call("get_order", {"state": "shipped"}, id=7).say("It is on its way.")
    return t


def a_chat_without_tools() -> Transcript:
    t = Transcript()
    for _ in range(8):
        t.say("Yes.").user("Are you sure?")
    return t


def words_about_tool_calls() -> Transcript:
    t = Transcript('What does "tool_calls" mean?')
    for _ in range(5):
        t.say('"tool_calls" is a field of a message.').user('And "function_call"?')
    return t


def a_handover_and_back() -> Transcript:
    t = Transcript()
    for question in ("An invoice is wrong.", "And my password is lost.", "Now the invoice again."):
        t.user(question).call("transfer_to_billing", "transferred").call("transfer_to_support", "transferred")
    return t


def a_delegate_with_other_questions() -> Transcript:
    t = Transcript()
    for topic in ("cars", "planes", "trains", "ships", "bicycles"):
        t.call("ask_researcher", "Nothing is known.", question=f"What is new about {topic}?")
    return t


def research_with_many_searches() -> Transcript:
    t = Transcript()
    for number in range(12):
        t.call("search", "[]", q=f"idea {number}").call("fetch", "404 not found", url=f"https://example.com/{number}")
    return t


def two_sources_compared() -> Transcript:
    t = Transcript()
    for year in range(2018, 2026):
        t.call("census", {"n": year}, year=year).call("registry", {"n": year}, year=year)
    return t


def a_long_document_that_speaks_of_waiting() -> Transcript:
    t = Transcript().call("read_file", "The train was running late, pending repairs. " * 100, path="novel.txt")
    return t.call("read_file", "The train was running late, pending repairs. " * 100, path="novel.txt")


def a_schema_looked_up_twice_among_queries() -> Transcript:
    t = Transcript().call("describe_table", "id, name", table="users")
    for number in range(4):
        t.call("run_sql", "0 rows", sql=f"select {number}")
    t.call("describe_table", "id, name", table="users")
    return t.call("run_sql", "0 rows", sql="select 9").call("describe_table", "id, name", table="users")


def a_game_of_moves() -> Transcript:
    t = Transcript()
    for move in ("left", "left", "left", "up", "left", "left"):
        t.call("move", f"at {len(t.messages)}", direction=move)
    return t


def a_notebook_cell_run_after_each_change() -> Transcript:
    t = Transcript()
    for number in range(5):
        t.call("edit_cell", "ok", cell=1, source=f"lr = {number}").call("run_cell", "NameError: df", cell=2)
    return t


HONEST: dict[str, Case] = {
    name: case
    for name, case in list(globals().items())
    if callable(case) and getattr(case, "__module__", "") == __name__ and not name.startswith("_")
}
