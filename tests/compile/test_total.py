"""Whatever anybody writes: compile neither raises nor passes it on (design rules 3 and 4)."""

import re
from collections.abc import Iterator, Mapping
from random import Random
from typing import Any, Final, TypeAlias

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onehop.acme.issuer import CertificateWish, KeyType
from onehop.cluster import ClusterObject, Ingress, Service, ref_of
from onehop.cluster.service import ServicePort
from onehop.compile.clientcert import MISDIRECTED, REFUSED
from onehop.compile.compiler import Compiled, compile_cluster
from onehop.compile.gateway.rule import BROKEN, INVALID
from onehop.compile.options import Options, PathPolicy
from onehop.compile.passthrough import NO_PLAIN_HTTP, PASSED_THROUGH
from onehop.compile.policy import Policy, parse_policy
from onehop.compile.rule import BACKEND_MISSING, UNVERIFIED
from onehop.compile.vocabulary import ANNOTATIONS
from onehop.compile.wish import Wish, http_wish, stream_wish
from onehop.model.address import IpAddr
from onehop.model.ident import ObjectRef, PoolId
from onehop.model.model import Model
from onehop.model.route import Conditions, HeaderEdit
from tests.compile import anything, anything_gateway

Path: TypeAlias = tuple[str | int, ...]

WORLD: Final = (*anything.WORLD, *anything_gateway.WORLD)
OBJECTS: Final = anything.OBJECTS | anything_gateway.OBJECTS

HOSTILE: Final = (
    '"; evil "',
    "{{ evil }}",
    "evil\nset ssl cert",
    "/evil\r\n",
    "evil\x00",
    "${evil}`evil`",
    "\u202eevil\u0663",
    "\\evil\\",
    "<evil/>",
    "../../evil",
    "e" * 65536,
    "",
)
SAFE: Final = re.compile(r"[A-Za-z0-9 ._~!$&'()*+,;=:@/%#^`|-]{0,4200}")
HEADER: Final = re.compile(r"[\x20-\x7e\t]{0,2048}")
SHARED: Final = IpAddr("192.0.2.80")
ANSWERS: Final = (
    BACKEND_MISSING,
    UNVERIFIED,
    REFUSED,
    MISDIRECTED,
    NO_PLAIN_HTTP,
    PASSED_THROUGH,
    BROKEN,
    INVALID,
)
OURS: Final = frozenset(("<PEM>", *(answer.body for answer in ANSWERS)))


def hostile_copies(item: ClusterObject) -> Iterator[ClusterObject]:
    """Yield the object with every hostile text in every place, one at a time."""
    for path in _texts_of(_plain(item), ()):
        for number in range(3 * len(HOSTILE)):
            yield _with_text(item, {path: number})


def hostile_copy(item: ClusterObject, random: Random) -> ClusterObject:
    """Return the object with hostile text in a few places at once."""
    paths = list(_texts_of(_plain(item), ()))
    chosen = random.sample(paths, min(len(paths), random.randint(0, 2)))
    return _with_text(item, {path: random.randrange(3 * len(HOSTILE)) for path in chosen})


def _with_text(item: ClusterObject, numbers: Mapping[Path, int]) -> ClusterObject:
    plain = _plain(item)
    for path, number in numbers.items():
        *way, last = path
        holder = plain
        for step in way:
            holder = holder[step]
        holder[last] = poisoned(holder[last], number)
    if isinstance(item, Ingress | Service):  # or nobody would look at it
        plain.setdefault("spec", {}).update(_ours(item))
    return msgspec.convert(plain, type(item), builtin_types=(bytes,))


def poisoned(text: str | bytes, number: int) -> str | bytes:
    """Return hostile text alone, before, or behind what was there."""
    place, kind = divmod(number, len(HOSTILE))
    evil = HOSTILE[kind]
    if isinstance(text, bytes):
        return (evil.encode(), evil.encode() + text, text + evil.encode())[place]
    return (evil, evil + text, text + evil)[place]


def _plain(item: ClusterObject) -> Any:
    return _lists(msgspec.to_builtins(item, builtin_types=(bytes,)))


def _lists(value: Any) -> Any:
    match value:
        case dict():
            return {key: _lists(item) for key, item in value.items()}
        case tuple() | list():
            return [_lists(item) for item in value]
        case _:
            return value


def _texts_of(value: Any, path: Path) -> Iterator[Path]:
    """Yield the places of texts; an object's own names stay, for the API checks them."""
    match value:
        case str() | bytes() if path[:1] != ("metadata",) or path[1] in {"annotations", "labels"}:
            yield path
        case dict():
            for key, item in value.items():
                yield from _texts_of(item, (*path, key))
        case list():
            for index, item in enumerate(value):
                yield from _texts_of(item, (*path, index))
        case _:
            pass


def _ours(item: Ingress | Service) -> dict[str, str]:
    if isinstance(item, Ingress):
        return {"ingressClassName": "ours"}
    return {"type": "LoadBalancer", "loadBalancerClass": "onehop.dev/lb"}


def texts_in(value: object) -> Iterator[tuple[str, re.Pattern[str]]]:
    """Yield every text of a Model, and what it may be made of."""
    match value:
        case str():
            yield "<PEM>" if value.startswith("-----BEGIN") else value, SAFE
        case HeaderEdit():
            for pairs in (value.set, value.add):
                yield from ((text, HEADER) for pair in pairs for text in pair)
            yield from ((text, SAFE) for text in value.remove)
        case Conditions():
            pairs = (*value.headers, *value.queries)
            yield from ((text, HEADER) for pair in pairs for text in pair)
        case msgspec.Struct():
            for name in value.__struct_fields__:
                yield from texts_in(getattr(value, name))
        case tuple():
            for item in value:
                yield from texts_in(item)
        case _:
            pass


@settings(max_examples=300, deadline=None)
@given(st.lists(OBJECTS, max_size=8), st.randoms(use_true_random=True), anything.OPTIONS)
def test_no_text_makes_compile_raise_or_reaches_the_model(
    objects: list[ClusterObject], random: Random, options: Options
) -> None:
    """Quotes, braces, newlines, NUL, unicode and 64 KB in every place that a user can write to."""
    items = [hostile_copy(item, random) for item in (*WORLD, *objects)]

    assert_harmless(compile_cluster(items, options))


@pytest.mark.parametrize("number", range(len(WORLD)))
def test_no_single_text_reaches_the_model(number: int) -> None:
    """Every place of every object, with everything else as good as it was."""
    options = Options(
        address_pools=(anything.FIRST, anything.SECOND),
        shared=(SHARED,),
        answers=anything.ANSWERS_REF,
        issuers=anything.ISSUERS,
    )
    for copy in hostile_copies(WORLD[number]):
        world = [*WORLD[:number], copy, *WORLD[number + 1 :]]
        assert_harmless(compile_cluster(world, options))


def assert_harmless(compiled: Compiled) -> None:
    """A Model holds what an allow-list let through; a Problem fits into an Event and a log line.

    And the ACME engine takes every demand for a certificate as its wish.
    """
    for text, allowed in texts_in(compiled.model):
        assert text in OURS or allowed.fullmatch(text), text
    for demand in compiled.demands:
        key_type = KeyType(demand.key_type) if demand.key_type else None
        CertificateWish(
            secret=demand.secret, hosts=demand.hosts, issuer=demand.issuer, key_type=key_type
        )
    for problem in compiled.problems:
        for text in (problem.message, problem.field):
            assert text.isascii(), text
            assert text.isprintable(), text
            assert len(text) <= 1000, text  # an Event's message holds 1,024 characters


@given(st.lists(OBJECTS, max_size=10), anything.OPTIONS, st.randoms())
def test_compile_is_blind_to_order_and_idempotent(
    objects: list[ClusterObject], options: Options, random: Random
) -> None:
    """The same objects give the same bytes, in whatever order they are listed, however often."""
    unique = list({ref_of(item): item for item in objects}.values())
    shuffled = random.sample(unique, len(unique))

    first = compile_cluster(unique, options)
    second = compile_cluster([*shuffled, *shuffled], options)

    assert msgspec.json.encode(first) == msgspec.json.encode(second)
    assert msgspec.json.decode(msgspec.json.encode(first.model), type=Model) == first.model


_POLICIES: Final = st.dictionaries(st.sampled_from(sorted(ANNOTATIONS)), st.none(), max_size=4).map(
    lambda names: parse_policy(
        ObjectRef("Ingress", "a", "one"),
        {f"onehop.dev/{name}": ANNOTATIONS[name].example for name in names},
    )[0]
)


@given(
    st.lists(
        st.tuples(anything.SERVICES, _POLICIES, st.sampled_from(PathPolicy)), min_size=2, max_size=8
    )
)
def test_pools_have_one_id_exactly_when_they_are_one(
    wanted: list[tuple[Service, Policy, PathPolicy]],
) -> None:
    """An id says all that is wanted of a pool, so it can be shared, and never changes meaning."""
    known: dict[PoolId, Wish] = {}
    for service, policy, path in wanted:
        options = Options(path=path)
        for port in service.spec.ports or (ServicePort(port=80),):
            for wish in (
                stream_wish(service, port, policy, options=options),
                http_wish(service, port, policy, ca_pem=None, options=options),
            ):
                assert known.setdefault(wish.pool.id, wish) == wish
    assert len({msgspec.json.encode(wish) for wish in known.values()}) == len(known)
