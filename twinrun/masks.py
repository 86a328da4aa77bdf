"""Secrets in a text, masked before anyone reads it: passwords, keys and tokens.

Who prints, and who raises a `TwinrunError`, masks without being asked to. So a message can quote an
address, an option or a library's words as they are.
"""

from __future__ import annotations

import os
import re

MASK = "***"

_NAMES = (
    r"(?:signature|sig|token|secret|passw(?:or)?d|pwd|credential|access_?id|"
    r"(?:api|access|secret|private|account)[_-]?key(?:[_-]?id)?)"
)
# A value runs to what ends it in an address or a command; one in quotation marks to the second.
_VALUE = r"""(?:'[^'\n]*'|"[^"\n]*"|[^\s&;,'"#]+)"""
_ASSIGNED = re.compile(rf"(?i)((?<![\w.-])[\w.-]*{_NAMES}=|[?&]key=){_VALUE}")
_QUOTED = re.compile(rf"""(?i)(['"][\w.-]*{_NAMES}['"] *: *)(?:'[^'\n]*'|"[^"\n]*")""")
_HEADER = re.compile(
    r"(?i)\b(authorization['\"]? *[:=] *['\"]?(?:basic |bearer )?|bearer (?=\S{8}))[^\s'\",]+"
)
_WORD = re.compile(r"\S+")
# Of the environment: what a library's message may quote. A short one may stand in any word.
_VARIABLE = re.compile(r"(?i)(?:token|secret|password|passwd|_key|apikey)$")
_SHORTEST = 8


def mask(text: str) -> str:
    """A text without the secrets that can be told from it; masking it again changes nothing.

    Masked are a login in front of a host (`user:***@host`, `s3://***@host`), values whose name says
    that they are secret (`?sig=***`, `AWS_SECRET_ACCESS_KEY=***`), headers of authorization, and
    values of this process's environment variables that are called a key, a secret, a token or a
    password. Rather too much than too little: a name such as `a:b@c` loses its middle.
    """
    for value in _values_of_environment():
        text = text.replace(value, MASK)
    if "@" in text:
        text = _WORD.sub(lambda found: _without_login(found[0]), text)
    if "=" in text or ":" in text:
        text = _ASSIGNED.sub(rf"\1{MASK}", text)
        text = _QUOTED.sub(rf'\1"{MASK}"', text)
    return _HEADER.sub(rf"\1{MASK}", text)


def holds_secret(text: str) -> bool:
    """Whether anything in a text would be masked."""
    return mask(text) != text


def _without_login(word: str) -> str:
    """A text without spaces, without what stands in front of its last @ and is a login."""
    head, at, host = word.rpartition("@")
    before, scheme, login = head.partition("://")
    if scheme:
        # Without a colon it is a token, but where a path has begun it is a part of that.
        return f"{before}://{MASK}@{host}" if ":" in login or "/" not in login else word
    user, colon, password = head.partition(":")
    return f"{user}:{MASK}{at}{host}" if colon and password else word


def _values_of_environment() -> list[str]:
    """The longest first: one may be a part of another."""
    found = {
        value
        for name, value in os.environ.items()
        if _VARIABLE.search(name) and len(value) >= _SHORTEST
    }
    return sorted(found, key=lambda value: (-len(value), value))
