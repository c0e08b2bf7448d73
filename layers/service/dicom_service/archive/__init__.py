"""An exam as one ZIP to take home: DICOM files, DICOMDIR, and a page that shows pictures and reports without a server.

====================  ================================================================================================
a caller's view       `archive_requests`: asked for, how far it is, where it lies
one build             `build` does it step by step; `instances` fetches the files, `checkpoint` is what it goes on from
what is in the ZIP    `dicomdir` (PS3.10 file-set), `sr_html` and `page` (``index.html``), `contents` puts them together
how it is written     `zip_stream`: a ZIP as a stream, in parts of a multipart upload
state                 `table`
====================  ================================================================================================
"""
