"""Secrets in every form in which they are written; `S3` stands in each, and must not be left in any."""

import logging
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollwright.core.masking import MaskingFormatter, is_secret_name, mask_secrets, mask_value

FORMS = [
    "postgresql://me:S3@host:5432/db",
    "POSTGRESQL://me:S3@host/db",
    "postgresql://me:aS3@b@S3c@host/db",
    "postgresql://me:a/S3/b@host/db",
    "postgresql://me:S3#S3?S3@host/db",
    "postgresql://me:%53%33S3%40x@host/db",
    "postgresql://:S3@host/db",
    "postgresql://me:S3 with S3 spaces@host/db",
    "postgresql://me:S3'S3\"S3@host/db",
    "postgresql://me:S3@/db",
    "postgresql://me:S3@[::1]:5432/db",
    "postgresql+psycopg://me:S3@host/db",
    "jdbc:postgresql://me:S3@host/db",
    "mongodb://me:S3@h1:1,h2:2/db?authSource=admin",
    "mongodb+srv://me:S3@cluster/db",
    "MongoDB+SRV://me:S3@cluster/db",
    "redis://:S3@host:6379/0",
    "https://S3@host/",
    "HTTPS://S3@host/",
    "git+https://S3@host/x",
    "https://me:S3@host/path?x=1",
    "databricks://S3@host",
    "//me:S3@host/db",
    "me:S3@host/db",
    "me:a@S3@host:5432/db",
    ":S3@host",
    "postgresql://host/db?user=me&password=S3",
    "postgresql:///db?host=/run&password=S3&x=1",
    "postgresql://host/db?sslpassword=S3",
    "postgresql://host/db?pass%77ord=S3",
    "postgresql://host/db?PASSWORD=S3",
    "postgresql://host/db?password=S3#S3",
    "mongodb://host/db?tlsCertificateKeyFilePassword=S3",
    "mongodb://host/db?authMechanismProperties=AWS_SESSION_TOKEN:S3",
    "https://host/x?token=S3",
    "https://host/x?access_token=S3&y=2",
    "https://host/x?api_key=S3",
    "https://host/x?key=S3",
    "https://host/x;secret=S3",
    "https://a.blob.core.windows.net/c?sv=1&sig=S3",
    "https://b.s3.amazonaws.com/k?X-Amz-Signature=S3&X-Amz-Credential=S3",
    "mssql+pyodbc:///?odbc_connect=DRIVER%3DODBC%3BUID%3Dme%3BPWD%3DS3",
    "https://host/?next=postgresql%3A%2F%2Fme%3AS3%40host%2Fdb",
    "host=h user=me password=S3 dbname=x",
    "host=h user=me password = 'S3 with \\' S3' dbname=x",
    'host=h password="S3 and S3"',
    "DRIVER={ODBC};SERVER=h;UID=me;PWD={S3;S3};x=1",
    "DRIVER={ODBC};SERVER=h;UID=me;pwd=S3;x=1",
    "AccountName=a;AccountKey=S3==;EndpointSuffix=core.windows.net",
    "{'user': 'me', 'password': 'S3'}",
    '{"user": "me", "apiKey": "S3 x"}',
    "secret_key: S3",
    "  - password: S3 and S3 more",
    "connection to postgresql://me:S3@host/db failed: password=S3 was refused for mongodb://me:S3@other/db",
    "['a://h', 'postgresql://me:S3@host/db']",
    "Authorization: Bearer S3abcdefgh",
    "headers {'Authorization': 'Basic S3abcdefgh='}",
    "bearer S3abcdefgh",
    "Settings(pool=PoolSettings(url='postgresql://me:S3@host/db'), token='S3')",
]
HARMLESS = [
    "", "memory:", "sqlite:///.rollwright/pool.db", "sqlite:////abs/%41/pool.db", "http://host:5000/a", "http://host/a@b",
    "postgresql://me@host/db", "postgresql://host:5432/db?application_name=x", "wasbs://container@a.blob.core.windows.net/x",
    "3", "()", "Ref($close, -2)/Ref($close, -1) - 1", "2016-01-04..2016-03-31", "lease=60 poll=1", "key=value", "a: b",
    "password: {{ DB_PASSWORD }}", "write to admin@example.com", "task.failed task=3 attempt=2", "tokenizer=bert",
    "class: LGBModel", "num_leaves: 31", "C:/data/cn",
]  # fmt: skip


@pytest.mark.parametrize("text", FORMS)
def test_no_form_of_a_secret_is_left(text):
    assert "S3" in text
    shown = mask_secrets(text)
    assert "S3" not in shown.replace("b.s3.", "")
    assert "***" in shown
    assert mask_secrets(shown) == shown
    for around in ("cannot connect to {}: refused", "'{}'", "[{}]\nand more", "url={}"):
        if " with " not in text and not text.startswith("  -"):
            assert "S3" not in mask_secrets(around.format(text))


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_secret_is_left_as_it_is(text):
    assert mask_secrets(text) == text


@given(st.text(max_size=200))
def test_masking_twice_is_masking_once(text):
    assert mask_secrets(mask_secrets(text)) == mask_secrets(text)


@given(st.text(alphabet=st.characters(exclude_categories=("C", "Z")), min_size=8, max_size=40))
def test_no_password_of_a_url_is_left_whatever_it_is(password):
    shown = mask_secrets(f"postgresql://me:{password}@host/db")
    assert shown == "postgresql://me:***@host/db" or (password not in shown and "***" in shown)


@pytest.mark.parametrize(
    "piece", ["a", "a://", "a:", "@", "a@", "://a:", "password='", "?a=", "%3A%2F%2F", "\n- a: ", "'"]
)
def test_a_long_text_takes_no_long_time(piece):
    begun = time.thread_time()  # of the processor, which others may have in between
    mask_secrets(piece * 50_000)
    assert time.thread_time() - begun < 2.5


def test_values_are_hidden_by_their_name():
    assert mask_value("model.kwargs.api_key", "abc") == "***"
    assert mask_value("model.kwargs.num_leaves", 31) == "31"
    assert mask_value("dataset.kwargs.uri", "redis://:x@h") == "redis://:***@h"
    assert [name for name in ("monkey", "tokenizer", "sort_key", "bypass", "author") if is_secret_name(name)] == []


def test_log_records_and_their_tracebacks_are_masked():
    formatter = MaskingFormatter("%(message)s")
    try:
        raise ValueError("cannot reach redis://:hush@h")
    except ValueError as error:
        record = logging.LogRecord("x", 30, "f", 1, "went to %s", ("redis://:hush@h",), (type(error), error, None))
    text = formatter.format(record)
    assert "hush" not in text
    assert text.startswith("went to redis://:***@h")
