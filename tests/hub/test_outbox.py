"""What conflation promises."""

from gateway.hub.outbox import Outbox


def test_the_newest_text_of_a_key_replaces_the_older_one_and_leaves_in_order() -> None:
    outbox = Outbox(keys_max=10)
    outbox.put("Quote", "A", "a1")
    outbox.put("Quote", "B", "b1")
    outbox.put("Quote", "A", "a2")

    assert outbox.take() == ["b1", "a2"]
    assert outbox.take() == []
    assert outbox.conflated == 1


def test_the_same_key_of_another_message_is_another_record() -> None:
    outbox = Outbox(keys_max=10)
    outbox.put("Quote", "A", "q")
    outbox.put("Print", "A", "p")

    assert outbox.take() == ["q", "p"]


def test_more_keys_than_allowed_drop_everything_and_say_so() -> None:
    outbox = Outbox(keys_max=2)
    for key in "ABC":
        outbox.put("Quote", key, key)
    outbox.put("Quote", "A", "later")

    assert outbox.overflowed
    assert outbox.take() == []
