"""Messages between scheduler and worker."""

import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.jobs.channel import Channel, ChannelClosed, Message


@given(st.lists(st.dictionaries(st.text(), st.text() | st.integers() | st.none()), max_size=8))
def test_messages_arrive_whole_and_in_order(messages: list[Message]) -> None:
    left, right = socket.socketpair()
    sender, receiver = Channel(left), Channel(right)
    try:
        for message in messages:
            sender.send(message)

        assert [receiver.receive() for _ in messages] == messages
        assert receiver.poll() == []
    finally:
        sender.close()
        receiver.close()


def test_a_message_larger_than_any_buffer_arrives() -> None:
    left, right = socket.socketpair()
    sender, receiver = Channel(left), Channel(right)
    message: Message = {"lines": ["x" * 1000] * 5000}
    thread = threading.Thread(target=sender.send, args=(message,))

    thread.start()

    assert receiver.receive() == message
    thread.join()
    sender.close()
    receiver.close()


def test_what_the_other_side_does_not_take_yet_is_sent_when_it_does() -> None:
    left, right = socket.socketpair()
    sender, receiver = Channel(left), Channel(right)
    messages: list[Message] = [{"lines": ["x" * 1000] * 5000}, {"type": "exit"}, {"n": 1}]

    for message in messages:
        sender.offer(message)
    assert sender.owes
    arrived: list[Message] = []
    while len(arrived) < len(messages):
        arrived += receiver.poll()
        sender.poll()

    assert arrived == messages
    assert not sender.owes
    sender.close()
    receiver.close()


def test_an_offer_to_one_that_is_gone_says_so() -> None:
    left, right = socket.socketpair()
    kept = Channel(left)
    right.close()

    with pytest.raises(ChannelClosed):
        kept.offer({"type": "exit"})
    kept.close()


def test_a_channel_whose_other_side_is_gone_says_so_to_reader_and_writer() -> None:
    left, right = socket.socketpair()
    kept = Channel(left)
    right.close()

    with pytest.raises(ChannelClosed):
        kept.poll()
    with pytest.raises(ChannelClosed):
        kept.send({"type": "alive"})
    kept.close()


def test_what_was_sent_before_closing_is_still_read() -> None:
    left, right = socket.socketpair()
    sender, receiver = Channel(left), Channel(right)
    sender.send({"type": "ended"})
    sender.close()

    assert receiver.receive() == {"type": "ended"}
    with pytest.raises(ChannelClosed):
        receiver.receive()
    receiver.close()
