// One request to S3 that carries bytes. XMLHttpRequest, since fetch does not say how far it is.

import { Unreachable } from "./patience.js";

// Without a byte for so long, or without an answer to all of them, a connection is given up.
const SILENCE = 90_000;

// The form that takes one file whole.
export function postForm({ url, fields }, file, options) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.append(name, value);
  form.append("file", file, "file");
  return send("POST", url, form, options);
}

export const putPart = (url, blob, options) => send("PUT", url, blob, options);

function send(method, url, body, { signal, onLoaded }) {
  return new Promise((done, failed) => {
    const request = new XMLHttpRequest();
    let silence;
    const watch = () => {
      clearTimeout(silence);
      silence = setTimeout(() => request.abort(), SILENCE);
    };
    const abort = () => request.abort();
    const finish = (settle, value) => () => {
      clearTimeout(silence);
      signal.removeEventListener("abort", abort);
      settle(value());
    };
    request.open(method, url);
    request.upload.onprogress = ({ loaded }) => {
      watch();
      onLoaded(loaded);
    };
    request.onload = finish(done, () => ({
      status: request.status,
      etag: request.getResponseHeader("ETag"),
      code: /<Code>(\w+)<\/Code>/.exec(request.responseText)?.[1],
    }));
    request.onerror = finish(failed, () => new Unreachable("network"));
    request.onabort = finish(failed, () => (signal.aborted ? signal.reason : new Unreachable("silence")));
    signal.throwIfAborted();
    signal.addEventListener("abort", abort);
    watch();
    request.send(body);
  });
}
