// A QR code as a picture of the page, made of one path: nothing is asked elsewhere.

import encodeQR from "./qr-encoder.js";

const SVG = "http://www.w3.org/2000/svg";
const QUIET = 4;

export function qrCode(text, label) {
  const rows = encodeQR(text, "raw", { ecc: "medium", border: QUIET });
  const dark = rows.flatMap((row, y) => row.flatMap((isDark, x) => (isDark ? [`M${x} ${y}h1v1h-1z`] : [])));
  const picture = document.createElementNS(SVG, "svg");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", dark.join(""));
  const attributes = { viewBox: `0 0 ${rows.length} ${rows.length}`, role: "img", "aria-label": label, class: "qr", "shape-rendering": "crispEdges" };
  for (const [name, value] of Object.entries(attributes)) picture.setAttribute(name, value);
  picture.append(path);
  return picture;
}
