"""Secrets are masked wherever a text is shown, and no message has to think of it."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable

import pytest
from rich.table import Table

from twinrun import console as printing
from twinrun.console import Terminal, box, complain, console, relay, say, stacked
from twinrun.errors import InputError, NegativeVerdict, shortened, show
from twinrun.masks import MASK, holds_secret, is_secret, mask

SECRET = "hunter2/+Zq9=="
# Each with a secret in the place of §, and how it is shown.
TEXTS = {
    "--ray user:§@host:6379: no": "--ray user:***@host:6379: no",
    "--ray=user:§@host": "--ray=user:***@host",
    "twinrun run --ray 'user:p@§@host'": "twinrun run --ray 'user:***@host'",
    "ray://user:§@host:10001": "ray://***@host:10001",
    "s3://KEY:§@bucket/folder cannot be read": "s3://***@bucket/folder cannot be read",
    "(s3://KEY:p@§@bucket)": "(s3://***@bucket)",
    "https://h/f?X-Amz-Signature=§&a=1": "https://h/f?X-Amz-Signature=***&a=1",
    "https://h/f?a=1&sig=§#end": "https://h/f?a=1&sig=***#end",
    "https://h/f?key=§": "https://h/f?key=***",
    "https://h/f?X-Amz-Security-Token=§": "https://h/f?X-Amz-Security-Token=***",
    "AWS_SECRET_ACCESS_KEY=§ twinrun run": "AWS_SECRET_ACCESS_KEY=*** twinrun run",
    "password='§ and more' x": "password=*** x",
    "{'secret': '§', 'region': 'x'}": "{'secret': \"***\", 'region': 'x'}",
    '{"api_key": "§"}': '{"api_key": "***"}',
    "Authorization: Bearer §": "Authorization: Bearer ***",
    "a header of Bearer §, refused": "a header of Bearer ***, refused",
    "AWS_SECRET_ACCESS_KEY = §": "AWS_SECRET_ACCESS_KEY = ***",
    "password = '§'": "password = ***",
    "password: §": "password: ***",
    "X-Api-Key: §": "X-Api-Key: ***",
    "x-amz-security-token: §": "x-amz-security-token: ***",
    "{'password': b'§'}": "{'password': \"***\"}",
    "{'password': \"§'s\"}": "{'password': \"***\"}",
    r"{\"password\": \"§\"}": r'{\"password\": "***"}',
    r'{"password": "a\"§"}': '{"password": "***"}',
    "{'Authorization': b'Basic §'}": "{'Authorization': b'Basic ***'}",
    "Authorization: token §": "Authorization: token ***",
    "passphrase=§": "passphrase=***",
    "pass=§ SMTP_PASS=§": "pass=*** SMTP_PASS=***",
    "a header of Basic dXNl§": "a header of Basic ***",
    "twinrun --password § run": "twinrun --password *** run",
    "['--api-key', '§']": "['--api-key', ***]",
    "--set 'cluster.secret_key=§ and more'": "--set 'cluster.secret_key=***'",
}


@pytest.mark.parametrize(("text", "masked"), TEXTS.items())
def test_what_tells_that_it_is_secret_is_masked(text: str, masked: str) -> None:
    found = mask(text.replace("§", SECRET))
    assert found == masked
    assert mask(found) == found
    assert holds_secret(text.replace("§", SECRET))


def test_a_token_in_front_of_a_host_is_masked() -> None:
    assert mask("https://ghp_0123456789@example.org/x") == "https://***@example.org/x"


@pytest.mark.parametrize(
    "text",
    [
        "somebody@example.org",
        "git@example.org:house/twinrun",
        "s3://bucket/weights@v2/full",
        "http://127.0.0.1:8265/",
        "vit_tiny_patch16_224.augreg_in21k@2x.png",
        "--set run.seed=7 --set members.a.dropout=0.2",
        "with a token (RAY_AUTH_MODE) the same one",
        "the key data.folder: got 7, allowed: a text",
        "a key: value",
        "cluster.secret_key: unknown key (value ***)",
        "the class token: 12 images, signature: 3",
        "blocks.0.cls_token: 3 of 192 differ",
        "bypass=1",
        "basic augmentation, Basic Settings",
        "--token-file --password --quiet",
        "user:@host",
        "",
    ],
)
def test_all_else_stays(text: str) -> None:
    assert mask(text) == text
    assert not holds_secret(text)


def test_the_value_of_a_variable_that_is_called_a_secret_is_masked_wherever_it_stands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0f1e2d3c4b5a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "0f1e2d3c4b5a/longer")
    monkeypatch.setenv("SHORT_TOKEN", "auto")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/home/somebody/account.json")
    assert mask("no user 0f1e2d3c4b5a/longer or 0f1e2d3c4b5a") == "no user *** or ***"
    assert mask("--ray auto: /home/somebody/account.json") == (
        "--ray auto: /home/somebody/account.json"
    )


def test_a_long_text_takes_no_time() -> None:
    started = time.process_time()
    for text in (
        *("a:", "@", "token", "'", "token='", "'a", "://", "a-", "bearer ", "&sig", "password "),
        *("basic a", "\\'", "token=\\", "token=b'\\", "--token ", "'token=", "pwd: ", "=", " "),
    ):
        mask(text * (100_000 // len(text)) + "=:@")
    assert time.process_time() - started < 10  # a second; a square of it would be minutes


def test_the_name_of_a_key_tells_that_its_value_is_secret() -> None:
    for name in ("secret_key", "AWS_SECRET_ACCESS_KEY", "password", "x-api-key", "hf_token"):
        assert is_secret(name)
    for name in ("key", "tokens", "passes", "bypass", "design", "network"):
        assert not is_secret(name)


HOSTILE = f"--ray user:{SECRET}@host"


@pytest.mark.parametrize(
    "shows",
    [
        lambda: say(HOSTILE),
        lambda: say((HOSTILE, "bold")),
        lambda: box(HOSTILE, HOSTILE),
        lambda: relay([HOSTILE]),
        lambda: complain(HOSTILE),
        lambda: printing.quote("its code:", HOSTILE),
        lambda: console.print(HOSTILE),
        lambda: console.print(stacked([(HOSTILE,)])),
        lambda: console.print(table_of(HOSTILE)),
    ],
)
def test_each_way_to_print_masks(
    shows: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = io.StringIO()
    # So narrow that the secret would be cut in two.
    monkeypatch.setattr(printing, "console", Terminal(file=file, width=24))
    monkeypatch.setattr(printing, "error_console", Terminal(file=file, width=24))
    monkeypatch.setattr(sys.modules[__name__], "console", printing.console)
    shows()
    written = "".join(file.getvalue().split())
    assert SECRET[:7] not in written
    assert MASK in written


def table_of(text: str) -> Table:
    table = Table(text, title=text)
    table.add_row(text)
    return table


@pytest.mark.parametrize("kind", [InputError, NegativeVerdict])
def test_an_error_has_none_in_any_of_its_texts(
    kind: type[InputError] | type[NegativeVerdict],
) -> None:
    error = kind(HOSTILE, details=[HOSTILE], fix=[HOSTILE])
    for text in (str(error), repr(error), error.what, error.fix, *error.lines, *error.details):
        assert SECRET not in text
    assert SECRET not in kind(HOSTILE, fix=HOSTILE).fix


def test_a_value_is_masked_before_it_is_cut() -> None:
    # Cut first, it would have lost the host that says what stands in front of it.
    long = f"s3://{'K' * 200}:{SECRET}{'p' * 500}@bucket"
    assert SECRET not in show(long)
    assert SECRET not in shortened(long)
    assert SECRET not in "".join(InputError("x", details=[f"{'x ' * 480}{long * 9}"]).lines)
