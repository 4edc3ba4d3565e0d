"""Previews do not show secrets: what is named like one, and what the settings' own rule hides."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlite_job import SettingsError, SQLiteJob, Worker, call, hide_secrets, task
from sqlite_job.core.parameters import parameters_of
from sqlite_job.core.previews import MAX_CHARACTERS, REDACTION_FAILED, Previews
from sqlite_job.core.redaction import looks_secret
from tests.doors.making import drain, execute, settings_of

SECRET = "hunter2"

SECRETS = """
    password new_password password2 passwords PASSWORD user_passwd pwd passphrase pass password_hash
    secret client_secret secret_key secret_key_base CLIENT_SECRET secrets
    token token2 access_token accessToken csrfToken refresh-token jwt bearer
    api_key apikey apiKey X-Api-Key AWSSecretAccessKey access_key session_key private_key private_key_pem signing_key
    Authorization Proxy-Authorization auth cookie cookies Set-Cookie credentials credential otp cvv cvc
    card_number cardNumber credit_card_number
"""

HARMLESS = """
    author authors authenticate authorized is_authorized tokens max_tokens token_count tokenizer secretary compass
    passport passes passing_score key keys user_key monkey name user card number cardinal items x session_id option
"""


def keep(*args, **kwargs):
    return args, kwargs


def log_in(user, password, *codes, remember=False):
    return {"user": user, "token": SECRET}


async def log_in_later(user, password):
    return {"user": user, "token": SECRET}


def previews(settings, function, *args, **kwargs):
    """Enqueue and run a job; return the previews of its arguments and of its result, as they are stored."""
    job = SQLiteJob("default", settings).enqueue(function, *args, **kwargs)
    drain(settings)
    return job.info().arguments, job.info().result


# ---- the rule by names


@pytest.mark.parametrize("name", SECRETS.split())
def test_what_is_named_like_a_secret_is_hidden(name):
    assert hide_secrets("log_in", name, SECRET) == "***"


@pytest.mark.parametrize("name", ["", *HARMLESS.split()])
def test_what_is_named_otherwise_is_shown(name):
    assert hide_secrets("log_in", name, SECRET) == SECRET


@pytest.mark.parametrize("value", [None, True, False])
def test_nothing_and_flags_are_shown_under_any_name(value):
    assert hide_secrets("log_in", "password", value) is value


@pytest.mark.parametrize("value", [0, 1, "", "x" * 1000, [1], {"a": 1}, b"x", object()])
def test_everything_else_is_hidden_whatever_its_type(value):
    assert hide_secrets("log_in", "password", value) == "***"


@given(st.text())
def test_any_text_can_be_a_name(name):
    assert looks_secret(name) in (True, False)


def test_of_a_very_long_name_the_end_counts():
    assert looks_secret("x" * 1_000_000 + "_password")


# ---- previews of calls


@pytest.mark.parametrize("function", [log_in, "log_in"])
def test_arguments_are_hidden_by_position_and_by_keyword(database, function):
    settings = settings_of(database, log_in)

    assert previews(settings, function, "ada", SECRET)[0] == "'ada', '***'"
    assert previews(settings, function, "ada", password=SECRET)[0] == "'ada', password='***'"
    assert previews(settings, function, "ada", SECRET, remember=True)[0] == "'ada', '***', remember=True"


def test_the_job_itself_gets_the_real_values(database):
    seen = []
    settings = settings_of(database, task(lambda user, password: seen.append(password), name="log_in"))

    previews(settings, "log_in", "ada", SECRET)

    assert seen == [SECRET]


def test_what_is_hidden_is_hidden_in_every_row_but_the_payload(database):
    settings = settings_of(database, log_in, serializer="json")
    previews(settings, log_in, "ada", SECRET)

    shown = execute(
        database, "SELECT p.preview, r.preview FROM sqlitejob_payload p JOIN sqlitejob_result r USING (seq)"
    )
    assert SECRET not in repr(shown)
    assert SECRET in repr(execute(database, "SELECT args FROM sqlitejob_payload"))


def test_results_are_hidden_by_the_keys_in_them(database):
    for function in (log_in, log_in_later):
        settings = settings_of(database, function)
        assert previews(settings, function, "ada", SECRET)[1] == "{'user': 'ada', 'token': '***'}"


def test_enqueue_many_and_aenqueue_hide_as_enqueue_does(database):
    jobs = SQLiteJob("default", settings_of(database, log_in, keep))

    several = jobs.enqueue_many([call(log_in, "ada", SECRET), call(keep, SECRET), call("log_in", "bob", SECRET)])
    later = asyncio.run(jobs.aenqueue(log_in, "ada", SECRET))

    shown = [job.info().arguments for job in [*several, later]]
    assert shown == ["'ada', '***'", f"'{SECRET}'", "'bob', '***'", "'ada', '***'"]


def test_without_settings_a_function_tells_its_names_and_a_name_alone_does_not(database):
    jobs = SQLiteJob(database=database)

    assert jobs.enqueue(log_in, "ada", SECRET).info().arguments == "'ada', '***'"
    assert jobs.enqueue(task(log_in, name="other"), "ada", SECRET).info().arguments == "'ada', '***'"
    assert jobs.enqueue("log_in", "ada", password=SECRET).info().arguments == "'ada', password='***'"
    assert jobs.enqueue("log_in", "ada", SECRET).info().arguments == f"'ada', '{SECRET}'"  # as the guide says


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"token": SECRET, "user": "ada"}, "{'token': '***', 'user': 'ada'}"),
        ([{"token": SECRET}], "[{'token': '***'}]"),
        (({"token": SECRET},), "({'token': '***'},)"),
        ({"headers": {"Authorization": SECRET}}, "{'headers': {'Authorization': '***'}}"),
        ({"token": {"value": SECRET}}, "{'token': '***'}"),
        (OrderedDict(token=SECRET), "{'token': '***'}"),
        (defaultdict(str, token=SECRET), "{'token': '***'}"),
        ({1: SECRET, None: 2}, f"{{1: '{SECRET}', None: 2}}"),
        ({}, "{}"),
        ({"a": {"b": {"c": {"token": SECRET}}}}, "{'a': {'b': {'c': {...}}}}"),
        ({str(n): n for n in range(100)}, "{'0': 0, '1': 1, '2': 2, '3': 3, '4': 4, ...}"),
    ],
)
def test_entries_of_dicts_are_hidden_at_any_depth_that_is_shown(value, shown):
    assert Previews().of_call("keep", parameters_of(keep), [value], {}) == shown
    assert Previews().of_call("keep", parameters_of(keep), [], {"value": value}) == f"value={shown}"
    assert Previews().of_result("keep", value) == shown


nested = st.recursive(
    st.just(SECRET),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["password", "x"]), inner, max_size=3),
)


@given(st.dictionaries(st.sampled_from(["password", "token", "api_key"]), nested, min_size=1))
def test_no_secret_is_seen_however_it_is_nested(value):
    assert SECRET not in Previews().of_result("keep", [value])


def test_names_of_positional_arguments_are_those_of_the_signature():
    assert parameters_of(log_in) == (("user", "password"), "codes", True)
    assert parameters_of(lambda x, /, y, *, password: None) == (("x", "y"), "", False)
    assert parameters_of(lambda *tokens, **more: None) == ((), "tokens", False)
    assert parameters_of(lambda *token: None).has_secrets
    assert parameters_of(dict.update) == ((), "", False)


# ---- a rule of one's own


def recorder(calls):
    def redact(function, name, value):
        calls.append((function, name, value))
        return value

    return redact


def test_redact_is_called_with_function_name_and_value_of_all_that_is_shown(database):
    calls = []
    settings = settings_of(database, log_in, redact=recorder(calls))

    shown = previews(settings, log_in, "ada", SECRET, 1, 2, remember={"days": {"left": 3}, 4: 5})

    assert calls == [
        ("log_in", "user", "ada"),
        ("log_in", "password", SECRET),
        ("log_in", "codes", 1),
        ("log_in", "codes", 2),
        ("log_in", "remember", {"days": {"left": 3}, 4: 5}),
        ("log_in", "days", {"left": 3}),
        ("log_in", "left", 3),
        ("log_in", "return", {"user": "ada", "token": SECRET}),
        ("log_in", "user", "ada"),
        ("log_in", "token", SECRET),
    ]
    # It replaces the rule by names: what it shows is shown.
    assert shown == (
        f"'ada', '{SECRET}', 1, 2, remember={{'days': {{'left': 3}}, 4: 5}}",
        f"{{'user': 'ada', 'token': '{SECRET}'}}",
    )


def test_what_redact_returns_is_shown_instead_bounded_as_ever(database):
    settings = settings_of(database, log_in, redact=lambda function, name, value: [name] * 1000)

    arguments, result = previews(settings, log_in, "ada", SECRET)

    user, password = (f"[{', '.join([repr(name)] * 5)}, ...]" for name in ("user", "password"))
    assert arguments == f"{user}, {password}"
    assert result == "['return', 'return', 'return', 'return', 'return', ...]"
    assert max(map(len, (arguments, result))) <= MAX_CHARACTERS


def test_redact_may_be_a_method_a_static_method_and_an_object(database):
    class Masking:
        def __call__(self, function, name, value):
            return "masked"

    def method(self, function, name, value):
        return f"masked by {type(self).__name__}"

    method.__qualname__ = "Settings.method"  # as if it stood in the class
    method.__module__ = "tests.doors.making"
    static = staticmethod(lambda function, name, value: "masked")

    assert previews(settings_of(database, log_in, redact=method), log_in, 1, 2)[1] == "'masked by Settings'"
    for redact in (static, Masking()):
        assert previews(settings_of(database, log_in, redact=redact), log_in, 1, 2)[1] == "'masked'"


def test_without_previews_redact_is_not_called(database):
    calls = []
    settings = settings_of(database, log_in, redact=recorder(calls), preview=False)

    assert previews(settings, log_in, "ada", SECRET) == (None, None)
    assert calls == []


class UnkindError(Exception):
    def __str__(self):
        raise ValueError(SECRET)


@pytest.mark.parametrize(
    "error", [ValueError(SECRET), KeyError(SECRET), RecursionError(SECRET), MemoryError(), UnkindError()]
)
@pytest.mark.parametrize("where", ["password", "left", "return", "token"])
def test_a_redact_that_raises_hides_the_whole_preview_and_loses_no_job(database, caplog, error, where):
    def redact(_, name, value):
        if name == where:
            raise error
        return value

    settings = settings_of(database, log_in, keep, redact=redact)
    jobs = SQLiteJob("default", settings)

    with Worker("default", settings).running_in_background():
        job = jobs.enqueue(log_in, "ada", SECRET, remember=[{"left": SECRET}])
        assert job.result(timeout=20) == {"user": "ada", "token": SECRET}
        assert jobs.enqueue(keep, 1).result(timeout=20) == ((1,), {})

    info = job.info()
    failed = info.arguments if where in ("password", "left") else info.result
    assert failed == REDACTION_FAILED == "<redaction failed>"
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    ("redact", "mend"),
    [
        ("***", r"redact is a plain function of \(function, name, value\), or None, not '\*\*\*'"),
        (lambda value: value, r"redact is called with \(function, name, value\), which .* does not take"),
        (lambda: None, "does not take"),
        (log_in_later, "redact is a plain function"),
    ],
)
def test_what_cannot_be_a_redact_is_refused_when_the_settings_are_made(database, redact, mend):
    with pytest.raises(SettingsError, match=mend):
        settings_of(database, keep, redact=redact)


def test_redact_is_inherited_and_none_brings_the_rule_by_names_back(database):
    class Masked(type(settings_of(database, log_in))):
        @staticmethod
        def redact(function, name, value):
            return "masked"

    class Child(Masked):
        pass

    class Plain(Masked):
        redact = None

    assert previews(Child(database), log_in, "ada", SECRET)[0] == "'masked', 'masked'"
    assert previews(Plain(database), log_in, "ada", SECRET)[0] == "'ada', '***'"
