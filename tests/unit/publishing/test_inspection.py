"""What a file carries is told by name and meaning; what it lacks is told too."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from flows.cli import app
from tests.support.certificates import signing_chain
from zimage_core.errors import ImageError
from zimage_core.imaging.encode import FORMATS, Format, encode
from zimage_core.publishing.credentials import open_signer
from zimage_core.publishing.inspection import inspect_file, lines_of
from zimage_core.publishing.seal import SealFacts, seal_packet
from zimage_core.settings import PublishSettings

RGB = np.full((48, 64, 3), 200, np.uint8)
FACTS = SealFacts("diffusers", "z-image-turbo@0f1e", "stage", "0123456789abcdef", "素白马克杯", "zh", "诺物")
PHOTO = Path(__file__).resolve().parents[3] / "examples" / "products" / "mug.jpg"


def written(folder: Path, file_format: Format, packet: bytes | None, name: str = "file") -> Path:
    path = folder / f"{name}.{FORMATS[file_format].extension}"
    path.write_bytes(encode(RGB, file_format, max_bytes=10**6, xmp=packet).data)
    return path


@pytest.mark.parametrize("file_format", ["jpeg", "png", "webp", "avif"])
def test_a_sealed_file_tells_its_labels_their_meaning_and_misses_no_more_than_a_signature(
    file_format: Format, tmp_path: Path
) -> None:
    told = inspect_file(written(tmp_path, file_format, seal_packet(FACTS)))
    assert (told.format, told.media_type) == (file_format, FORMATS[file_format].media_type)
    assert (told.width_px, told.height_px, told.transparent) == (64, 48, False)
    assert told.profile is not None
    assert told.profile.startswith("sRGB")
    labels = {label.name: label for label in told.labels}
    assert labels["Iptc4xmpExt:DigitalSourceType"].meaning == "a picture with parts made by generative AI"
    assert labels["Iptc4xmpExt:AISystemUsed"].value == "diffusers"
    assert {field.name: field.value for field in told.aigc}["ContentProducer"] == "诺物"
    assert told.aigc[0].meaning == "is it AI-made: it is"
    assert told.alt_texts == (("x-default", "素白马克杯"), ("zh-CN", "素白马克杯"))
    assert told.content_id == "0123456789abcdef"
    assert told.missing == ("A content credential (C2PA), which is optional.",)
    assert told.problems == ()


@pytest.mark.parametrize("file_format", ["jpeg", "png", "webp", "avif"])
def test_a_signed_file_tells_who_signed_and_a_changed_one_that_it_does_not_hold(
    file_format: Format, tmp_path: Path
) -> None:
    chain, key = signing_chain(tmp_path)
    signer = open_signer(PublishSettings(c2pa_certificate=chain, c2pa_key=key))
    assert signer is not None
    path = written(tmp_path, file_format, seal_packet(FACTS))
    path.write_bytes(signer.sign(path.read_bytes(), FORMATS[file_format].media_type, FACTS))
    told = inspect_file(path)
    assert told.credential is not None
    assert (told.credential.state, told.credential.signed_by) == ("valid", "Nuowu Test")
    assert told.missing == ()
    assert any("valid, its issuer is on no trust list here" in line for line in lines_of(told))
    path.write_bytes(path.read_bytes().replace(b"<xmpMM:DocumentID>0", b"<xmpMM:DocumentID>1"))
    if file_format == "png":  # its chunks carry a sum
        with pytest.raises(ImageError, match="not a readable"):
            inspect_file(path)
        return
    changed = inspect_file(path)
    assert changed.credential is not None
    assert changed.credential.state == "invalid"
    assert any("changed after it was signed" in problem for problem in changed.problems)


def test_a_plain_photo_lacks_everything_and_that_is_said(tmp_path: Path) -> None:
    path = tmp_path / "plain.png"
    Image.fromarray(RGB).save(path)
    told = inspect_file(path)
    assert told.profile is None
    assert told.labels == ()
    assert [sentence.split(":")[0].split(" (")[0] for sentence in told.missing] == [
        "A colour profile",
        "An XMP packet",
        "A content credential",
    ]


def test_generated_pixels_without_the_labels_of_china_and_iptc_are_found_out(tmp_path: Path) -> None:
    fields = seal_packet(dataclasses.replace(FACTS, engine="studio"))  # no AI fields in it
    packet = fields.replace(b"digitalsourcetype/composite<", b"digitalsourcetype/trainedAlgorithmicMedia<")
    missing = " ".join(inspect_file(written(tmp_path, "webp", packet)).missing)
    assert "TC260:AIGC, which China asks" in missing
    assert "IPTC AISystemUsed" in missing
    nameless = seal_packet(dataclasses.replace(FACTS, producer=""))
    assert "ContentProducer in TC260:AIGC." in inspect_file(written(tmp_path, "webp", nameless)).missing


def test_labels_as_attributes_and_labels_of_others_are_read_too(tmp_path: Path) -> None:
    packet = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description rdf:about="" xmlns:e="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
        b'xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:o="urn:other/" '
        b'e:DigitalSourceType="https://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture" '
        b'xmp:CreatorTool="Camera 5"><dc:creator><rdf:Seq><rdf:li>Li</rdf:li><rdf:li>Wang</rdf:li></rdf:Seq>'
        b"</dc:creator><o:thing>1</o:thing></rdf:Description></rdf:RDF></x:xmpmeta>"
    )
    labels = {
        label.name: (label.value, label.meaning) for label in inspect_file(written(tmp_path, "jpeg", packet)).labels
    }
    assert labels["Iptc4xmpExt:DigitalSourceType"][1] == "a photo by a digital camera"
    assert labels["xmp:CreatorTool"] == ("Camera 5", "the program that made it")
    assert labels["dc:creator"][0] == "Li; Wang"
    assert labels["{urn:other/}thing"] == ("1", "not a label we know")


@pytest.mark.parametrize(
    ("packet", "sentence"),
    [
        (b'<!DOCTYPE x [<!ENTITY a "aaaa">]><x>&a;</x>', "not safe, well-formed XML"),
        (seal_packet(FACTS).replace(b'{"Label"', b'{Label"'), "TC260 label is not JSON"),
    ],
)
def test_what_cannot_be_read_in_a_file_is_a_problem_and_no_crash(packet: bytes, sentence: str, tmp_path: Path) -> None:
    told = inspect_file(written(tmp_path, "jpeg", packet))
    assert any(sentence in problem for problem in told.problems)


def test_files_of_other_formats_are_read_too(tmp_path: Path) -> None:
    path = tmp_path / "scan.tiff"
    Image.fromarray(RGB).save(path)
    assert inspect_file(path).format == "tiff"
    assert inspect_file(PHOTO).format == "jpeg"


def test_what_is_no_picture_is_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "note.jpg"
    path.write_text("not a picture")
    with pytest.raises(ImageError, match=r"note\.jpg is not a readable"):
        inspect_file(path)


def test_the_command_prints_all_files_and_fails_for_the_unreadable_one(tmp_path: Path) -> None:
    good = written(tmp_path, "jpeg", seal_packet(FACTS))
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"\x89PNG\r\n\x1a\n")
    runner = CliRunner()
    fine = runner.invoke(app, ["inspect", str(good)])
    assert fine.exit_code == 0
    assert "ContentProducer = 诺物  [who answers for its making]" in fine.output
    both = runner.invoke(app, ["inspect", "--json", str(bad), str(good)])
    assert both.exit_code == 1
    answers = json.loads(both.stdout)
    assert "error" in answers[0]
    assert answers[1]["content_id"] == FACTS.content_id
