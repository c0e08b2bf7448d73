"""Exams: what arrived of them, listed and fetched. Uploads, thumbnails and viewers use parts of it.

====================  ================================================================================================
what arrived          `registry`; `completeness_checks`: whether the PACS has all of it is to be asked
lists                 `listing` reads the request, `search` asks the PACS, `missing_counts` completes its answer,
                      `links` names where to go on; `simple` is the format for who knows no tags
files                 `retrieve`, `background_fetch` where that takes too long, `instance_cache`, `download_permission`;
                      `report`: documents as HTML
whatever the PACS     `instance_reader`: header and frames by its services, or from the file; `capabilities`: which
                      services it lacks
whose exam            `patient_scope`
====================  ================================================================================================
"""
