"""What conflation promises."""

from gateway.hub.outbox import Outbox


def key(name: str, of: str, feed: str = "f") -> tuple[str, str, str]:
    return (feed, name, of)


def taken(outbox: Outbox, count: int = 100) -> list[str]:
    outbox.begin()
    return [text for _, text in outbox.take(count)]


def test_the_newest_text_of_a_key_replaces_the_older_one_and_leaves_in_order() -> None:
    outbox = Outbox(keys_max=10)
    outbox.put(key("Quote", "A"), "a1")
    outbox.put(key("Quote", "B"), "b1")
    outbox.put(key("Quote", "A"), "a2")

    assert taken(outbox) == ["b1", "a2"]
    assert taken(outbox) == []
    assert outbox.conflated == 1


def test_the_same_key_of_another_message_or_feed_is_another_record() -> None:
    outbox = Outbox(keys_max=10)
    outbox.put(key("Quote", "A"), "q")
    outbox.put(key("Print", "A"), "p")
    outbox.put(key("Quote", "A", feed="g"), "g")

    assert taken(outbox) == ["q", "p", "g"]


def test_more_keys_than_allowed_drop_everything_and_say_so() -> None:
    told: list[bool] = []
    outbox = Outbox(keys_max=2, on_first=lambda: told.append(outbox.overflowed))
    for each in "ABC":
        outbox.put(key("Quote", each), each)
    outbox.put(key("Quote", "A"), "later")

    assert outbox.overflowed
    assert taken(outbox) == []
    assert told == [False, True]


def test_what_comes_while_a_batch_leaves_waits_for_the_next_so_that_numbers_stay_in_order() -> None:
    outbox = Outbox(keys_max=10)
    for each in ("1", "2", "3"):
        outbox.put(key("Quote", each), each)

    assert taken(outbox, 2) == ["1", "2"]
    outbox.put(key("Quote", "1"), "4")
    outbox.put(key("Quote", "3"), "5")
    assert outbox.is_leaving
    assert taken(outbox) == ["3"]
    assert taken(outbox) == ["4", "5"]


def test_a_key_that_changes_all_the_time_is_not_kept_behind_the_others() -> None:
    outbox = Outbox(keys_max=100)
    seen: list[str] = []
    for step in range(50):
        for each in range(10):
            outbox.put(key("Quote", f"{step} {each}"), "quiet")
        outbox.put(key("Quote", "hot"), f"hot {step}")
        seen += taken(outbox, 5)
        if outbox.overflowed:
            break

    assert any(text.startswith("hot") for text in seen)


def test_a_notice_is_not_conflated_and_stays_when_records_are_forgotten() -> None:
    outbox = Outbox(keys_max=10)
    outbox.put_notice("f", "first")
    outbox.put(key("Quote", "A"), "a")
    outbox.put(key("Quote", "B"), "b")
    outbox.put_notice("f", "second")

    outbox.discard({("Quote", "A")})
    assert [outbox.begin(), len(outbox)] == [True, 3]
    outbox.discard({("Quote", "B")})
    assert taken(outbox) == ["first", "second"]

    outbox.put_notice("f", "third")
    outbox.put(key("Quote", "A"), "a")
    outbox.clear()
    assert taken(outbox) == ["third"]


def test_whoever_writes_is_told_when_something_begins_to_wait() -> None:
    told: list[int] = []
    outbox = Outbox(keys_max=10, on_first=lambda: told.append(1))
    outbox.put(key("Quote", "A"), "a1")
    outbox.put(key("Quote", "A"), "a2")
    outbox.put(key("Quote", "B"), "b")
    taken(outbox)
    outbox.put(key("Quote", "A"), "a3")

    assert len(told) == 2


def test_notices_that_are_leaving_stay_when_the_records_are_forgotten() -> None:
    outbox = Outbox(keys_max=10)
    outbox.put(key("Quote", "A"), "a")
    outbox.put_notice("f", "gap")
    outbox.begin()

    outbox.clear()

    assert [text for _, text in outbox.take(10)] == ["gap"]
