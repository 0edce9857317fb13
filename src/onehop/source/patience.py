"""How patient the reflectors are with an API server, and how wary of it."""

import msgspec

from onehop.source.custom import NONE, CustomKinds


class BackoffTimes(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of an exponential backoff.

    Attributes:
        first_s: the wait after the first failure.
        longest_s: no wait is longer, unless the server asks for it.
    """

    first_s: float
    longest_s: float


class ReflectorTimes(msgspec.Struct, frozen=True, kw_only=True):
    """When a reflector does what.

    Attributes:
        relist_s: a list is taken so often even if all seems well: it heals what a watch has lost.
        watch_s: how long a watch is asked to last.
        silence_extra_s: a watch may be silent for this much longer than it may last.
        open_s: how long the server may take to accept a watch.
        quick_end_s: a watch that ends sooner than this, and empty, counts as a failure.
        retry: after failures. The longest wait is short, because a refused connection costs nobody
            anything and an API that is back should not find us asleep; 429 brings its Retry-After.
        refused: after 403, 404 and other refusals: somebody has to change something first.
    """

    relist_s: float = 600.0
    watch_s: float = 60.0
    silence_extra_s: float = 15.0
    open_s: float = 10.0
    quick_end_s: float = 1.0
    retry: BackoffTimes = BackoffTimes(first_s=0.1, longest_s=2.0)
    refused: BackoffTimes = BackoffTimes(first_s=1.0, longest_s=60.0)


class DoubtLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What counts as an ordinary day, and what a claim beyond it has to go through.

    Attributes:
        share: a list that drops a larger share of what is held is doubted...
        few: ...unless it drops no more than so many. An empty list is doubted in any case.
        confirm_s: how long doubted lists must agree that the objects are gone.
        sample: how many objects are asked for by name, at most, before a list's silence about them
            is believed; this goes for lists that are not doubted, too.
    """

    share: float = 0.5
    few: int = 10
    confirm_s: float = 60.0
    sample: int = 20


class KubernetesOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How patient and how wary a source is, and what it reads besides what every cluster has.

    Attributes:
        wanted: like `times`, for what is read by name: it is much, and each has a connection of
            its own.
    """

    times: ReflectorTimes = ReflectorTimes()
    wanted: ReflectorTimes = ReflectorTimes(watch_s=300.0)
    limits: DoubtLimits = DoubtLimits()
    custom: CustomKinds = NONE
