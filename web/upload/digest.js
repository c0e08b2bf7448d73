// SHA-256 of files, and of what tells one file from another.

const HEAD = 64 * 1024;

const hex = (buffer) => Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, "0")).join("");

async function digestOf(bytes) {
  return hex(await crypto.subtle.digest("SHA-256", bytes));
}

// The browser hashes what is in memory: files that go to S3 in one piece, 64 MiB at most.
export async function sha256(blob) {
  return digestOf(await blob.arrayBuffer());
}

// Of path, size, date and the first 64 KiB: by this a file is known again, and nobody reads a name from it.
export async function fingerprint(file, path) {
  const said = new TextEncoder().encode(`${path}\0${file.size}\0${file.lastModified}\0`);
  const head = new Uint8Array(await file.slice(0, HEAD).arrayBuffer());
  const both = new Uint8Array(said.length + head.length);
  both.set(said);
  both.set(head, said.length);
  return digestOf(both);
}
