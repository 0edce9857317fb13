"""All answers in one Secret: how many writes, whose entries, and who confirms."""

import asyncio

import pytest

from onehop.acme.port import AlpnAnswer, HttpAnswer, ResponderAnswer
from onehop.base.errors import TransientError
from onehop.base.latest import Latest
from onehop.compile.challenge import (
    AlpnChallenge,
    Challenge,
    HttpChallenge,
    decode_challenges,
    entry_of,
)
from onehop.control.issuing.answers import LARGEST_BYTES, OLD_S, SharedAnswers
from onehop.control.issuing.confirmation import Alone
from onehop.control.issuing.secrets import ApiSecrets, SecretChange, secret_ref
from onehop.kube import Client
from onehop.lab.api.faults import ServerError, Truncated
from onehop.model.certificate import SecretText
from tests.issuing.stage import NAMESPACE, OURS, Cluster, Place

ANSWERS = secret_ref(NAMESPACE, "onehop-acme-answers")


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def http(host: str) -> HttpAnswer:
    return HttpAnswer(host=host, token="token", body="token.thumbprint")


def alpn(host: str, text: str = "PEM") -> AlpnAnswer:
    return AlpnAnswer(host=host, chain_pem=text, key_pem=SecretText("KEY"))


def challenge_of(answer: ResponderAnswer) -> Challenge:
    if isinstance(answer, HttpAnswer):
        return HttpChallenge(host=answer.host, token=answer.token, body=answer.body)
    return AlpnChallenge(host=answer.host, chain_pem=answer.chain_pem, key_pem="KEY")


class World:
    """The Responder of one process, and what is in the Secret."""

    def __init__(self, client: Client, cluster: Cluster) -> None:
        self.client = client
        self.cluster = cluster
        self.clock = Clock()
        self.acknowledged = Latest[frozenset[str]]()

    def process(self) -> SharedAnswers:
        """Return the Responder of a new leader."""
        confirmation = Alone(self.acknowledged, patience_s=1.0)
        store = ApiSecrets(self.client)
        return SharedAnswers(store, ANSWERS, NAMESPACE, confirmation, clock=self.clock)

    @property
    def given(self) -> set[Challenge]:
        """What hosts would answer."""
        data = self.cluster.secret(ANSWERS)["data"]
        return set(decode_challenges({entry: text.encode() for entry, text in data.items()}))


@pytest.fixture
def world(client: Client, cluster: Cluster) -> World:
    return World(client, cluster)


async def all_of(waits: list[asyncio.Task[None]]) -> list[BaseException | None]:
    await asyncio.wait(waits)
    return [wait.exception() for wait in waits]


async def test_answers_are_entries_of_one_secret_until_withdrawn(place: Place) -> None:
    """Both kinds, in a cluster and in a folder; publishing twice is no fault, nor withdrawing."""
    store = place.process()
    responder = SharedAnswers(store, ANSWERS, NAMESPACE, Alone(Latest()))
    answers: list[ResponderAnswer] = [http("shop.example.com"), alpn("www.example.com")]

    async def given() -> set[Challenge]:
        found = await place.process().find(ANSWERS)
        return set(decode_challenges(found.data or {})) if found is not None else set()

    await responder.withdraw(http("never.example.com"))
    assert await given() == set()
    for answer in answers:
        await responder.publish(answer)
        await responder.publish(answer)
    assert await given() == set(map(challenge_of, answers))

    await responder.withdraw(answers[0])
    assert await given() == {challenge_of(answers[1])}
    await responder.withdraw(answers[1])
    await responder.withdraw(answers[1])
    assert await given() == set()


async def test_a_hundred_answers_at_once_are_a_few_writes(world: World) -> None:
    """Published together, and withdrawn together."""
    responder = world.process()
    answers = [http(f"h{number}.example.com") for number in range(100)]

    async with asyncio.TaskGroup() as tasks:
        for answer in answers:
            tasks.create_task(responder.publish(answer))
    assert world.given == set(map(challenge_of, answers))
    async with asyncio.TaskGroup() as tasks:
        for answer in answers:
            tasks.create_task(responder.withdraw(answer))

    assert world.given == set()
    assert world.cluster.writes == 2


async def test_what_comes_during_a_write_goes_with_the_next(world: World) -> None:
    """Nobody's publish returns before it is written."""
    responder = world.process()
    await responder.publish(http("a.example.com"))
    group: list[asyncio.Task[None]] = []

    def more() -> None:
        loop = asyncio.get_running_loop()
        group.extend(
            loop.create_task(responder.publish(http(f"{name}.example.com"))) for name in "cde"
        )

    world.cluster.once("patch", more)
    await responder.publish(http("b.example.com"))
    assert await all_of(group) == [None, None, None]

    assert {each.host[0] for each in world.given} == set("abcde")
    assert world.cluster.writes == 3


async def test_a_refused_write_fails_all_who_waited_for_it_at_once(world: World) -> None:
    """A hundred hosts do not ask a hundred times; the next attempt begins anew."""
    responder = world.process()
    world.cluster.server.faults.arm(ServerError(), "secrets", verbs={"get"}, times=1)

    loop = asyncio.get_running_loop()
    waits = [loop.create_task(responder.publish(http(f"h{n}.example.com"))) for n in range(100)]
    outcomes = await all_of(waits)

    assert all(isinstance(outcome, TransientError) for outcome in outcomes)
    assert world.cluster.server.requests.count(agent="onehop") == 1
    await responder.publish(http("h0.example.com"))
    assert len(world.given) == 100


async def test_a_cancelled_publisher_takes_no_other_along(world: World) -> None:
    """The one who writes for all may be stopped in the middle of it."""
    responder = world.process()
    loop = asyncio.get_running_loop()
    waits = [loop.create_task(responder.publish(http(f"{n}.example.com"))) for n in "ab"]
    world.cluster.once("create", waits[0].cancel)

    await asyncio.wait(waits)

    assert waits[0].cancelled()
    assert waits[1].exception() is None
    assert challenge_of(http("b.example.com")) in world.given


@pytest.mark.parametrize("verb", ["create", "patch"])
async def test_a_write_whose_answer_was_lost_is_no_trouble(verb: str, world: World) -> None:
    """It is looked at again before the next."""
    responder = world.process()
    if verb == "patch":
        await responder.publish(http("a.example.com"))
    world.cluster.server.faults.arm(Truncated(), "secrets", verbs={verb}, times=1)

    with pytest.raises(TransientError):
        await responder.publish(http("b.example.com"))
    await responder.publish(http("b.example.com"))
    await responder.withdraw(http("a.example.com"))

    assert world.given == {challenge_of(http("b.example.com"))}


async def test_somebody_who_writes_in_between_costs_a_second_look(world: World) -> None:
    """Two leaders at once: none takes the other's answers away."""
    one, two = world.process(), world.process()
    await one.publish(http("a.example.com"))
    await two.publish(http("b.example.com"))
    await one.publish(http("c.example.com"))
    await two.withdraw(http("b.example.com"))

    assert {each.host for each in world.given} == {"a.example.com", "c.example.com"}


async def test_somebody_who_never_stops_writing_is_left_for_later(world: World) -> None:
    """A few attempts, then the engine's own patience."""
    responder = world.process()
    await responder.publish(http("a.example.com"))
    world.cluster.restless(ANSWERS)

    with pytest.raises(TransientError, match="all the time"):
        await responder.publish(http("b.example.com"))

    assert world.cluster.writes <= 6


async def test_a_secret_that_somebody_deleted_is_made_again(world: World) -> None:
    """With all that is live; also when nothing new was to be written, once it was missed."""
    responder = world.process()
    answer = http("a.example.com")
    await responder.publish(answer)
    world.cluster.remove_secret(ANSWERS)
    await responder.publish(http("b.example.com"))
    assert len(world.given) == 2

    world.cluster.remove_secret(ANSWERS)
    with pytest.raises(TransientError, match=r"the answer for a\.example\.com"):
        await responder.ready(answer)
    await responder.publish(answer)
    assert len(world.given) == 2


async def test_a_secret_that_is_not_ours_is_not_written(world: World) -> None:
    """A mistake in the configuration: it names what somebody needs."""
    world.cluster.put_secret(ANSWERS, data={"password": b"x"})

    with pytest.raises(TransientError, match="in our way: it has no label"):
        await world.process().publish(http("a.example.com"))

    assert world.cluster.secret(ANSWERS)["data"] == {"password": "x"}


async def test_what_an_earlier_leader_left_stays_for_an_hour(world: World) -> None:
    """Its orders may live on, and the next leader goes on with them."""
    await world.process().publish(http("left.example.com"))
    responder = world.process()
    await responder.publish(http("new.example.com"))
    world.clock.now = OLD_S - 1
    await responder.sweep()
    assert len(world.given) == 2

    world.clock.now = OLD_S + 1
    await responder.sweep()

    assert world.given == {challenge_of(http("new.example.com"))}


async def test_a_leader_that_leads_again_begins_as_a_new_one(world: World) -> None:
    """What it published in its first term is as old as any other's."""
    responder = world.process()
    await responder.publish(http("first.example.com"))
    responder.take_over()
    await responder.publish(http("second.example.com"))
    assert len(world.given) == 2

    world.clock.now = OLD_S + 1
    await responder.sweep()

    assert world.given == {challenge_of(http("second.example.com"))}


async def test_an_entry_that_somebody_spoilt_is_mended(world: World) -> None:
    """By the next write, whatever it is for."""
    responder = world.process()
    answer = http("a.example.com")
    await responder.publish(answer)
    entry = entry_of(challenge_of(answer))
    world.cluster.patch(ANSWERS, {"data": {entry: "eA=="}})

    await responder.publish(http("b.example.com"))

    assert len(world.given) == 2


async def test_what_was_taken_over_does_not_grow_old(world: World) -> None:
    """Nor does what a leader published itself, however long a CA takes."""
    await world.process().publish(http("a.example.com"))
    responder = world.process()
    await responder.sweep()
    await responder.publish(http("a.example.com"))
    world.clock.now = 10 * OLD_S

    await responder.sweep()

    assert len(world.given) == 1


async def test_a_left_answer_can_be_withdrawn(world: World) -> None:
    """The order is found again and ends, and so does its answer."""
    await world.process().publish(http("a.example.com"))

    await world.process().withdraw(http("a.example.com"))

    assert world.given == set()


async def test_our_answer_by_tls_replaces_one_that_was_left_for_the_host(world: World) -> None:
    """A client with a name gets one certificate; that of an earlier order is the wrong one."""
    earlier = world.process()
    await earlier.publish(alpn("a.example.com", "OLD"))
    await earlier.publish(alpn("b.example.com", "OLD"))
    await earlier.publish(http("a.example.com"))

    await world.process().publish(alpn("a.example.com", "NEW"))

    assert world.given == {
        challenge_of(alpn("a.example.com", "NEW")),
        challenge_of(alpn("b.example.com", "OLD")),
        challenge_of(http("a.example.com")),
    }


async def test_what_was_left_makes_room_when_the_secret_is_full(world: World) -> None:
    """And when all of it is ours, the next one waits and says why."""
    large = "x" * 400_000
    earlier = world.process()
    await earlier.publish(alpn("left.example.com", large))
    responder = world.process()
    await responder.publish(alpn("a.example.com", large))
    await responder.publish(alpn("b.example.com", large))
    assert {each.host[0] for each in world.given} == {"a", "b"}

    with pytest.raises(TransientError, match=r"2 hosts are being proven.* c\.example\.com waits"):
        await responder.publish(alpn("c.example.com", large))
    await responder.withdraw(alpn("a.example.com", large))
    await responder.publish(alpn("c.example.com", large))

    assert {each.host[0] for each in world.given} == {"b", "c"}
    assert sum(map(len, world.cluster.secret(ANSWERS)["data"].values())) < LARGEST_BYTES


async def test_an_answer_is_ready_when_this_host_gives_it(world: World) -> None:
    """Not before, and for this answer and no other."""
    responder = world.process()
    answer = http("a.example.com")
    await responder.publish(answer)
    world.acknowledged.put(frozenset({"another"}))

    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(responder.ready(answer))
        await asyncio.sleep(0)
        assert not waiting.done()
        world.acknowledged.put(frozenset({"another", entry_of(challenge_of(answer))}))

    await responder.ready(answer)


async def test_entries_that_nobody_understands_grow_old_too(world: World, client: Client) -> None:
    """Of a later version, perhaps: it may be rolled back to."""
    world.cluster.put_secret(ANSWERS, metadata=OURS, data={"later": b"{}"})
    responder = world.process()
    await responder.sweep()
    assert "later" in world.cluster.secret(ANSWERS)["data"]

    world.clock.now = OLD_S + 1
    found = await ApiSecrets(client).find(ANSWERS)
    assert found is not None
    await ApiSecrets(client).change(found.metadata, SecretChange(annotations={"note": "seen"}))
    await responder.sweep()

    assert world.cluster.secret(ANSWERS).get("data") in (None, {})
