"""Staged uploads: files of any size go straight to S3. How they get from there to the PACS: `dicom_service.ingest`.

====================  ================================================================================================
a client's view       `upload_service` opens, completes and reports uploads; `presigned_uploads` signs requests to S3
arrival               `staged_object`: which object came; `lost_events` finds those whose event never did
stored or rejected    `file_result`, and `stored_or_rejected`: report, quarantine, removal (`staging_bucket`), event
the end of an upload  `expiry`
state                 `table`
====================  ================================================================================================
"""
