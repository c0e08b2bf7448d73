"""Who saw what: one record for every access, written before its answer leaves (docs/audit.md).

=============================================  ========================================================================
module                                         holds
=============================================  ========================================================================
`dicom_service.audit.actions`                  what each route is to the audit, coded as in DICOM (PS3.15 A.5)
`dicom_service.audit.notes`                    what a request turned out to be about: studies, patients, the viewer
`dicom_service.audit.record`                   one record, and the key under which repeated reads are gathered
`dicom_service.audit.store`                    the table: append, count, find
`dicom_service.audit.listing`                  what callers may read of it
`dicom_service.audit.view`                     a record as callers and events show it
`dicom_service.audit.fhir`                      records as FHIR AuditEvents
`dicom_service.audit.access_events`             new records on the bus, where the operator wants them there
`dicom_service.audit.export`                   the daily export
`dicom_service.audit.arrivals`                 instances that staged files bring: registered and recorded together
`dicom_service.audit.chain`                    exported days, chained by hash, and their check
`dicom_service.audit.recorder`                 makes the records of a request, called by `dicom_service.edge.serve`
=============================================  ========================================================================
"""
