"""Two lines of the protobuf wire format, for the places where building a message is too slow.

https://protobuf.dev/programming-guides/encoding/: a field is a tag (number and wire type), for
bytes, strings and sub-messages followed by a length and the content.
"""

from typing import Final

_LENGTH_DELIMITED: Final = 2
_SEVEN_BITS: Final = 0x7F


def varint(number: int) -> bytes:
    """Encode an unsigned number, seven bits a byte, lowest first."""
    encoded = bytearray()
    while number > _SEVEN_BITS:
        encoded.append(number & _SEVEN_BITS | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def bytes_field(number: int, content: bytes) -> bytes:
    """Encode a string, bytes or message field."""
    return varint(number << 3 | _LENGTH_DELIMITED) + varint(len(content)) + content
