// In a worker: reads what a file is, and its SHA-256.

import { readHeader } from "./header.js";
import { fingerprint, sha256 } from "./digest.js";

const tasks = {
  // What each of some files is; a file that cannot be read is skipped, whatever the cause.
  inspect: (files) => Promise.all(files.map(inspected)),
  // The digest of a file, if it is still the one that was inspected; null for one that is not.
  digest: async ({ file, path, key, whole }) => {
    try {
      if ((await fingerprint(file, path)) !== key) return null;
      return { sha256: whole ? await sha256(file) : null };
    } catch {
      return null;
    }
  },
};

async function inspected({ file, path }) {
  try {
    const { size } = file;
    return { ...(await readHeader(file)), size, key: await fingerprint(file, path) };
  } catch {
    return { skipped: "UNREADABLE" };
  }
}

self.onmessage = async ({ data: { task, argument } }) => self.postMessage(await tasks[task](argument));
