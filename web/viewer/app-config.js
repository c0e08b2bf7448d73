// OHIF for one exam: the data come from this service's DICOMweb façade, with the token of the page that opened it.
// The share page has one exam; the desk names one in the address.

const viewer = new URL("../", document.currentScript.src);
const dicomweb = new URL("../dicomweb", viewer).href;
const here = new URL(location.href);
const kept = (key) => JSON.parse(sessionStorage.getItem(key) ?? "null");
const isDesk = here.searchParams.has("StudyInstanceUIDs") && kept("desk.session") !== null;
const SESSION = isDesk ? "desk.session" : "share.session";
const SIGNED_OUT = "desk.signedOut";
const cameFrom = new URL(isDesk ? "../desk" : "../share", viewer);

// One of the desk is over when anybody has signed out of it in this browser since (web/desk/session.js).
function session() {
  const found = kept(SESSION);
  const lives = found && (found.endsAt === null || found.endsAt > Date.now());
  return lives && (!isDesk || found.after === (localStorage.getItem(SIGNED_OUT) ?? "")) ? found : null;
}

function leave() {
  sessionStorage.removeItem(SESSION);
  location.replace(cameFrom);
}

// OHIF asks here before each request (web/ohif.py); the token is in no address, so none is sent, kept or restored with it.
window.authorization = () => {
  const token = session()?.accessToken;
  return token ? { Authorization: `Bearer ${token}` } : {};
};

if (!session()) {
  leave();
} else if (!isDesk) {
  here.searchParams.set("StudyInstanceUIDs", session().studyUID);
  history.replaceState(history.state, "", here);
}
addEventListener("storage", ({ key }) => isDesk && key === SIGNED_OUT && leave());
// A page that comes back from the browser's own memory.
addEventListener("pageshow", ({ persisted }) => persisted && !session() && leave());

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
    // The access has ended: the page that opened it says what now.
    if (error.status === 401 || error.status === 403) location.replace(cameFrom);
  },
};
