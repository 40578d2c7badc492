"""What the person on call reads when a bucket says no: bucket, key, what to do; and never a secret."""

from __future__ import annotations

import logging
import urllib.error
import urllib.request
from dataclasses import replace
from datetime import timedelta

import pytest
from free_ports import free_port
from pydantic import SecretStr
from s3_on_moto import ACCESS_KEY, SECRET_KEY, address_in
from s3_server import BUCKET, Manners, S3Server

from zimage_core.errors import ObjectMissing, ObjectRefused, StorageError, StoreRefused
from zimage_core.storage import BucketAddress, ObstoreStore, S3Store, Store
from zimage_core.storage.refusals import refusal

CLIENTS = pytest.mark.parametrize("client", [S3Store, ObstoreStore])
Client = type[S3Store | ObstoreStore]
PNG = "image/png"
SIGNED_S = 60


def put(store: Store) -> bool:
    return store.put("img/a.png", b"picture", content_type=PNG)


def refused(client: Client, address: BucketAddress) -> StorageError:
    store = client(address)
    with pytest.raises(StorageError) as caught:
        put(store)
    store.close()
    assert address.where in str(caught.value)
    return caught.value


@CLIENTS
def test_a_wrong_secret_key(client: Client) -> None:
    with S3Server() as server:
        address = address_in(server.url, BUCKET, provider="aws")
        error = refused(client, replace(address, secret_access_key=SecretStr("wrong")))
    assert isinstance(error, StoreRefused)
    assert "img/a.png could not be written" in str(error)
    assert "correct ZIMAGE_PUBLISH_SECRET_ACCESS_KEY" in str(error)


@CLIENTS
def test_an_access_key_nobody_knows(client: Client) -> None:
    with S3Server() as server:
        address = address_in(server.url, BUCKET, provider="aws")
        error = refused(client, replace(address, access_key_id=SecretStr("AKIANOBODY")))
    assert isinstance(error, StoreRefused)
    assert "does not know this access key" in str(error)


@CLIENTS
def test_a_bucket_that_is_not_there(client: Client) -> None:
    with S3Server() as server:
        error = refused(client, address_in(server.url, "shoq", provider="aws"))
    assert isinstance(error, StoreRefused)
    assert "s3://shoq" in str(error)
    assert "there is no such bucket; create it, or correct ZIMAGE_PUBLISH_TO" in str(error)


@CLIENTS
def test_a_key_that_may_not_write(client: Client) -> None:
    with S3Server(Manners(denied=frozenset({"PUT"}))) as server:
        error = refused(client, address_in(server.url, BUCKET, provider="aws"))
    assert isinstance(error, StoreRefused)
    assert "access denied. Let the access key do s3:PutObject there" in str(error)


@CLIENTS
def test_a_clock_that_is_off(client: Client) -> None:
    with S3Server(Manners(clock_off=timedelta(hours=-1))) as server:
        error = refused(client, address_in(server.url, BUCKET, provider="aws"))
    assert isinstance(error, StoreRefused)
    assert "clock of this machine" in str(error)


@CLIENTS
def test_an_endpoint_nobody_answers_at_may_answer_later(client: Client) -> None:
    error = refused(client, address_in(f"http://127.0.0.1:{free_port()}", BUCKET, provider="aws", timeout_s=1))
    assert error.retryable
    assert "Is ZIMAGE_PUBLISH_ENDPOINT right, and the network up?" in str(error)


@CLIENTS
def test_reading_what_is_not_there_and_what_nobody_may_read(client: Client) -> None:
    with S3Server() as server:
        store = client(address_in(server.url, BUCKET, prefix="cdn", provider="aws"))
        with pytest.raises(ObjectMissing, match=r"s3://shop/cdn .* holds nothing under the key img/a\.png"):
            store.get("img/a.png")
        server.manners.denied = frozenset({"GET", "HEAD"})
        for read in (store.get, store.facts, store.exists):
            with pytest.raises(StoreRefused, match=r"img/a\.png could not be read .* s3:GetObject"):
                read("img/a.png")
        with pytest.raises(StoreRefused, match=r"s3:ListBucket"):
            list(store.list_keys())
        store.close()


def test_the_code_says_whether_the_same_call_may_do_better() -> None:
    address = address_in("http://127.0.0.1:1", BUCKET)

    def kind(code: str, status: int, message: str = "") -> type[StorageError]:
        return type(refusal(address, "written", "a.png", code=code, status=status, message=message))

    assert {kind("SlowDown", 503), kind("InternalError", 500), kind("", 429), kind("BadDigest", 400)} == {StorageError}
    assert {kind("ExpiredToken", 400), kind("", 403), kind("PermanentRedirect", 301)} == {StoreRefused}
    assert kind("InvalidArgument", 400, "aws-chunked encoding is not supported") is StoreRefused
    assert {kind("EntityTooLarge", 400), kind("MethodNotAllowed", 405)} == {ObjectRefused}


@CLIENTS
def test_a_url_for_review_opens_for_whoever_has_it_and_for_no_other_key_or_time(client: Client) -> None:
    with S3Server() as server:
        store = client(address_in(server.url, BUCKET, provider="aws"))
        put(store)
        store.put("img/b.png", b"secret", content_type=PNG)
        url = store.presigned_url("img/a.png", SIGNED_S)
        with urllib.request.urlopen(url) as answer:
            assert answer.read() == b"picture"
        for wrong in (url.replace("a.png", "b.png"), url.replace(f"Expires={SIGNED_S}", "Expires=6000")):
            with pytest.raises(urllib.error.HTTPError, match="403"):
                urllib.request.urlopen(wrong)
        server.manners.clock_off = timedelta(seconds=SIGNED_S + 5)
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(url)
        for valid_s in (0, 604_801):
            with pytest.raises(ObjectRefused, match="signed for 1 to 604800 seconds"):
                store.presigned_url("img/a.png", valid_s)
        store.close()


@CLIENTS
def test_no_secret_is_ever_logged_or_said(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with S3Server() as server:
        address = replace(address_in(server.url, BUCKET), session_token=SecretStr("token-nobody-may-see"))
        store = client(address)
        put(store)
        store.get("img/a.png")
        store.presigned_url("img/a.png", SIGNED_S)
        wrong = refused(client, replace(address, bucket="shoq"))
        said = [*(record.getMessage() for record in caplog.records), repr(store), str(wrong), repr(address)]
        store.close()
    for secret in (SECRET_KEY, ACCESS_KEY, "token-nobody-may-see", "Signature="):
        assert not [text for text in said if secret in text]
