// SHA-256 of files, and of what tells one file from another.

const HEAD = 64 * 1024;
const MOST_SPARE = 8 * 1024 ** 2;
// Memory of this worker into which one file after another is read: what is left to the collector instead gathers to a hundred
// megabytes before it looks.
let spare = null;

const hex = (buffer) => Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, "0")).join("");

// The browser hashes what is in memory: files that go to S3 in one piece, 64 MiB at most.
export const sha256 = (blob) => digestOf("", blob);

// Of path, size, date and the first 64 KiB: by this a file is known again, and nobody reads a name from it.
export const fingerprint = (file, path) => digestOf(`${path}\0${file.size}\0${file.lastModified}\0`, file.slice(0, HEAD));

async function digestOf(text, blob) {
  const bytes = await read(new TextEncoder().encode(text), blob);
  const digest = await crypto.subtle.digest("SHA-256", bytes);
  if (bytes.buffer.byteLength <= MOST_SPARE) spare = bytes.buffer;
  return hex(digest);
}

// The bytes, and those of the blob behind them.
async function read(bytes, blob) {
  const size = bytes.length + blob.size;
  let buffer = spare?.byteLength >= size ? spare : new ArrayBuffer(size);
  spare = null;
  const all = new Uint8Array(buffer, 0, size);
  all.set(bytes);
  const reader = intoMemory(blob);
  if (!reader) {
    all.set(new Uint8Array(await blob.arrayBuffer()), bytes.length);
    return all;
  }
  for (let at = bytes.length; at < size; ) {
    const { value, done } = await reader.read(new Uint8Array(buffer, at, size - at));
    if (done) throw new Error("The file is shorter than it was.");
    buffer = value.buffer;
    at += value.byteLength;
  }
  await reader.cancel();
  return new Uint8Array(buffer, 0, size);
}

// Null in a browser that reads into memory of its own alone.
function intoMemory(blob) {
  try {
    return blob.stream().getReader({ mode: "byob" });
  } catch {
    return null;
  }
}
