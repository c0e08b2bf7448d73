// Text of DICOM files as people read it (PS3.3 §C.12.1.1.2), by the decoders that a browser has.

const LABELS = {
  "ISO_IR 100": "iso-8859-1",
  "ISO_IR 101": "iso-8859-2",
  "ISO_IR 109": "iso-8859-3",
  "ISO_IR 110": "iso-8859-4",
  "ISO_IR 144": "iso-8859-5",
  "ISO_IR 127": "iso-8859-6",
  "ISO_IR 126": "iso-8859-7",
  "ISO_IR 138": "iso-8859-8",
  "ISO_IR 148": "windows-1254",
  "ISO_IR 203": "iso-8859-15",
  "ISO_IR 13": "shift_jis",
  "ISO_IR 166": "windows-874",
  "ISO_IR 192": "utf-8",
  "ISO 2022 IR 87": "iso-2022-jp",
  "ISO 2022 IR 159": "iso-2022-jp",
  "ISO 2022 IR 149": "euc-kr",
  "ISO 2022 IR 58": "gb18030",
  GB18030: "gb18030",
  GBK: "gbk",
};
const SHIFT = /\x1b[()$][)(A-Z]*[A-Z]/g;

// Return what decodes the bytes of a value, for the value of Specific Character Set (0008,0005).
export function decoderFor(named = "") {
  const terms = named.split("\\").map((term) => term.trim());
  // Of several, the one that adds most: the first is part of it.
  const term = terms.at(-1);
  const label = LABELS[term] ?? LABELS[term.replace("ISO 2022 IR", "ISO_IR")] ?? "iso-8859-1";
  const decoder = new TextDecoder(label);
  // The Japanese decoder reads escape sequences itself, the others know none.
  if (label !== "iso-2022-jp") return (bytes) => decoder.decode(bytes).replace(SHIFT, "");
  const katakana = new TextDecoder("shift_jis");
  return (bytes) => runs(bytes).map((run) => (run[0] < 0x80 ? decoder : katakana).decode(run)).join("");
}

// The bytes, parted where they begin or cease to be half-width katakana (ISO IR 13).
function runs(bytes) {
  const found = [];
  let start = 0;
  for (let end = 1; end <= bytes.length; end += 1) {
    if (end < bytes.length && bytes[end] < 0x80 === bytes[start] < 0x80) continue;
    found.push(bytes.subarray(start, end));
    start = end;
  }
  return found;
}
