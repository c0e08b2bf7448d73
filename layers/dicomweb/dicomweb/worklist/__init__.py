"""Worklists at a PACS: UPS-RS, dcm4chee's MWL REST and Orthanc's worklists plugin behind one interface."""
