"""Which store the settings name, and what is said when they cannot work."""

from __future__ import annotations

import ssl
import sys
from pathlib import Path

import pytest
from certificates import certificate
from s3_on_moto import ACCESS_KEY, SECRET_KEY, address_in
from s3_server import BUCKET, S3Server

from zimage_core.errors import ConfigurationError, StorageError, StoreRefused
from zimage_core.settings import PublishSettings
from zimage_core.storage import PROVIDERS, LocalStore, ObstoreStore, S3Store, address_of, open_store

KEYS = {"access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY}


def settings(**given: object) -> PublishSettings:
    return PublishSettings.model_validate({**KEYS, **given})


def test_without_a_target_releases_go_to_the_folder(tmp_path: Path) -> None:
    store = open_store(PublishSettings(), tmp_path)
    assert isinstance(store, LocalStore)
    assert store.root == tmp_path / "cdn"


@pytest.mark.parametrize(("client", "kind"), [("boto3", S3Store), ("obstore", ObstoreStore)])
def test_the_client_is_the_one_that_was_asked_for(client: str, kind: type, tmp_path: Path) -> None:
    with S3Server() as server:
        asked = settings(to=f"s3://{BUCKET}/a/b", provider="minio", endpoint=server.url, client=client, threads=4)
        store = open_store(asked, tmp_path)
        assert type(store) is kind
        assert store.put("x.png", b"1", content_type="image/png") is True
        assert f"{BUCKET}/a/b/x.png".partition("/")[2] in server.objects
        store.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("provider", "endpoint"),
    [
        ("oss", "https://s3.oss-cn-hangzhou.aliyuncs.com"),
        ("cos", "https://cos.cn-hangzhou.myqcloud.com"),
        ("obs", "https://obs.cn-hangzhou.myhuaweicloud.com"),
        ("aws", None),
    ],
)
def test_providers_with_one_endpoint_per_region_need_only_the_region(provider: str, endpoint: str | None) -> None:
    address = address_of(settings(to="s3://shop", provider=provider, region="cn-hangzhou"))
    assert (address.endpoint, address.region, address.prefix) == (endpoint, "cn-hangzhou", "")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"to": "s3://"}, "s3://bucket or s3://bucket/prefix"),
        ({"to": "s3://key:secret@shop"}, "without keys"),
        ({"provider": "r2"}, "PROVIDER=r2 needs ZIMAGE_PUBLISH_ENDPOINT"),
        ({"provider": "oss"}, r"PROVIDER=oss needs ZIMAGE_PUBLISH_REGION \(or ENDPOINT\)"),
        ({"endpoint": "s3.example.com"}, "a URL such as"),
        ({"endpoint": "https://me:secret@s3.example.com"}, "no user, password"),
        ({"endpoint": "https://s3.example.com/shop"}, "belong into ZIMAGE_PUBLISH_TO"),
    ],
)
def test_settings_that_cannot_work_are_refused_by_name(given: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as caught:
        address_of(settings(**{"to": "s3://shop", **given}))
    assert "secret" not in str(caught.value).replace("SECRET", "")


def test_a_prefix_that_is_no_key_is_refused() -> None:
    with pytest.raises(StorageError, match="cannot be stored"):
        address_of(settings(to="s3://shop/a//../b"))


@pytest.mark.parametrize(("client", "extra"), [("boto3", "s3"), ("obstore", "obstore")])
def test_a_client_that_is_not_installed_is_named_with_its_extra(
    client: str, extra: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, client, None)
    with pytest.raises(ConfigurationError, match=rf"pip install 'zimage\[{extra}\]'"):
        open_store(settings(to="s3://shop", client=client, region="us-east-1"), tmp_path)


@pytest.mark.parametrize("client", ["boto3", "obstore"])
def test_missing_credentials_are_said_at_opening(client: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(ConfigurationError, match="There are no credentials for the bucket"):
        open_store(PublishSettings(to="s3://shop", client=client, region="us-east-1"), tmp_path)  # type: ignore[arg-type]


def test_a_region_that_is_none_is_said_at_opening(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be opened"):
        open_store(settings(to="s3://shop", region="not a region!"), tmp_path)


@pytest.mark.parametrize("provider", [name for name in PROVIDERS if name != "aws"])
def test_over_https_no_provider_but_aws_is_sent_aws_chunked_bodies(
    provider: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain, key = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    with S3Server(tls=context) as server:
        address = address_in(server.url, BUCKET, provider=provider)
        stranger = S3Store(address)
        with pytest.raises(StoreRefused, match="certificate is not trusted here"):
            stranger.get("a.png")
        stranger.close()
        monkeypatch.setenv("AWS_CA_BUNDLE", str(chain))
        store = S3Store(address)
        assert store.put("a.png", b"picture", content_type="image/png") is True
        assert server.objects["a.png"].data == b"picture"
        puts = [seen for seen in server.seen if seen.method == "PUT"]
        assert all("content-encoding" not in seen.headers and "x-amz-trailer" not in seen.headers for seen in puts)
        store.close()
