"""The simulated network: what arrives, when, and who learns of what does not."""

import asyncio
import random
from dataclasses import dataclass, field

import pytest

from tests.simulation.loop import NODE
from tests.simulation.network import Conditions, Network, Socket
from tests.unit.simulation.rig import ADDRESS, CLIENT, SERVER, Rig, simulated

MANY = 200


@dataclass(slots=True)
class Line:
    """A connection from the client to the server, and what both of its ends saw, with the time of it."""

    rig: Rig
    client: Socket
    server: Socket
    events: list[str] = field(default_factory=list)

    def listen(self) -> None:
        self.client.on_message = lambda item: self.events.append(f"client got {item}")
        self.server.on_message = lambda item: self.events.append(f"server got {item}")
        self.client.on_broken = lambda _: self.events.append(f"client broke at {NODE.get()}")
        self.server.on_broken = lambda _: self.events.append(f"server broke at {NODE.get()}")


async def connected(rig: Rig) -> Line:
    accepted: list[Socket] = []
    rig.network.listen(SERVER, ADDRESS, accepted.append)
    client = await rig.at(CLIENT, rig.network.connect(CLIENT, ADDRESS))
    line = Line(rig, client, accepted[0])
    line.listen()
    return line


@simulated
async def test_a_message_arrives_at_its_node_after_the_delay() -> None:
    rig = Rig(conditions=Conditions(delay=(1.0, 2.0)))
    arrived: list[tuple[str, float]] = []
    rig.network.send(CLIENT, SERVER, lambda: arrived.append((NODE.get(), rig.loop.time())))
    await asyncio.sleep(3)
    assert [node for node, _ in arrived] == [SERVER]
    assert 1.0 <= arrived[0][1] <= 2.0


@simulated
async def test_messages_overtake_each_other_and_some_are_lost_or_doubled() -> None:
    rig = Rig(conditions=Conditions(delay=(0.0, 1.0), loss=0.2))
    arrived: list[int] = []
    for number in range(MANY):
        rig.network.send(CLIENT, SERVER, lambda number=number: arrived.append(number), may_duplicate=True)  # type: ignore[misc]
    await asyncio.sleep(3)
    assert arrived != sorted(arrived)
    assert len(arrived) > len(set(arrived))
    assert set(arrived) < set(range(MANY))


@simulated
async def test_a_message_is_lost_when_the_link_is_cut_now_or_at_its_arrival() -> None:
    rig = Rig()
    arrived: list[str] = []
    rig.network.send(CLIENT, SERVER, lambda: arrived.append("in flight"))
    rig.network.cut(CLIENT, SERVER, is_one_way=True)
    rig.network.send(CLIENT, SERVER, lambda: arrived.append("there"))
    rig.network.send(SERVER, CLIENT, lambda: arrived.append("back"))
    await asyncio.sleep(1)
    assert arrived == ["back"]
    assert rig.network.counters["lost"] == 2


@simulated
async def test_a_message_does_not_reach_the_next_incarnation() -> None:
    rig = Rig()
    arrived: list[str] = []
    rig.network.send(CLIENT, SERVER, lambda: arrived.append("old"))
    rig.kill(SERVER)
    rig.boot(SERVER)
    rig.network.send(CLIENT, SERVER, lambda: arrived.append("new"))
    await asyncio.sleep(1)
    assert arrived == ["new"]


@simulated
async def test_a_connection_keeps_the_order() -> None:
    line = await connected(Rig(conditions=Conditions(delay=(0.0, 1.0), loss=0.2)))
    for number in range(MANY):
        line.client.send(number)
    await asyncio.sleep(10)
    assert line.events == [f"server got {number}" for number in range(MANY)]


@simulated
async def test_what_was_sent_before_a_close_arrives() -> None:
    line = await connected(Rig())
    line.client.send(1)
    line.client.close()
    await asyncio.sleep(1)
    assert line.events == ["server got 1", "server broke at server"]


@simulated
async def test_bytes_wait_for_a_link_that_heals_in_time() -> None:
    rig = Rig()
    line = await connected(rig)
    line.client.send(1)
    rig.network.cut(CLIENT, SERVER)
    line.client.send(2)
    await asyncio.sleep(4)
    assert line.events == []
    rig.network.heal(CLIENT, SERVER)
    line.client.send(3)
    await asyncio.sleep(60)
    assert line.events == [f"server got {number}" for number in (1, 2, 3)]


@simulated
async def test_both_ends_of_a_cut_connection_break_by_their_own_keep_alive() -> None:
    rig = Rig()
    line = await connected(rig)
    line.client.send(1)
    rig.network.cut(CLIENT, SERVER)
    await asyncio.sleep(5)
    assert line.events == []
    await asyncio.sleep(10.1)
    assert sorted(line.events) == ["client broke at client", "server broke at server"]
    rig.network.heal(CLIENT, SERVER)
    await asyncio.sleep(60)
    assert len(line.events) == 2


@simulated
async def test_a_one_way_cut_lets_one_side_speak_until_it_breaks() -> None:
    rig = Rig()
    line = await connected(rig)
    rig.network.cut(SERVER, CLIENT, is_one_way=True)
    line.client.send(1)
    line.server.send(2)
    await asyncio.sleep(1)
    assert line.events == ["server got 1"]
    await asyncio.sleep(15)
    assert len(line.events) == 3


@simulated
async def test_an_end_that_gave_up_resets_the_other_once_the_link_heals() -> None:
    rig = Rig(conditions=Conditions(break_after=(5.0, 15.0)), seed=4)
    line = await connected(rig)
    rig.network.cut(CLIENT, SERVER)
    while not line.events:  # noqa: ASYNC110 - virtual seconds cost nothing
        await asyncio.sleep(0.1)
    rig.network.heal(CLIENT, SERVER)
    await asyncio.sleep(0.1)
    assert len(line.events) == 2


@simulated
async def test_the_peer_of_a_killed_node_is_reset_at_once() -> None:
    rig = Rig()
    line = await connected(rig)
    line.client.send(1)
    rig.kill(SERVER)
    await asyncio.sleep(0.01)
    assert line.events == ["client broke at client"]


@simulated
async def test_the_peer_of_a_killed_node_behind_a_cut_learns_by_its_keep_alive() -> None:
    rig = Rig()
    line = await connected(rig)
    rig.network.cut(CLIENT, SERVER)
    rig.kill(SERVER)
    await asyncio.sleep(5)
    assert line.events == []
    await asyncio.sleep(10.1)
    assert line.events == ["client broke at client"]


@simulated
async def test_a_killed_node_may_lose_the_last_that_it_sent_but_nothing_before_it() -> None:
    counts = set()
    for seed in range(30):
        rig = Rig(seed)
        line = await connected(rig)
        for number in range(3):
            line.server.send(number)
        rig.kill(SERVER)
        await asyncio.sleep(1)
        received = line.events[:-1]
        assert received == [f"client got {number}" for number in range(len(received))]
        assert line.events[-1] == "client broke at client"
        counts.add(len(received))
    assert counts == {0, 1, 2, 3}


@simulated
async def test_a_paused_node_answers_no_keep_alive_and_finds_its_connection_reset() -> None:
    rig = Rig()
    line = await connected(rig)
    rig.pause(SERVER)
    line.client.send(1)
    await asyncio.sleep(15.1)
    assert line.events == ["client broke at client"]
    rig.resume(SERVER)
    await asyncio.sleep(0.1)
    assert line.events[-1] == "server broke at server"


@simulated
async def test_a_node_that_was_paused_too_long_still_reads_what_reached_it_in_time() -> None:
    rig = Rig()
    line = await connected(rig)
    rig.pause(SERVER)
    line.client.send("stale")
    await asyncio.sleep(20)
    rig.resume(SERVER)
    await asyncio.sleep(0.1)
    assert line.events == ["client broke at client", "server got stale", "server broke at server"]


@simulated
async def test_a_short_pause_only_delays() -> None:
    rig = Rig()
    line = await connected(rig)
    rig.pause(SERVER)
    line.client.send(1)
    await asyncio.sleep(4)
    assert line.events == []
    rig.resume(SERVER)
    await asyncio.sleep(60)
    assert line.events == ["server got 1"]


@simulated
async def test_a_slow_link_and_a_stalled_one_delay() -> None:
    rig = Rig()
    line = await connected(rig)
    rig.network.slow(CLIENT, SERVER, 1.0)
    line.client.send(1)
    await asyncio.sleep(0.9)
    assert line.events == []
    await asyncio.sleep(0.2)
    rig.network.slow(CLIENT, SERVER, 0.0)
    rig.network.stall(CLIENT, SERVER, 2.0)
    line.client.send(2)
    await asyncio.sleep(1.9)
    assert line.events == ["server got 1"]
    await asyncio.sleep(0.2)
    assert line.events == ["server got 1", "server got 2"]


@simulated
async def test_a_connection_is_refused_where_nobody_listens() -> None:
    rig = Rig()
    with pytest.raises(ConnectionRefusedError):
        await rig.network.connect(CLIENT, ADDRESS)
    rig.network.listen(SERVER, ADDRESS, lambda _: None)
    rig.kill(SERVER)
    with pytest.raises(ConnectionRefusedError):
        await rig.network.connect(CLIENT, ADDRESS)
    rig.boot(SERVER)
    rig.network.listen(SERVER, ADDRESS, lambda _: None)
    await rig.network.connect(CLIENT, ADDRESS)


@simulated
async def test_nobody_connects_through_a_cut() -> None:
    rig = Rig()
    rig.network.listen(SERVER, ADDRESS, lambda _: None)
    rig.network.partition([CLIENT], [SERVER])
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await rig.network.connect(CLIENT, ADDRESS)
    rig.network.heal_all()
    await rig.network.connect(CLIENT, ADDRESS)


@simulated
async def test_a_connection_that_the_client_gave_up_is_closed_at_the_server() -> None:
    rig = Rig()
    accepted: list[Socket] = []
    rig.network.listen(SERVER, ADDRESS, accepted.append)
    rig.network.slow(CLIENT, SERVER, 1.0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.5):
            await rig.network.connect(CLIENT, ADDRESS)
    await asyncio.sleep(3)
    assert [socket.is_open for socket in accepted] == [False]


@simulated
async def test_the_same_dice_give_the_same_fate() -> None:
    async def fate(seed: int) -> list[tuple[int, float]]:
        network = Network(random.Random(seed), Conditions(loss=0.3))
        loop = asyncio.get_running_loop()
        arrived: list[tuple[int, float]] = []
        begun = loop.time()
        for number in range(MANY):
            network.send("a", "b", lambda number=number: arrived.append((number, round(loop.time() - begun, 9))))  # type: ignore[misc]
        await asyncio.sleep(1)
        return arrived

    assert await fate(1) == await fate(1)
    assert await fate(1) != await fate(2)
