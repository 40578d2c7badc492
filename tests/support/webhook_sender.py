"""A process that sends what is due, to be killed while it does: LEDGER_URL RECEIVER_URL NOW."""

import sys
from datetime import datetime

from webhook_receiver import SECRET

from zimage_core.ledger import Ledger
from zimage_core.publishing.webhook_delivery import WebhookSender, deliver_due
from zimage_core.settings import load_publish_settings

if __name__ == "__main__":
    ledger_url, receiver_url, now = sys.argv[1:]
    settings = load_publish_settings(
        webhook_urls=(receiver_url,), webhook_secret=SECRET, webhook_private=True, webhook_timeout_s=30
    )
    standing = datetime.fromisoformat(now)
    with Ledger.open(ledger_url, clock=lambda: standing) as ledger, WebhookSender(settings) as sender:
        deliver_due(ledger.outbox, sender, wait_s=60, now=lambda: standing)
