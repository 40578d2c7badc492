"""The tables as the statements of this room see them. How they came to be is in migrations.py; a test compares the two.

Every history table is insert-only. `seq` is the order of insertion, the other unique key is content: inserting the
same row again is a no-op. `payload` is the whole noun as JSON (domain.to_plain); beside it are what queries need.
Times are ISO 8601 text in UTC with microseconds, so that text order is time order in both databases.

There are no foreign keys: rows are keyed by content and may arrive from several processes in any order.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Float, Integer, MetaData, Table, Text, UniqueConstraint

metadata = MetaData()

_SEQ = BigInteger().with_variant(Integer, "sqlite")


def _seq() -> Column[int]:
    return Column("seq", _SEQ, primary_key=True, autoincrement=True)


def _text(name: str, *, nullable: bool = False) -> Column[str]:
    return Column(name, Text, nullable=nullable)


migration = Table(
    "migration", metadata, Column("number", Integer, primary_key=True), _text("name"), _text("applied_at")
)

run = Table("run", metadata, _seq(), Column("run_id", Text, nullable=False, unique=True), _text("promotion"),
            _text("payload"), _text("opened_at"))  # fmt: skip

run_event = Table("run_event", metadata, _seq(), _text("run_id"), _text("kind"), _text("state", nullable=True),
                  _text("detail"), _text("at"))  # fmt: skip

refusal = Table(
    "refusal", metadata, _seq(), _text("run_id"), _text("refusal_id"), _text("stage"), _text("code"),
    _text("sku", nullable=True), _text("payload"), UniqueConstraint("run_id", "refusal_id"),
)  # fmt: skip

product = Table("product", metadata, Column("product_key", Text, primary_key=True), _text("sku"), _text("payload"))

shot = Table(
    "shot", metadata, Column("shot_id", Text, primary_key=True), _text("sku"), _text("scene"), _text("payload")
)

promise = Table(
    "promise", metadata, _seq(), _text("run_id"), _text("shot_id"), _text("product_key"),
    Column("record_no", BigInteger, nullable=False), _text("channels"), _text("shard_id"),
    Column("ordinal", BigInteger, nullable=False), UniqueConstraint("run_id", "shot_id"),
)  # fmt: skip

attempt = Table(
    "attempt", metadata, _seq(), Column("attempt_id", Text, nullable=False, unique=True), _text("shot_id"),
    Column("number", Integer, nullable=False), _text("run_id"), _text("engine"), _text("object_key", nullable=True),
    _text("error_code", nullable=True), Column("seconds", Float(53), nullable=False),
    Column("cost_usd", Float(53), nullable=False), _text("payload"), _text("at"),
)  # fmt: skip

engine_failure = Table(
    "engine_failure", metadata, _seq(), _text("attempt_id"), _text("shot_id"), _text("run_id"), _text("owner"),
    _text("code"), _text("sentence"), Column("seconds", Float(53), nullable=False),
    Column("cost_usd", Float(53), nullable=False), _text("payload"), _text("at"),
)  # fmt: skip

grade = Table(
    "grade", metadata, _seq(), Column("grade_id", Text, nullable=False, unique=True), _text("attempt_id"),
    _text("finished_key"), _text("rubric_hash"), Column("score", Float(53), nullable=False), _text("letter"),
    _text("reasons"), _text("at"),
)  # fmt: skip

finding = Table(
    "finding", metadata, Column("grade_id", Text, primary_key=True), Column("ordinal", Integer, primary_key=True),
    _text("check_name"), _text("state"), Column("passed", Boolean, nullable=False),
    Column("veto", Boolean, nullable=False), Column("score", Float(53), nullable=True), _text("payload"),
)  # fmt: skip

verdict = Table(
    "verdict", metadata, _seq(), Column("verdict_id", Text, nullable=False, unique=True), _text("run_id"),
    _text("shot_id"), _text("attempt_id"), _text("grade_id", nullable=True), _text("kind"), _text("payload"),
    _text("at"),
)  # fmt: skip

decision = Table(
    "decision", metadata, _seq(), Column("decision_id", Text, nullable=False, unique=True), _text("attempt_id"),
    _text("kind"), _text("who"), _text("payload"), _text("decided_at"),
)  # fmt: skip

rendition = Table(
    "rendition", metadata, _seq(), _text("run_id"), _text("rendition_id"), _text("shot_id"), _text("attempt_id"),
    _text("channel"), _text("payload"), UniqueConstraint("run_id", "rendition_id"),
)  # fmt: skip

release = Table("release", metadata, Column("release_id", Text, primary_key=True), _text("promotion"), _text("payload"))

release_event = Table(
    "release_event", metadata, _seq(), _text("run_id", nullable=True), _text("release_id"), _text("promotion"),
    _text("kind"), _text("at"),
)  # fmt: skip

signature = Table(
    "signature", metadata, _seq(), _text("attempt_id"), _text("version"), _text("picture"),
    _text("product", nullable=True), _text("at"), UniqueConstraint("attempt_id", "version"),
)  # fmt: skip

likeness = Table(
    "likeness", metadata, _seq(), _text("attempt_id"), _text("other_attempt_id"), _text("kind"), _text("payload"),
    _text("at"), UniqueConstraint("attempt_id", "other_attempt_id", "kind"),
)  # fmt: skip

outbox = Table(
    "outbox", metadata, _seq(), Column("event_id", Text, nullable=False, unique=True), _text("release_id"),
    _text("promotion"), _text("body"), _text("at"),
)  # fmt: skip

delivery = Table(
    "delivery", metadata, _seq(), _text("event_id"), _text("receiver"), Column("number", Integer, nullable=False),
    _text("outcome"), Column("status", Integer, nullable=True), _text("sentence"),
    Column("seconds", Float(53), nullable=False), _text("at"),
)  # fmt: skip

due_delivery = Table(
    "due_delivery", metadata, Column("event_id", Text, primary_key=True), Column("receiver", Text, primary_key=True),
    _text("owner"), Column("tries", Integer, nullable=False), Column("due_at_s", Float(53), nullable=False),
)  # fmt: skip

repricing = Table(
    "repricing", metadata, _seq(), _text("run_id"), _text("sku"), _text("payload"), _text("at"),
)  # fmt: skip

left_out = Table(
    "left_out", metadata, _seq(), _text("run_id"), _text("shot_id"), Column("is_out", Integer, nullable=False),
    _text("why"), _text("at"),
)  # fmt: skip

reservation = Table(
    "reservation", metadata, Column("reservation_id", Text, primary_key=True), _text("run_id"), _text("shard_id"),
    Column("epoch", BigInteger, nullable=False), Column("usd", Float(53), nullable=False),
)  # fmt: skip

lease = Table(
    "lease", metadata, Column("shard_id", Text, primary_key=True), _text("owner"),
    Column("epoch", BigInteger, nullable=False), Column("expires_at_s", Float(53), nullable=False),
)  # fmt: skip
