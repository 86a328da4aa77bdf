"""Secrets in a text, masked before anyone reads it: passwords, keys and tokens.

Who prints, and who raises a `TwinrunError`, masks without being asked to. So a message can quote an
address, an option or a library's words as they are.
"""

from __future__ import annotations

import os
import re

MASK = "***"

# Names that say it of whatever follows them, be it after a colon or a space as in a text.
_SURE = (
    r"(?:passw(?:or)?d|passphrase|pwd|(?:api|access|secret|private|account)[_-]?key(?:[_-]?id)?|"
    r"(?:access|api|auth|id|refresh|security|session)[_-]?token|client[_-]?secret)"
)
# Those too, where a value is assigned; a class or a tensor may be called so in a text.
_NAMES = rf"(?:{_SURE}|signature|sig|token|secret|credential|access_?id|(?<![a-z])pass)"
# In quotation marks it runs to the second one, which a backslash may stand in front of.
_IN_MARKS = (
    r"""(?:b?'(?:[^'\\\n]|\\.)*'|b?"(?:[^"\\\n]|\\.)*"|"""
    r"""\\?b?'[^'\n]*'|\\?b?"[^"\n]*")"""
)
# Else to what ends it in an address or a command; one that is masked already is left as it stands.
_VALUE = rf"""(?:\*\*\*(?=[\])}}])|{_IN_MARKS}|[^\s&;,'"#]+)"""
# Messages of settings begin with the key: "cluster.api_key: unknown key".
_SAID = r"(?!unknown key\b|belongs in\b)"
_ASSIGNED = re.compile(
    rf"(?i)((?<![\w.-])[\w.-]*(?:{_NAMES}=|{_SURE} *(?:= *|: *{_SAID}))|[?&]key=){_VALUE}"
)
_OPTION = re.compile(
    rf"""(?i)((?<![\w-])--[\w-]*(?:{_SURE}|token|secret)(?:['"],)? +)(?!-){_VALUE}"""
)
# 'password=two words' in quotation marks.
_WHOLE = re.compile(rf"""(?i)((['"])[\w.-]*{_NAMES} *= *)[^'"\n]+(?=\2)""")
_QUOTED = re.compile(rf"""(?i)(\\?['"][\w.-]*{_NAMES}\\?['"] *: *){_IN_MARKS}""")
_HEADER = re.compile(
    r"(?i)\b(authorization\\?['\"]? *[:=] *(?:b?\\?['\"])?(?:basic |bearer |token )?|"
    # Encoded, which a word of a text is not: a capital or a number within it.
    r"bearer (?=\S{8})|basic (?=\S{8})(?=\w+(?-i:[A-Z\d=])))[^\s'\",\\]+"
)
_NAME = re.compile(rf"(?i)[\w.-]*{_NAMES}")
_WORD = re.compile(r"\S+")
# Of the environment: what a library's message may quote. A short one may stand in any word.
_VARIABLE = re.compile(r"(?i)(?:token|secret|password|passwd|_key|apikey)$")
_SHORTEST = 8


def mask(text: str) -> str:
    """A text without the secrets that can be told from it; masking it again changes nothing.

    Masked are a login in front of a host (`user:***@host`, `s3://***@host`), values whose name says
    that they are secret (`?sig=***`, `AWS_SECRET_ACCESS_KEY = ***`, `--password ***`), headers of
    authorization, and values of this process's environment variables that are called a key, a
    secret, a token or a password. Rather too much than too little: a name such as `a:b@c` loses its
    middle.
    """
    for value in _values_of_environment():
        text = text.replace(value, MASK)
    if "@" in text:
        text = _WORD.sub(lambda found: _without_login(found[0]), text)
    if "=" in text or ":" in text:
        text = _WHOLE.sub(rf"\1{MASK}", text)
        text = _ASSIGNED.sub(rf"\1{MASK}", text)
        text = _QUOTED.sub(rf'\1"{MASK}"', text)
    text = _OPTION.sub(rf"\1{MASK}", text)
    return _HEADER.sub(rf"\1{MASK}", text)


def holds_secret(text: str) -> bool:
    """Whether anything in a text would be masked."""
    return mask(text) != text


def is_secret(name: str) -> bool:
    """Whether the name of a key or a setting says that its value is secret."""
    return _NAME.fullmatch(name) is not None


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
