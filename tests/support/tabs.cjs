// Tabs of one browser, as far as the pages' sessions go: each has a sessionStorage, all have one localStorage and hear of
// its changes. A script on standard input uses `desk`, `viewer` and `issuer`; what it returns goes to standard output as JSON.
"use strict";
const { readFileSync } = require("node:fs");
const { join } = require("node:path");
const vm = require("node:vm");

const WEB = join(__dirname, "..", "..", "web");
const tabs = [];

function storage(kept, changed = () => {}) {
  return {
    getItem: (key) => kept.get(key) ?? null,
    removeItem: (key) => kept.delete(key),
    setItem(key, value) {
      kept.set(key, String(value));
      changed(key);
    },
    copy: () => Object.fromEntries(kept),
  };
}

const shared = new Map();
function tab(address, copied, globals) {
  const heard = { storage: [], pageshow: [] };
  const self = { heard, left: [], addresses: [], sessionStorage: storage(new Map(Object.entries(copied ?? {}))) };
  // Others hear of a change, and not the tab that makes it.
  const tell = (key) => tabs.filter((other) => other !== self).forEach(({ heard }) => heard.storage.forEach((listener) => listener({ key })));
  const localStorage = storage(shared, tell);
  const window = {
    URL,
    sessionStorage: self.sessionStorage,
    localStorage,
    location: { href: address, replace: (url) => self.left.push(String(url)) },
    history: { state: null, replaceState: (state, title, url) => self.addresses.push(String(url)) },
    addEventListener: (type, listener) => heard[type].push(listener),
    ...globals,
  };
  self.window = window.window = vm.createContext(window);
  tabs.push(self);
  return self;
}

const textOf = (...path) => readFileSync(join(WEB, ...path), "utf8");

// What a module of the desk exports, run in a tab; what it imports are globals there.
function exported(name, window) {
  const text = textOf("desk", name);
  const names = [...text.matchAll(/^export (?:async )?(?:function|const) (\w+)/gm)].map((found) => found[1]);
  const body = text.replaceAll(/^import .*$/gm, "").replaceAll(/^export /gm, "");
  return vm.runInContext(`(() => { ${body}\nreturn { ${names} }; })()`, window);
}

// web/desk/session.js
function desk(copied) {
  const self = tab("http://here/v1/desk", copied, {});
  self.sessions = exported("session.js", self.window);
  return self;
}

// web/desk/oidc.js, with an issuer that ends sessions at /end
function issuer(settings) {
  const found = { issuer: settings["oidc-issuer"], end_session_endpoint: `${settings["oidc-issuer"]}/end` };
  const fetch = async () => ({ ok: true, json: async () => found });
  const globals = { base: "http://here/v1/", meta: (name) => settings[name], fetch };
  return exported("oidc.js", tab("http://here/v1/desk", {}, globals).window);
}

// web/viewer/app-config.js
function viewer(copied, query = "?StudyInstanceUIDs=1.2.3") {
  const document = { currentScript: { src: "http://here/v1/viewer/abc/app-config.js" } };
  const self = tab(`http://here/v1/viewer/viewer${query}`, copied, { document });
  vm.runInContext(textOf("viewer", "app-config.js"), self.window);
  self.header = () => self.window.authorization().Authorization ?? null;
  return self;
}

const script = new Function("desk", "viewer", "issuer", readFileSync(0, "utf8"));
Promise.resolve(script(desk, viewer, issuer)).then((said) => console.log(JSON.stringify(said)));
