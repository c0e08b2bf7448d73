// Runs before OHIF: where the files lie, whatever the stage, the domain or the proxy in front.
window.PUBLIC_URL = new URL(".", document.currentScript.src).pathname;
window.browserImportFunction = (name) => import(name);
