"""Settings of the ingest."""

from dataclasses import dataclass

from dicom_service.element_walk import MAX_DEPTH
from dicom_service.settings import MIB, setting


@dataclass(frozen=True)
class IngestSettings:
    """How staged objects are brought to the PACS."""

    # Connections of one invocation; times the queues' MaximumConcurrency this is what the PACS sees at most.
    connections: int = setting("INGEST_CONNECTIONS", cast=int, default=4)
    batch_parts: int = setting("INGEST_BATCH_PARTS", cast=int, default=20)
    batch_bytes: int = setting("INGEST_BATCH_BYTES", cast=int, default=32 * MIB)
    max_inflated: int = setting("INGEST_MAX_INFLATED_BYTES", cast=int, default=256 * MIB)
    zip_entries: int = setting("INGEST_ZIP_ENTRIES", cast=int, default=20_000)
    zip_bytes: int = setting("INGEST_ZIP_BYTES", cast=int, default=20 * 1024 * MIB)
    zip_ratio: int = setting("INGEST_ZIP_RATIO", cast=int, default=200)
    max_depth: int = setting("MAX_SEQUENCE_DEPTH", cast=int, default=MAX_DEPTH)
    # Disk for ZIPs in ZIPs and for large files of ZIPs, below the function's EphemeralStorage.
    spool_bytes: int = setting("INGEST_SPOOL_BYTES", cast=int, default=9 * 1024 * MIB)


@dataclass(frozen=True)
class ZipQueueSettings:
    """The queue of staged objects that are ZIPs."""

    url: str = setting("ZIP_QUEUE_URL")
