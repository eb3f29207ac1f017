"""checkout-worker: takes orders from the queue table, writes a receipt line, marks them done.

Taking and marking is one statement, so an order is either still queued or processed. The receipts
are the "legacy file module" of the seed story: `FILES` names the folder that a volume backs.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from sampleservice.database import Database, Row, UnavailableError
from sampleservice.metrics import PROCESSED

log = logging.getLogger(__name__)

_IDLE_SECONDS = 0.5
_FAILED_SECONDS = 1.0

_TAKE = """
WITH next AS (
    SELECT id FROM order_queue ORDER BY id FOR UPDATE SKIP LOCKED LIMIT 20
), taken AS (
    DELETE FROM order_queue USING next WHERE order_queue.id = next.id RETURNING order_id
)
UPDATE orders SET status = 'processed' FROM taken WHERE orders.id = taken.order_id
RETURNING orders.id, orders.product_id
"""


async def run(database: Database, files: str | None, stopping: asyncio.Event) -> None:
    """Consume until `stopping` is set; a batch that was taken is always finished."""
    while not stopping.is_set():
        try:
            rows = await database.query(_TAKE, {})
        except UnavailableError as error:
            log.warning("cannot take orders: %s", error)
            await _pause(stopping, _FAILED_SECONDS)
            continue
        if rows:
            PROCESSED.inc(len(rows))
            if files is not None:
                await asyncio.to_thread(_write_receipts, Path(files), rows)
        else:
            await _pause(stopping, _IDLE_SECONDS)


def _write_receipts(folder: Path, rows: list[Row]) -> None:
    with (folder / "receipts.csv").open("a") as receipts:
        receipts.writelines(f"{row['id']},{row['product_id']}\n" for row in rows)


async def _pause(stopping: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stopping.wait(), seconds)
    except TimeoutError:
        return
