"""The one gate through which text reaches HAProxy's configuration, its maps and its runtime API.

Names of our own making are a slug and a hash: nothing that a tenant writes survives in them but
letters, digits, dots, dashes and underscores. What must go in as it was written (a header's value,
a path) is held against an allow-list first and quoted then; the manual's "Quoting and escaping":
between single quotes nothing is special but the single quote itself.
"""

import hashlib
import re
from typing import Final

_TEXT: Final = re.compile(r"[\x20-\x7e\t]{0,4096}")
_HEADER: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")
_PATH: Final = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@%/-]{0,2047}")
_HOST: Final = re.compile(r"\*|(\*\.)?[a-z0-9_]([a-z0-9._-]{0,251}[a-z0-9_])?")
_METHOD: Final = re.compile(r"[A-Z][A-Z-]{0,31}")
_BETWEEN_PARENTHESES: Final = re.compile(r"[A-Za-z0-9!#$%&*+.^_`|~-]{1,128}")
_ORIGIN: Final = re.compile(r"https?://(\*|(\*\.)?[a-z0-9][a-z0-9.-]{0,252})(:[0-9]{1,5})?")
_COOKIE: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")
_COOKIE_PATH: Final = re.compile(r"/[A-Za-z0-9._~!$&'()*+,=:@%/-]{0,1023}")
_OTHERS: Final = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST_SLUG: Final = 48
_MANY: Final = 8


class Unfit(ValueError):  # noqa: N818  a verdict on a row, turned into its Refusal
    """A row that this data plane cannot take; the message says why."""


def name_of(kind: str, text: str) -> str:
    """Return the name of a section, file or key for anything that has an id.

    It tells the reader what it is about, and is never that of another: the hash sees all of it.
    """
    slug = _OTHERS.sub("_", text)[:_LONGEST_SLUG]
    return f"{kind}-{slug}-{hashlib.sha256(text.encode()).hexdigest()[:_MANY]}"


def token_of(kind: str, data: bytes) -> str:
    """Return a short name for what has no id: a policy, a view."""
    return kind + hashlib.sha256(data).hexdigest()[:16]


def quoted(text: str) -> str:
    """Return a word of the configuration.

    Raises:
        Unfit: it holds a control character, or is no ASCII: nothing of that kind is ever needed.
    """
    if not _TEXT.fullmatch(text):
        raise Unfit(f"{text[:80]!a} is not plain printable text of up to 4096 characters")
    return "'" + text.replace("'", "'\\''") + "'"


def ms(seconds: float) -> int:
    """Return a time as HAProxy counts it; 0 would mean something else."""
    return max(1, round(seconds * 1000))


def literal(text: str) -> str:
    """Return text as a part of a log format, where `%` begins a variable."""
    return text.replace("%", "%%")


def header(name: str) -> str:
    """Return a header's name as a word.

    Raises:
        Unfit: it is none (RFC 9110, section 5.6.2); `:path` of HTTP/2 is none either.
    """
    return quoted(_fit(_HEADER, name, "the name of a header"))


def path(text: str) -> str:
    """Return a path (RFC 3986, section 3.3).

    Raises:
        Unfit: no request can have such a path.
    """
    return _fit(_PATH, text, "a path")


def host(text: str) -> str:
    """Return a host's name in lower case, one with `*.` in front, or `*`.

    Raises:
        Unfit: it is none.
    """
    return _fit(_HOST, text, "the name of a host")


def method(text: str) -> str:
    """Return a method (RFC 9110, section 9.1), as all that are registered are written.

    Raises:
        Unfit: it is none.
    """
    return _fit(_METHOD, text, "a method")


def fetch(kind: str, name: str) -> str:
    """Return what gets a header of a request, or something else that has a name.

    Raises:
        Unfit: there is no such name, or it cannot stand between parentheses.
    """
    return quoted(f"{kind}({_fit(_BETWEEN_PARENTHESES, name, 'a name that can be looked for')})")


def origin(text: str) -> str:
    """Return the origin of a page, whose host may begin with a `*`.

    Raises:
        Unfit: it is none.
    """
    return _fit(_ORIGIN, text, "the origin of a page")


def cookie(name: str) -> str:
    """Return a cookie's name (RFC 6265, section 4.1.1).

    Raises:
        Unfit: it is none.
    """
    return _fit(_COOKIE, name, "the name of a cookie")


def cookie_path(text: str) -> str:
    """Return the path of a cookie.

    Raises:
        Unfit: it is none that could stand in a Set-Cookie header.
    """
    return _fit(_COOKIE_PATH, text, "the path of a cookie")


def argument(text: str) -> str:
    r"""Return an argument of a runtime command; the manual's "Unix Socket commands".

    A space, `;` and `\` are escaped by a backslash. A line break cannot be said at all.

    Raises:
        Unfit: it holds a control character.
    """
    if not _TEXT.fullmatch(text):
        raise Unfit(f"{text[:80]!a} cannot be said to the runtime API")
    return re.sub(r"""([\\; '"<])""", r"\\\1", text)


def pem(text: str) -> str:
    """Return PEM blocks without empty lines, which would end a payload of the runtime API.

    Raises:
        Unfit: it does not begin like one, or holds something else than ASCII lines.
    """
    lines = [line for line in map(str.strip, text.splitlines()) if line]
    if not lines or not lines[0].startswith("-----BEGIN ") or not all(map(_TEXT.fullmatch, lines)):
        raise Unfit("a certificate or a key is not PEM")
    return "".join(f"{line}\n" for line in lines)


def _fit(pattern: re.Pattern[str], text: str, what: str) -> str:
    if not pattern.fullmatch(text):
        raise Unfit(f"{text[:80]!a} is not {what}")
    return text
