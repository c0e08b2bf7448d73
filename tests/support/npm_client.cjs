// Calls verbs of the npm package `dicomweb-client`: JSON from standard input, their results as JSON to standard output.
'use strict';
const { createHash } = require('node:crypto');
const { readFileSync } = require('node:fs');

// The package is made for browsers: what it uses of XMLHttpRequest, by Node's fetch.
globalThis.XMLHttpRequest = class {
  readyState = 0;
  status = 0;
  response = null;
  responseType = '';
  #method;
  #url;
  #answer;
  #headers = {};

  open(method, url) {
    this.#method = method.toUpperCase();
    this.#url = url;
  }

  setRequestHeader(name, value) {
    this.#headers[name] = value;
  }

  getResponseHeader(name) {
    return this.#answer.headers.get(name);
  }

  getAllResponseHeaders() {
    return [...this.#answer.headers].map(([name, value]) => `${name}: ${value}\r\n`).join('');
  }

  async send(body) {
    this.#answer = await fetch(this.#url, { method: this.#method, headers: this.#headers, body });
    const bytes = await this.#answer.arrayBuffer();
    this.status = this.#answer.status;
    this.response = this.responseType === 'json' ? parsed(bytes) : bytes;
    this.readyState = 4;
    this.onreadystatechange();
  }
};

function parsed(bytes) {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return null;
  }
}

function described(value) {
  if (value instanceof ArrayBuffer) {
    return createHash('sha256').update(Buffer.from(value)).digest('hex');
  }
  return Array.isArray(value) ? value.map(described) : value;
}

async function main() {
  const { folder, url, token, calls } = JSON.parse(readFileSync(0, 'utf8'));
  const { DICOMwebClient } = require(`${folder}/build/dicomweb-client.js`).api;
  const client = new DICOMwebClient({ url, headers: { Authorization: `Bearer ${token}` }, verbose: false });
  const results = [];
  for (const [verb, options] of calls) {
    if (options.datasets) {
      options.datasets = options.datasets.map((text) => Uint8Array.from(Buffer.from(text, 'base64')).buffer);
    }
    try {
      results.push({ value: described(await client[verb](options)) });
    } catch (error) {
      if (!error.status) throw error;
      results.push({ status: error.status });
    }
  }
  console.log(JSON.stringify(results));
}

main();
