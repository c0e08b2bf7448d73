// OHIF for one shared exam: the data come from this service's DICOMweb façade, with the token of the share page.

const viewer = new URL("../", document.currentScript.src);
const dicomweb = new URL("../dicomweb", viewer).href;
const session = JSON.parse(sessionStorage.getItem("share.session") ?? "null");

// OHIF takes its token from the address and removes it there; put in here, no request ever carries it.
if (session && session.endsAt > Date.now()) {
  const here = new URL(location.href);
  here.searchParams.set("token", session.accessToken);
  here.searchParams.set("StudyInstanceUIDs", session.studyUID);
  history.replaceState(history.state, "", here);
} else {
  location.replace(new URL("../share", viewer));
}

window.config = {
  name: "dicom-service",
  routerBasename: viewer.pathname.replace(/\/$/, ""),
  extensions: [],
  modes: [],
  customizationService: [{ "ohif.tours": { $set: [] } }],
  showStudyList: false,
  showWarningMessageForCrossOrigin: false,
  showCPUFallbackMessage: false,
  showLoadingIndicator: true,
  strictZSpacingForVolumeViewport: true,
  groupEnabledModesFirst: true,
  allowMultiSelectExport: false,
  investigationalUseDialog: { option: "never" },
  maxNumberOfWebWorkers: 3,
  maxNumRequests: { interaction: 20, thumbnail: 5, prefetch: 10 },
  showErrorDetails: "dev",
  defaultDataSourceName: "exam",
  dataSources: [
    {
      namespace: "@ohif/extension-default.dataSourcesModule.dicomweb",
      sourceName: "exam",
      configuration: {
        friendlyName: "Exam",
        name: "exam",
        qidoRoot: dicomweb,
        wadoRoot: dicomweb,
        qidoSupportsIncludeField: true,
        imageRendering: "wadors",
        thumbnailRendering: "wadors",
        enableStudyLazyLoad: true,
        supportsFuzzyMatching: false,
        supportsWildcard: false,
        singlepart: "bulkdata,video,pdf",
        bulkDataURI: { enabled: true },
        omitQuotationForMultipartRequest: true,
      },
    },
  ],
  httpErrorHandler: (error) => {
    // The access has ended: the share page says what now.
    if (error.status === 401 || error.status === 403) location.replace(new URL("../share", viewer));
  },
};
