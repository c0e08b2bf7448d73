"""The DICOMweb services for viewers (PS3.18): a read-only origin server in front of the PACS.

===============  ========================================================================================
module           holds
===============  ========================================================================================
`accept`         what a caller accepts: media types, their parameters and weights
`search`         QIDO-RS: parameters, rows, links
`study_state`    which studies there are and whose: asked of the PACS, remembered for seconds
`metadata`       WADO-RS metadata, of the PACS or of the files
`frames`         WADO-RS frames as they are stored
`answers`        bodies that fit into an answer, and those that do not
===============  ========================================================================================

The credential is the filter: an exam access token sees its study, and nothing else exists.
"""
