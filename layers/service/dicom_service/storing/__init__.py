"""What every file passes on its way to the PACS, whether of a request, staged or in a ZIP.

`outbound_instance` is a file as it is sent. `admission` decides whether it conflicts with what the PACS has
(`pacs_lookup`) or with what is on its way (`claims`). `failure_reasons` are why one is not stored, and whether it is
tried again. `store_files` stores those of ``POST /exams``, which `request_files` takes out of the request;
`dicom_service.ingest` stores those that are staged.
"""
