"""A scorer of another package, named by the rubric, is asked of every picture with the words it was made from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import yaml
from workshop import MUG, Workshop

import zimage_core.quality.rubric
from zimage_core.ledger import Ledger

ECHO = '''
import json
from pathlib import Path

from zimage_core.quality.scorers import Opinion


class Echo:
    """Writes down what it is asked, and finds every picture as good as its name is long."""

    def __init__(self, journal):
        self.journal = Path(journal)

    def score(self, rgb, words):
        with self.journal.open("a") as journal:
            journal.write(json.dumps({"size": rgb.shape[:2], "words": words}) + "\\n")
        return Opinion(0.9, "of 1", "It is liked.")


def create(options):
    return Echo(options["journal"])
'''


def test_a_scorer_of_another_package_is_asked_with_the_words_of_the_picture(
    new_workshop: Callable[[str], Workshop], tmp_path: Path
) -> None:
    package, journal = tmp_path / "package", tmp_path / "asked.jsonl"
    info = package / "zimage_echo-1.0.dist-info"
    info.mkdir(parents=True)
    (package / "zimage_echo.py").write_text(ECHO)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: zimage-echo\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[zimage.scorers]\necho = zimage_echo:create\n")
    shipped = Path(zimage_core.quality.rubric.__file__).with_name("rubric.yaml")
    rubric = yaml.safe_load(shipped.read_text("utf-8"))
    rubric["scorers"] = {
        "echo": {
            "group": "opinion",
            "weight": 0.5,
            "curve": {"kind": "ramp", "points": [[0.2, 0.0], [0.5, 0.6], [0.8, 1.0]]},
            "source": "this test",
            "verified_on": "2026-11-21",
            "options": {"journal": str(journal)},
        }
    }
    shop = new_workshop("scored")
    (shop.folder / "rubric.yaml").write_text(yaml.safe_dump(rubric, allow_unicode=True), "utf-8")
    shop.environment |= {
        "ZIMAGE_RUBRIC": "rubric.yaml",
        "PYTHONPATH": f"{shop.environment['PYTHONPATH']}:{package}",
    }
    shop.write(MUG)
    made = shop.run("run", "catalogue.csv", "--promotion", "618", "--scene", "studio", "--channel", "taobao_main")
    assert "1 accepted" in made.stdout
    (asked,) = [json.loads(line) for line in journal.read_text().splitlines()]
    assert min(asked["size"]) >= 800
    ledger = Ledger.open(f"sqlite:///{shop.folder / 'work' / 'ledger.sqlite'}")
    (promise,) = ledger.promises(shop.run("status").stdout.split()[0])
    ledger.close()
    assert asked["words"] == promise.shot.prompt.text
