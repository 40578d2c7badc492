"""A run that publishes to a bucket: files as readers get them over HTTP, receivers told, prices changed, gone back."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import boto3
import httpx
from s3_on_moto import ACCESS_KEY, SECRET_KEY, fresh_bucket, moto_url
from webhook_receiver import SECRET, receiving
from workshop import LIPSTICK, MUG, Workshop

from zimage_core.publishing.seal import read_seal

CHOICE = ("--promotion", "618", "--scene", "studio", "--scene", "packshot", "-c", "taobao_main", "-c", "amazon_main")


def test_a_run_publishes_to_a_bucket_and_what_readers_get_is_what_the_manifest_says(
    new_workshop: Callable[[str], Workshop],
) -> None:
    shop, bucket = new_workshop("shop"), fresh_bucket()
    let_anyone_read(bucket)
    public_url = f"{moto_url()}/{bucket}/shop"
    with receiving() as receiver:
        shop.environment |= {
            "ZIMAGE_PUBLISH_TO": f"s3://{bucket}/shop",
            "ZIMAGE_PUBLISH_PROVIDER": "minio",
            "ZIMAGE_PUBLISH_ENDPOINT": moto_url(),
            "ZIMAGE_PUBLISH_REGION": "us-east-1",
            "ZIMAGE_PUBLISH_ACCESS_KEY_ID": ACCESS_KEY,
            "ZIMAGE_PUBLISH_SECRET_ACCESS_KEY": SECRET_KEY,
            "ZIMAGE_PUBLISH_PUBLIC_URL": public_url,
            "ZIMAGE_PUBLISH_WEBHOOK_URLS": receiver.url,
            "ZIMAGE_PUBLISH_WEBHOOK_SECRET": SECRET,
            "ZIMAGE_PUBLISH_WEBHOOK_PRIVATE": "true",
        }
        shop.write(MUG, LIPSTICK)
        said = shop.run("run", "catalogue.csv", *CHOICE)
        assert "4 accepted" in said.stdout
        assert f"s3://{bucket}/shop" in said.stdout
        first = live(public_url)
        places = (("studio", "taobao_main"), ("packshot", "taobao_main"), ("packshot", "amazon_main"))
        assert {(f["sku"], f["scene"], f["channel"]) for f in first["files"]} == {
            (sku, *place) for sku in ("MUG-1", "LIP-1") for place in places
        }
        for file in first["files"]:
            got = httpx.get(file["url"])
            assert hashlib.sha256(got.content).hexdigest() == file["sha256"]
            assert got.headers["content-type"] == file["media_type"]
            assert "immutable" in got.headers["cache-control"]
            assert read_seal(got.content).digital_source_type == file["labels"]["digital_source_type"]
        assert {image["imageUrl"] for event in receiver.taken.values() for image in event["data"]["images"]} == {
            file["url"] for file in first["files"]
        }
        shop.write({**MUG, "price": "61.50"}, LIPSTICK)
        shop.run("publish")
        second = live(public_url)
        urls = [{file["url"] for file in manifest["files"]} for manifest in (first, second)]
        assert len(urls[0] - urls[1]) == 1
        shop.run("rollback", "618")
        assert live(public_url) == first
    assert not (shop.folder / "out" / "cdn").exists()
    kept = "".join(p.read_text(errors="replace") for p in shop.folder.rglob("*.log")) + said.stdout + said.stderr
    assert SECRET_KEY not in kept
    assert SECRET not in kept


def let_anyone_read(bucket: str) -> None:
    """Do what an owner does whose bucket is a CDN's origin."""
    client = boto3.client(
        "s3", endpoint_url=moto_url(), region_name="us-east-1",
        aws_access_key_id=ACCESS_KEY, aws_secret_access_key=SECRET_KEY,
    )  # fmt: skip
    client.put_bucket_acl(Bucket=bucket, ACL="public-read")
    client.close()


def live(public_url: str) -> dict[str, list[dict[str, object]]]:
    """Follow the pointer as a shop page does."""
    pointer = httpx.get(f"{public_url}/current/618.json").raise_for_status()
    assert "max-age=60" in pointer.headers["cache-control"]
    return httpx.get(f"{public_url}/{pointer.json()['manifest_key']}").raise_for_status().json()
