// Holds a Chromium for specs, which ask by HTTP: `POST /walk/create` runs `create` of walk.js with the body's JSON as its
// argument, and answers with the JSON of what it returns, or with 500 and why it failed.
//
// node driver.js PORT MODULES      MODULES: the node_modules that has playwright-core and axe-core
"use strict";

const http = require("node:http");
const path = require("node:path");

const [port, modules] = process.argv.slice(2);
const { chromium } = require(path.join(modules, "playwright-core"));
const axe = require(path.join(modules, "axe-core"));

// What would reach for servers elsewhere, if it could: no test needs it.
const QUIET = [
  "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
  "--disable-sync",
  // Names lead nowhere, but for this machine's, and one that a stranger has lead here.
  "--host-resolver-rules=MAP rebound.example 127.0.0.1, EXCLUDE localhost, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
];

const SUITES = ["walk", "form", "keyboard", "hostile", "origins", "token", "kong", "references", "views", "pictures"];

async function body(request) {
  let text = "";
  for await (const piece of request.setEncoding("utf8")) text += piece;
  return text ? JSON.parse(text) : {};
}

async function main() {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM,
    args: QUIET,
    // The one that ends it is this process, which also ends by these signals.
    handleSIGINT: false, handleSIGTERM: false, handleSIGHUP: false,
  });
  const tools = { browser, axe: axe.source };

  const server = http.createServer(async (request, response) => {
    const [, suite, name] = request.url.split("/");
    try {
      if (!SUITES.includes(suite)) throw new Error(`there is no ${suite}.js`);
      const result = await require(`./${suite}.js`)[name](tools, await body(request));
      response.end(JSON.stringify(result ?? {}));
    } catch (error) {
      response.statusCode = 500;
      response.end(error.stack);
    }
  });

  let ending = false;
  async function end() {
    if (ending) return;
    ending = true;
    server.closeAllConnections?.();
    await browser.close();
    process.exit(0);
  }
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, end);
  // Without its browser it is of no use.
  browser.on("disconnected", () => process.exit(ending ? 0 : 1));
  server.listen(Number(port), "127.0.0.1");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
