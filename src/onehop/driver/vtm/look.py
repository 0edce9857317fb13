"""Looking at a unit without touching it: what `onehop check` says of it."""

from onehop.base.errors import DriverUnavailable
from onehop.driver.vtm.options import VtmOptions
from onehop.driver.vtm.preflight import look_at
from onehop.driver.vtm.rest import Rest


async def describe_unit(options: VtmOptions) -> str:
    """Return which unit answers, in which version, with which traffic managers.

    Raises:
        ConfigError: the password or the CA cannot be read.
        DriverUnavailable: some member does not answer, or is not what we can speak with.
    """
    rest = Rest(options)
    await rest.open()
    try:
        told: list[str] = []
        for _ in options.urls:
            profile = await look_at(rest)
            told.append(f"{rest.url}: REST {profile.version}, {' '.join(profile.machines)}")
            rest.leave(rest.url)
    except DriverUnavailable as err:
        raise DriverUnavailable(f"{rest.url}: {err}") from err
    finally:
        await rest.close()
    return "vTM " + "; ".join(told)
