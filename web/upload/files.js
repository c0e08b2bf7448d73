// The files of a selection or a drop, each with its path: [{ file, path }].

export function filesOf(list) {
  return Array.from(list, (file) => ({ file, path: file.webkitRelativePath || file.name }));
}

// Of `event.dataTransfer.items`, folders with all that is in them. To be called before the event is over: what was
// dropped can be read only until then.
export async function filesDropped(items) {
  const entries = Array.from(items, (item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const found = [];
  await Promise.all(entries.map((entry) => collect(entry, found)));
  return found.sort((a, b) => (a.path < b.path ? -1 : 1));
}

async function collect(entry, found) {
  const path = entry.fullPath.replace(/^\//, "");
  if (entry.isFile) {
    found.push({ path, file: await new Promise((done, failed) => entry.file(done, failed)) });
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    // A call gives a hundred at most.
    const some = await new Promise((done, failed) => reader.readEntries(done, failed));
    if (!some.length) return;
    for (const child of some) await collect(child, found);
  }
}
