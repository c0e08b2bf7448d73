"""Exams: stored in the PACS, listed, fetched and shown. What uploads and viewers need of that, too, is here.

====================  ================================================================================================
storing               `store_files` stores those of ``POST /exams`` (`request_files`); `outbound_instance` is a file
                      as it is sent, `admission` decides whether it conflicts with another (`claims`, `pacs_lookup`),
                      `failure_reasons` are why one is not stored and whether it is tried again
what arrived          `registry`; `completeness_checks`: whether the PACS has all of it is to be asked
lists                 `listing` reads the request, `search` asks the PACS, `missing_counts` completes its answer,
                      `links` names where to go on; `simple` is the format for who knows no tags
files                 `retrieve`, `background_fetch` where that takes too long, `instance_cache`, `download_permission`;
                      `report`: documents as HTML
pictures              `thumbnails` of the `representative` instance, `thumbnail_cache`, `thumbnail_response`
whatever the PACS     `instance_reader`: header and frames by its services, or from the file; `capabilities`: which
                      services it lacks
whose exam            `patient_scope`
====================  ================================================================================================
"""
