// Leafs through a stack by the share page's own module, in a time of its own: no test waits, or depends on a machine.
// node leafing.mjs <folder of web/share> <scenario as JSON>: prints what came onto the stage, and what was asked for.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

let now = 0;
const due = [];
globalThis.setTimeout = (act, wait = 0) => due.push({ at: now + wait, act, number: due.length }) && due.at(-1);
globalThis.clearTimeout = (timer) => timer && (timer.act = () => {});
performance.now = () => now;
const sleep = (wait) => new Promise((resolve) => setTimeout(resolve, wait));
const settled = async () => {
  for (let turn = 0; turn < 50; turn += 1) await null;
};
async function pass(until) {
  await settled();
  for (;;) {
    const next = due.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at || a.number - b.number)[0];
    if (!next) break;
    due.splice(due.indexOf(next), 1);
    now = next.at;
    next.act();
    await settled();
  }
  now = until;
}

const [folder, text] = process.argv.slice(2);
// How long a picture takes, how long the service works on each alone, and from when to when it answers nothing.
const { takes, alone = 0, every, slices, jump = 1, down = [0, 0] } = JSON.parse(text);
const place = mkdtempSync(join(tmpdir(), "leafing-"));
const plain = readFileSync(join(folder, "api.js"), "utf-8");
const again = /const WAITS[^]*?\n}\n/.exec(plain)[0];
const classes = plain.match(/export class .*/g).join("\n");
writeFileSync(join(place, "api.mjs"), `${classes}\n${again}\nexport const picture = (...asked) => globalThis.picture(...asked);\n`);
writeFileSync(join(place, "pictures.mjs"), readFileSync(join(folder, "pictures.js"), "utf-8").replace("./api.js", "./api.mjs"));
const { Pictures } = await import(join(place, "pictures.mjs"));
const { Unavailable } = await import(join(place, "api.mjs"));
rmSync(place, { recursive: true });

const asked = [];
let underWay = 0;
let most = 0;
let free = 0;
globalThis.picture = async ({ index }, { signal }) => {
  asked.push(index);
  underWay += 1;
  most = Math.max(most, underWay);
  free = Math.max(free, now) + alone;
  const isDown = now >= down[0] && now < down[1];
  await sleep(takes + free - now);
  underWay -= 1;
  signal.throwIfAborted();
  if (isDown) throw new Unavailable("503");
  return { blob: { size: 30_000 } };
};

const pictures = new Pictures(Array.from({ length: slices }, (_, index) => ({ index })), () => {});
const shown = [];
const failed = [];
let looked;
async function show(index, direction) {
  looked = index;
  try {
    const found = await pictures.look(index, direction);
    if (found && looked === index) shown.push([index, now]);
  } catch (error) {
    failed.push([index, error.constructor.name, looked === index]);
  }
}

show(0, 1);
await pass(2000);
shown.length = asked.length = most = 0;
let last = 0;
for (let index = jump; index < slices; index += jump) {
  show(index, 1);
  last = index;
  await pass(now + every);
}
const ended = now;
await pass(now + 120_000);
const moments = [2000, ...shown.map(([, at]) => at)];
const waits = moments.slice(1).map((at, number) => at - moments[number]);
console.log(JSON.stringify({
  shown: shown.map(([index]) => index), last, asked: asked.length, twice: asked.length - new Set(asked).size, most,
  longest: Math.max(...waits), after: shown.at(-1)[1] - ended, failed,
}));
