"""The DICOMweb services for viewers (PS3.18): a read-only origin server in front of the PACS.

===============  ========================================================================================
module           holds
===============  ========================================================================================
`accept`         what a caller accepts: media types, their parameters and weights
`search_request` QIDO-RS: parameters
`search`         rows and their links (`links`)
`study_state`    which studies there are and whose: asked of the PACS, remembered for seconds
`metadata`       WADO-RS metadata, of the PACS (`linked_json`) or of the files
`frames`         WADO-RS frames as they are stored (`transfer_syntaxes`); `frame_source` fetches them
`bulk_data`      values that metadata leave out
`instances`      files as they are stored; `rendering`: pictures of them
`shared_cache`   one request to the PACS for many callers
`answers`        bodies that fit into an answer, and those that do not
===============  ========================================================================================

The credential is the filter: an exam access token sees its study, and nothing else exists.
"""
