"""moto's S3 over a socket, one server for a process, with a bucket for each who asks."""

from __future__ import annotations

from functools import lru_cache

import boto3
from moto.server import ThreadedMotoServer
from pydantic import SecretStr

from zimage_core.clock import fresh_id
from zimage_core.storage import PROVIDERS, BucketAddress

ACCESS_KEY, SECRET_KEY = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


@lru_cache(maxsize=1)
def moto_url() -> str:
    """Start the server on a free port and return its URL; it ends with the process."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    return f"http://{host}:{port}"


def address_in(
    endpoint: str,
    bucket: str,
    *,
    provider: str = "generic",
    prefix: str = "",
    threads: int = 8,
    timeout_s: float = 10.0,
) -> BucketAddress:
    """Return the address of a bucket at this endpoint, with the keys of all these tests."""
    return BucketAddress(
        bucket=bucket,
        prefix=prefix,
        provider=PROVIDERS[provider],
        endpoint=endpoint,
        region="us-east-1",
        access_key_id=SecretStr(ACCESS_KEY),
        secret_access_key=SecretStr(SECRET_KEY),
        threads=threads,
        timeout_s=timeout_s,
    )


def fresh_bucket() -> str:
    """Create a bucket on moto and return its name."""
    bucket = f"shop-{fresh_id()}"
    client = boto3.client(
        "s3",
        endpoint_url=moto_url(),
        region_name="us-east-1",
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
    )
    client.create_bucket(Bucket=bucket)
    client.close()
    return bucket
