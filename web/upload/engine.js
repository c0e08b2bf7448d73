// The upload engine: what a page needs of it. README.md says how it is used.

export { filesDropped, filesOf } from "./files.js";
export { inspect } from "./inspect.js";
export { serviceApi } from "./service.js";
export { openStore } from "./store.js";
export { Upload } from "./upload.js";
