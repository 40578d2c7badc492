"""A time stamp service (RFC 3161) on 127.0.0.1, answered by the openssl program under a certificate of its own.

Every Debian with ca-certificates has that program.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.x509 import ExtendedKeyUsageOID

from tests.support.certificates import signing_chain
from tests.support.small_servers import Answer, Seen, SmallServer

_CONFIG = """[tsa]
default_tsa = here
[here]
serial = {folder}/serial
signer_cert = {chain}
certs = {chain}
signer_key = {key}
signer_digest = sha256
default_policy = 1.2.3.4
digests = sha256, sha384, sha512
ess_cert_id_alg = sha256
"""


@contextmanager
def time_service(folder: Path) -> Iterator[SmallServer]:
    """Run the service; `seen` of what is given holds the requests."""
    chain, key = signing_chain(folder, "Test time service", purpose=ExtendedKeyUsageOID.TIME_STAMPING)
    (folder / "serial").write_text("01")
    (folder / "tsa.cnf").write_text(_CONFIG.format(folder=folder, chain=chain, key=key))

    def stamp(seen: Seen) -> Answer:
        asked, told = folder / "query.tsq", folder / "reply.tsr"
        asked.write_bytes(seen.body)
        command = ["openssl", "ts", "-reply", "-config", str(folder / "tsa.cnf"), "-queryfile", str(asked)]
        subprocess.run([*command, "-out", str(told)], check=True, capture_output=True)
        return Answer(200, told.read_bytes(), {"Content-Type": "application/timestamp-reply"})

    server = SmallServer(stamp)
    server.start()
    try:
        yield server
    finally:
        server.stop()
