"""Staged uploads and the drop prefix: files of any size go straight to S3, and from there to the PACS.

====================  ================================================================================================
a client's view       `upload_service` opens, completes and reports uploads; `presigned_uploads` signs requests to S3
arrival               `s3_events` and `ingest_queue`: events of S3, as queue messages
ingest                `ingest` processes a batch of them, `jobs` one object each; `s3source` and `ranges` read it
one DICOM file        `instance`: header checked, preamble zeroed, deflated dataset inflated
ZIPs                  handed over to a queue of their own by `ingest`; `zip_ingest` stores one in stretches,
                      `zip_reader` finds its entries, `unpack` unpacks them
to the PACS           `sender`; why the PACS or we reject a file is one of `reasons`
stored or rejected    `file_result`, `recorder`, and `outcome`: report, quarantine, removal (`staging_bucket`), event
the end of an upload  `expiry`
state                 `table`
====================  ================================================================================================
"""
