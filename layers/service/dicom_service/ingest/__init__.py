"""The ingest: staged objects, of an upload or dropped, are brought to the PACS.

====================  ================================================================================================
the queue             `batch` processes a batch of messages, `jobs` one object each; `ingest_queue` delays them
reading               `s3source` reads an object by the requests of `ranges`
ZIPs                  handed over to a queue of their own by `batch`; `zip_ingest` stores one in stretches, `zip_reader`
                      finds its entries, `unpack` unpacks them
to the PACS           `sender`; what is sent is a `dicom_service.storing.outbound_instance`, why it is rejected one of
                      `dicom_service.storing.failure_reasons`
stored or rejected    `result_recorder` hands what became of files to `dicom_service.uploads.stored_or_rejected`
====================  ================================================================================================
"""
