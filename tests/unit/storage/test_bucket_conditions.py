"""A bucket whose service honours no conditions, damages what it stores, or breaks off; and objects in parts."""

from __future__ import annotations

import hashlib

import boto3
import pytest
from s3_on_moto import ACCESS_KEY, SECRET_KEY, address_in, fresh_bucket, moto_url
from s3_server import BUCKET, Manners, S3Server

from zimage_core.errors import ObjectRefused, StorageError
from zimage_core.storage import ObstoreStore, S3Store
from zimage_core.storage.bucket import PART_BYTES, etag_of

CLIENTS = pytest.mark.parametrize("client", [S3Store, ObstoreStore])
Client = type[S3Store | ObstoreStore]
PNG = "image/png"


@CLIENTS
@pytest.mark.parametrize("conditions", ["ignored", "refused"])
def test_where_conditions_are_not_honoured_a_key_is_asked_for_first(
    client: Client, conditions: str, caplog: pytest.LogCaptureFixture
) -> None:
    with S3Server(Manners(conditions=conditions)) as server:  # type: ignore[arg-type]
        store = client(address_in(server.url, BUCKET))
        assert store.put("a.png", b"first", content_type=PNG) is True
        assert store.put("a.png", b"first", content_type=PNG) is False
        with pytest.raises(ObjectRefused, match=r"a\.png already holds different bytes"):
            store.put("a.png", b"other", content_type=PNG)
        store.swap("p.json", None, b"1", content_type="application/json")
        store.swap("p.json", b"1", b"2", content_type="application/json")
        with pytest.raises(ObjectRefused, match="was changed"):
            store.swap("p.json", b"1", b"3", content_type="application/json")
        store.close()
        assert sorted(server.objects) == ["a.png", "p.json"]
        assert server.sent["a.png"] == 1
    assert sum("ignores or refuses conditions" in record.getMessage() for record in caplog.records) == 1


@CLIENTS
def test_where_they_are_honoured_the_probe_leaves_nothing_and_is_made_once(client: Client) -> None:
    with S3Server() as server:
        store = client(address_in(server.url, BUCKET, prefix="cdn"))
        for name in ("a.png", "b.png"):
            store.put(name, b"1", content_type=PNG)
        assert sorted(server.objects) == ["cdn/a.png", "cdn/b.png"]
        assert len([key for key in server.created if ".tmp-probe-" in key]) == 1
        store.close()


def test_a_probe_of_a_killed_process_and_a_consoles_folder_are_no_keys() -> None:
    with S3Server() as server:
        store = S3Store(address_in(server.url, BUCKET, provider="aws"))
        store.put("img/a.png", b"1", content_type=PNG)
        server.objects[".tmp-probe-0123"] = server.objects["img/"] = server.objects["img/a.png"]
        assert list(store.list_keys()) == ["img/a.png"]
        store.close()


@CLIENTS
def test_what_was_damaged_on_its_way_is_taken_back_and_can_be_sent_again(client: Client) -> None:
    with S3Server(Manners(damages=1)) as server:
        store = client(address_in(server.url, BUCKET, provider="aws"))
        with pytest.raises(StorageError, match=r"a\.png (did not arrive|came from)") as caught:
            store.put("a.png", b"picture", content_type=PNG)
        assert caught.value.retryable
        assert store.put("a.png", b"picture", content_type=PNG) is True
        assert server.objects["a.png"].data == b"picture"
        store.close()


@CLIENTS
def test_a_body_that_breaks_off_is_asked_for_again(client: Client) -> None:
    data = bytes(range(256)) * 400
    with S3Server() as server:
        store = client(address_in(server.url, BUCKET, provider="aws"))
        store.put("a.png", data, content_type=PNG)
        server.manners.cuts = 2
        assert store.get("a.png") == data
        assert server.manners.cuts == 0
        store.close()


def test_what_differs_from_the_checksum_it_was_put_with_is_not_handed_out() -> None:
    with S3Server() as server:
        store = S3Store(address_in(server.url, BUCKET, provider="aws"))
        store.put("a.png", b"picture", content_type=PNG)
        server.objects["a.png"].data = b"Picture"
        with pytest.raises(StorageError, match=r"a\.png came from .* cut short or changed 3 times"):
            store.get("a.png")
        store.close()


def test_an_object_of_others_without_a_checksum_is_read_and_compared_by_its_bytes() -> None:
    with S3Server() as server:
        store = S3Store(address_in(server.url, BUCKET, provider="aws"))
        store.put("a.png", b"picture", content_type=PNG)
        del server.objects["a.png"].headers["x-amz-meta-sha256"]
        assert store.facts("a.png").sha256 is None
        assert store.get("a.png") == b"picture"
        assert store.put("a.png", b"picture", content_type=PNG) is False
        with pytest.raises(ObjectRefused):
            store.put("a.png", b"Picture", content_type=PNG)
        store.close()


def test_bodies_are_sent_without_asking_first() -> None:
    with S3Server() as server:
        store = S3Store(address_in(server.url, BUCKET, provider="aws"))
        store.put("a.png", b"picture", content_type=PNG)
        store.close()
        assert [seen.headers.get("expect") for seen in server.seen] == [None]


def test_a_listing_of_many_pages_is_whole_and_in_order() -> None:
    with S3Server(Manners(page=7)) as server:
        store = S3Store(address_in(server.url, BUCKET, provider="aws"))
        store.put("img/00.png", b"1", content_type=PNG)
        for number in range(1, 30):
            server.objects[f"img/{number:02d}.png"] = server.objects["img/00.png"]
        assert list(store.list_keys("img/")) == [f"img/{n:02d}.png" for n in range(30)]
        store.close()


@CLIENTS
def test_a_large_object_arrives_whole_with_its_headers_and_is_created_once(client: Client) -> None:
    data = hashlib.sha256(b"large").digest() * (2 * PART_BYTES // 32) + b"the rest"
    bucket = fresh_bucket()
    store = client(address_in(moto_url(), bucket, provider="aws"))
    assert store.put("film.png", data, content_type=PNG, cache_control="no-store") is True
    facts = store.facts("film.png")
    assert (facts.size_bytes, facts.content_type, facts.cache_control) == (len(data), PNG, "no-store")
    assert store.put("film.png", data, content_type=PNG) is False
    with pytest.raises(ObjectRefused, match="already holds different bytes"):
        store.put("film.png", data[:-1] + b"T", content_type=PNG)
    assert store.get("film.png") == data
    store.close()
    keys = {"aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": SECRET_KEY}
    other = boto3.client("s3", endpoint_url=moto_url(), region_name="us-east-1", **keys)
    assert other.list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []
    if client is S3Store:
        assert other.head_object(Bucket=bucket, Key="film.png")["ETag"] == f'"{etag_of(data, parts=True)}"'
    other.close()
