// What a selection holds, before anything of it is sent: read in workers, gathered here.

import { Pool } from "./pool.js";
import { rest } from "./rest.js";

// Files for which a worker is asked at once: for each, the page's own thread waits for the browser while the message is written.
const A_MESSAGE = 4;
const TELL_EVERY = 16;
const LARGEST_FILE = 5 * 1024 ** 3;

// `files` is [{ file, path }] (files.js) or a list of File. `onProgress({ done, of })` is called now and then.
export async function inspect(files, { onProgress, signal } = {}) {
  const named = Array.from(files, (entry) => (entry.file ? entry : { file: entry, path: entry.webkitRelativePath || entry.name }));
  // Listing them was a long task of the browser's, and starting the workers is another.
  await rest();
  await known(named);
  signal?.throwIfAborted();
  const pool = new Pool();
  signal?.addEventListener("abort", () => pool.close());
  const plan = new Plan();
  let done = 0;
  let told = 0;
  try {
    const chunks = [];
    for (let start = 0; start < named.length; start += A_MESSAGE) chunks.push(named.slice(start, start + A_MESSAGE));
    await Promise.all(
      chunks.map(async (chunk) => {
        const found = await pool.run("inspect", chunk);
        signal?.throwIfAborted();
        chunk.forEach((entry, n) => plan.add(entry, found[n]));
        done += chunk.length;
        if (done < told + TELL_EVERY && done < named.length) return;
        told = done;
        onProgress?.({ done, of: named.length });
      }),
    );
  } finally {
    pool.close();
  }
  // The last answers of the workers end one task, and the view of what was found begins the next.
  await rest();
  signal?.throwIfAborted();
  return plan.finish();
}

// The browser takes a moment to know a thousand files, and a message with a file keeps the page's own thread until it does.
// To begin to read the last one waits for as long and keeps nobody.
async function known(named) {
  const reader = named.at(-1)?.file.stream().getReader();
  await reader?.read().catch(() => {});
  await reader?.cancel().catch(() => {});
}

class Plan {
  constructor() {
    this.files = [];
    this.skipped = [];
    this.studies = new Map();
    this.patients = new Map();
    this.seen = new Set();
    this.repeated = 0;
    this.unnamed = 0;
  }

  add({ file, path }, found) {
    const { kind, key, size, study, instance } = found;
    const reason = found.skipped ?? (size > LARGEST_FILE ? "TOO_LARGE" : null);
    if (reason) {
      this.skipped.push({ path, size: size ?? 0, reason });
      return;
    }
    this.files.push({ file, path, size, kind, key, study, instance });
    if (kind !== "dicom") return;
    if (!study) this.unnamed += 1;
    else this.count(found, size);
  }

  count({ patient, study, series, instance, modality, date, description }, size) {
    if (this.seen.has(instance)) this.repeated += 1;
    this.seen.add(instance);
    const whose = `${patient.id}\0${patient.issuer}\0${patient.id ? "" : patient.name}`;
    if (!this.patients.has(whose)) this.patients.set(whose, { ...patient, studies: [], names: new Set() });
    this.patients.get(whose).names.add(patient.name);
    const place = `${whose}\0${study}`;
    if (!this.studies.has(place)) {
      const made = { studyInstanceUID: study, date, description, modalities: new Set(), series: new Set(), images: 0, bytes: 0 };
      this.studies.set(place, made);
      this.patients.get(whose).studies.push(made);
    }
    const into = this.studies.get(place);
    into.images += 1;
    into.bytes += size;
    into.series.add(series);
    if (modality) into.modalities.add(modality);
    into.description ||= description;
    into.date ||= date;
  }

  finish() {
    const byPath = (a, b) => (a.path < b.path ? -1 : 1);
    const patients = [...this.patients.values()].map(({ names, ...patient }) => ({
      ...patient,
      studies: patient.studies
        .map((study) => ({ ...study, series: study.series.size, modalities: [...study.modalities].sort() }))
        .sort((a, b) => (a.date < b.date ? 1 : -1)),
    }));
    return {
      patients: patients.sort((a, b) => (a.name < b.name ? -1 : 1)),
      files: this.files.sort(byPath),
      skipped: this.skipped.sort(byPath),
      images: this.files.filter(({ kind }) => kind === "dicom").length,
      zips: this.files.filter(({ kind }) => kind === "zip").length,
      bytes: this.files.reduce((sum, { size }) => sum + size, 0),
      warnings: [...this.warnings()],
    };
  }

  *warnings() {
    const owners = new Map();
    for (const place of this.studies.keys()) {
      const uid = place.slice(place.lastIndexOf("\0") + 1);
      owners.set(uid, (owners.get(uid) ?? 0) + 1);
    }
    if (this.patients.size > 1) yield { code: "SEVERAL_PATIENTS", count: this.patients.size };
    const shared = [...owners.values()].filter((count) => count > 1).length;
    if (shared) yield { code: "STUDY_OF_SEVERAL_PATIENTS", count: shared };
    const renamed = [...this.patients.values()].filter(({ names }) => names.size > 1).length;
    if (renamed) yield { code: "NAMES_DIFFER", count: renamed };
    if (this.repeated) yield { code: "REPEATED_INSTANCES", count: this.repeated };
    if (this.unnamed) yield { code: "UNREADABLE_HEADERS", count: this.unnamed };
    const zips = this.files.filter(({ kind }) => kind === "zip").length;
    if (zips) yield { code: "ZIPS_NOT_INSPECTED", count: zips };
  }
}
