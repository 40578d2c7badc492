"""Content credentials: signed last, read back from every format, and broken by any change."""

from __future__ import annotations

import dataclasses
import io
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.certificates import certificate, signing_chain
from tests.support.time_service import time_service
from zimage_core.errors import ConfigurationError, PublishError
from zimage_core.imaging.encode import FORMATS, Format, encode
from zimage_core.publishing.credentials import CredentialSigner, open_signer, read_credential
from zimage_core.publishing.seal import SealFacts, expected_seal, read_seal, seal_packet
from zimage_core.settings import PublishSettings

RGB = np.random.default_rng(5).integers(0, 256, (64, 64, 3), dtype=np.uint8)
FACTS = SealFacts("diffusers", "z-image-turbo@0f1e", "stage", "0123456789abcdef", "素白马克杯", "zh", "诺物")
ALL_FORMATS: tuple[Format, ...] = ("jpeg", "png", "webp", "avif")


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> CredentialSigner:
    chain, key = signing_chain(tmp_path_factory.mktemp("c2pa"))
    opened = open_signer(PublishSettings(c2pa_certificate=chain, c2pa_key=key))
    assert opened is not None
    return opened


def sealed(file_format: Format) -> bytes:
    return encode(RGB, file_format, max_bytes=10**6, xmp=seal_packet(FACTS)).data


@pytest.mark.parametrize("file_format", ALL_FORMATS)
def test_a_signed_file_says_what_made_it_and_keeps_its_seal(file_format: Format, signer: CredentialSigner) -> None:
    media_type = FORMATS[file_format].media_type
    facts = dataclasses.replace(FACTS, text_drawn=True, visible_label=True)
    signed = signer.sign(sealed(file_format), media_type, facts)
    told = read_credential(signed, media_type)
    assert told is not None
    assert (told.state, told.problems, told.signed_by, told.algorithm) == ("valid", (), "Nuowu Test", "Es256")
    assert told.generator.startswith("zimage ")
    assert told.actions == ("c2pa.created", "c2pa.edited", "c2pa.edited")
    assert told.digital_source_type == expected_seal(FACTS).digital_source_type
    assert read_seal(signed) == expected_seal(FACTS), "the XMP packet is still there"
    assert len(signed) - len(sealed(file_format)) < 6_000, "no thumbnail"
    with Image.open(io.BytesIO(signed)) as after, Image.open(io.BytesIO(sealed(file_format))) as before:
        assert np.array_equal(np.asarray(after), np.asarray(before))


@pytest.mark.parametrize("file_format", ALL_FORMATS)
def test_one_letter_changed_after_signing_is_seen(file_format: Format, signer: CredentialSigner) -> None:
    media_type = FORMATS[file_format].media_type
    signed = signer.sign(sealed(file_format), media_type, FACTS)
    assert signed.count(b"compositeWithTrainedAlgorithmicMedia</") == 1
    forged = signed.replace(b"compositeWithTrainedAlgorithmicMedia</", b"compositeWithTrainedAlgorithmicMediA</")
    told = read_credential(forged, media_type)
    assert told is not None
    assert told.state == "invalid"
    assert any("ash.mismatch" in problem for problem in told.problems)


@pytest.mark.parametrize("file_format", ALL_FORMATS)
def test_a_file_nobody_signed_has_no_credential(file_format: Format) -> None:
    assert read_credential(sealed(file_format), FORMATS[file_format].media_type) is None
    assert read_credential(b"BM", "image/x-unheard-of") is None


def test_signing_twice_gives_other_bytes_that_say_the_same(signer: CredentialSigner) -> None:
    one, other = (signer.sign(sealed("jpeg"), "image/jpeg", FACTS) for _ in range(2))
    assert one != other
    assert read_credential(one, "image/jpeg") == read_credential(other, "image/jpeg")


def test_who_signs_has_a_name_that_follows_certificate_and_time_stamp_and_tells_no_key(
    signer: CredentialSigner, tmp_path: Path
) -> None:
    chain, key = signing_chain(tmp_path)
    other = open_signer(PublishSettings(c2pa_certificate=chain, c2pa_key=key))
    assert other is not None
    dated = dataclasses.replace(signer, timestamp_url="http://127.0.0.1:9/tsa")
    assert len({signer.fingerprint, other.fingerprint, dated.fingerprint}) == 3
    assert "PRIVATE KEY" not in repr(signer)


@pytest.mark.parametrize("file_format", ALL_FORMATS)
def test_a_time_service_dates_the_signature(file_format: Format, signer: CredentialSigner, tmp_path: Path) -> None:
    media_type = FORMATS[file_format].media_type
    with time_service(tmp_path) as service:
        dated = dataclasses.replace(signer, timestamp_url=service.url)
        signed = dated.sign(sealed(file_format), media_type, FACTS)
        assert [seen.method for seen in service.seen] == ["POST"], "one request a file"
    told = read_credential(signed, media_type)
    assert told is not None
    assert told.state == "valid"
    assert told.signed_at is not None
    assert abs(datetime.now(UTC) - datetime.fromisoformat(told.signed_at)) < timedelta(minutes=5)
    assert read_seal(signed) == expected_seal(FACTS)


def test_a_time_service_that_is_away_is_a_sentence(signer: CredentialSigner) -> None:
    dated = dataclasses.replace(signer, timestamp_url="http://127.0.0.1:9/tsa")
    with pytest.raises(PublishError, match="could not be signed with content credentials"):
        dated.sign(sealed("jpeg"), "image/jpeg", FACTS)


def test_without_a_certificate_nobody_signs() -> None:
    assert open_signer(PublishSettings(c2pa_certificate=None, c2pa_key=None)) is None


def test_a_key_of_another_certificate_is_found_before_anything_is_made(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    chain, _ = signing_chain(tmp_path)
    _, key = signing_chain(tmp_path / "other")
    with pytest.raises(ConfigurationError, match="ZIMAGE_PUBLISH_C2PA_CERTIFICATE"):
        open_signer(PublishSettings(c2pa_certificate=chain, c2pa_key=key))


def test_a_servers_certificate_is_not_one_to_sign_with(tmp_path: Path) -> None:
    chain, key = certificate(tmp_path)
    with pytest.raises(ConfigurationError, match="ZIMAGE_PUBLISH_C2PA_CERTIFICATE"):
        open_signer(PublishSettings(c2pa_certificate=chain, c2pa_key=key))


def test_a_file_that_is_not_there_is_named_with_its_setting(tmp_path: Path) -> None:
    settings = PublishSettings(c2pa_certificate=tmp_path / "none.pem", c2pa_key=tmp_path / "none.key")
    with pytest.raises(ConfigurationError, match=r"ZIMAGE_PUBLISH_C2PA_CERTIFICATE = .*none\.pem cannot be read"):
        open_signer(settings)


def test_without_the_package_the_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "c2pa", None)
    with pytest.raises(ConfigurationError, match=r"pip install zimage\[c2pa\]"):
        read_credential(sealed("jpeg"), "image/jpeg")
