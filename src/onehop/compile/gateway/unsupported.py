"""The way out of nested checks, for what a rule asks for and cannot have."""


class Unsupported(Exception):  # noqa: N818  caught in `rule`, and never seen outside
    """Something cannot be done; carries the reason of the condition and what is wrong."""

    def __init__(self, message: str, reason: str = "UnsupportedValue") -> None:
        super().__init__(message)
        self.reason = reason
