// In a worker: what a file is, from its first bytes (PS3.10 §7.1).

import dicomParser from "./dicom-parser.js";
import { decoderFor } from "./charset.js";

const KIB = 1024;
// How much is read of a file: more only where what is wanted lies behind large values.
const STEPS = [64 * KIB, 1024 * KIB, 16 * 1024 * KIB];
const INFLATED = 256 * KIB;
const PIXEL_DATA = "x7fe00010";
const MEDIA_STORAGE_DIRECTORY = "1.2.840.10008.1.3.10";
const DEFLATED = "1.2.840.10008.1.2.1.99";

const isAt = (bytes, place, text) => [...text].every((letter, n) => bytes[place + n] === letter.charCodeAt(0));

// Return { kind: "dicom", ... }, { kind: "zip" } or { skipped: reason }.
export async function readHeader(file) {
  if (!file.size) return { skipped: "EMPTY" };
  const start = await bytesOf(file, 0, 132);
  if (isAt(start, 0, "PK\x03\x04") && /\.zip$/i.test(file.name)) return { kind: "zip" };
  if (!isAt(start, 128, "DICM")) return { skipped: "NOT_DICOM" };
  for (const length of STEPS) {
    const found = described(await parse(file, length));
    if (found?.sopClass === MEDIA_STORAGE_DIRECTORY) return { skipped: "DICOMDIR" };
    if (found?.study) return found;
    if (length >= file.size) break;
  }
  // It calls itself DICOM: the service says what is wrong with it.
  return { kind: "dicom" };
}

async function bytesOf(file, start, end) {
  return new Uint8Array(await file.slice(start, end).arrayBuffer());
}

async function parse(file, length) {
  const bytes = await bytesOf(file, 0, length);
  try {
    const meta = dicomParser.readPart10Header(bytes);
    const options = { untilTag: PIXEL_DATA };
    if (meta.string("x00020010") === DEFLATED) {
      const rest = await inflated(file.slice(meta.position, meta.position + length));
      options.inflater = (whole, position) => joined(whole.subarray(0, position), rest);
    }
    return dicomParser.parseDicom(bytes, options);
  } catch (error) {
    // What was read before the bytes ended.
    return error?.dataSet;
  }
}

async function inflated(blob) {
  const reader = blob.stream().pipeThrough(new DecompressionStream("deflate-raw")).getReader();
  let found = new Uint8Array();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      found = joined(found, value);
      if (found.length >= INFLATED) break;
    }
    await reader.cancel();
  } catch {
    // The slice ends within it.
  }
  return found;
}

function joined(first, second) {
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}

function described(dataSet) {
  if (!dataSet) return null;
  const decode = decoderFor(dataSet.string("x00080005"));
  const text = (tag) => {
    const element = dataSet.elements[tag];
    if (!element?.length) return "";
    const { dataOffset, length } = element;
    return decode(dataSet.byteArray.subarray(dataOffset, dataOffset + length)).replace(/[\0 ]+$/, "");
  };
  const plain = (tag) => dataSet.string(tag) ?? "";
  return {
    kind: "dicom",
    sopClass: plain("x00080016") || plain("x00020002"),
    instance: plain("x00080018"),
    series: plain("x0020000e"),
    study: plain("x0020000d"),
    modality: plain("x00080060"),
    date: plain("x00080020"),
    description: text("x00081030"),
    patient: {
      id: text("x00100020"),
      issuer: text("x00100021"),
      name: text("x00100010"),
      birthDate: plain("x00100030"),
    },
  };
}
