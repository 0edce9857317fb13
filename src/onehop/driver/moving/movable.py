"""What a data plane must be able to do so that another one can take its place."""

from typing import Protocol

from onehop.driver.driver import Driver


class Movable(Driver, Protocol):
    """A data plane whose sockets are on this host: another one can take its place.

    Attributes:
        is_beside: whether somebody else may listen where this one shall, because it takes over from
            there, or hands over.
    """

    is_beside: bool

    @property
    def stop_grace_s(self) -> float:
        """How long open connections may go on when it is stopped."""
        ...

    @stop_grace_s.setter
    def stop_grace_s(self, grace_s: float) -> None: ...

    @property
    def pid(self) -> int | None:
        """Of the process that listens, or of its parent; None while there is none."""
        ...

    async def stop_listening(self) -> None:
        """Close the listening sockets, for good; connections go on until `running()` is left.

        Raises:
            DriverUnavailable: it does not answer.
        """
        ...
