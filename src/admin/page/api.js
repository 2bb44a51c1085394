// Calls of the Admin API, at this page's own address.

/** With the origin before it: a path that begins with two slashes would be read as another host and its path. */
const BASE = location.origin + location.pathname.replace(/\/+$/, "");

/** Longer than the node takes for an answer, so that its own word about that is heard. */
const PATIENCE = 70000;

/** The token, in this page's memory alone: closing or reloading the page forgets it. */
let token = "";

/** An answer that is not a success. `status` is 0 where there was no answer. */
class ApiError extends Error {
  constructor(status, message, fields) {
    super(message);
    this.status = status;
    this.fields = fields ?? {};
  }
}

function setToken(text) {
  token = text;
}

function hasToken() {
  return token !== "";
}

/** A header can't hold other texts, and no token is one. */
function canBeToken(text) {
  return /^[\x21-\x7e]+$/.test(text);
}

/** Sends a request. Returns the answer's JSON, or null where it has no body. */
async function call(method, path, body, signal) {
  const headers = { Accept: "application/json" };
  if (token) headers["Kong-Admin-Token"] = token;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const patience = AbortSignal.timeout(PATIENCE);
  let answer;
  try {
    answer = await fetch(BASE + path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
      signal: signal ? AbortSignal.any([signal, patience]) : patience,
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    const late = patience.aborted ? "the node did not answer in time" : "the node cannot be reached";
    throw new ApiError(0, `${late}: check that it runs and that its address is right`);
  }
  const json = await answer.json().catch(() => null);
  if (answer.ok) return json;
  const message = typeof json?.message === "string" ? json.message : `the node answers with status ${answer.status}`;
  throw new ApiError(answer.status, message, typeof json?.fields === "object" ? json.fields : null);
}

function getStatus() {
  return call("GET", "/_status");
}

function getOptions() {
  return call("GET", "/_options");
}

/** All entities, from as many pages as there are. */
async function getEntities() {
  const all = [];
  let query = "?size=1000";
  while (query) {
    const page = await call("GET", query);
    all.push(...page.data);
    query = page.next ? new URL(page.next, location.href).search : "";
  }
  return all;
}

function getEntity(id) {
  return call("GET", `/${encodeURIComponent(id)}`);
}

/** Stores an entity: a new one where there is no id. */
function saveEntity(id, entity) {
  return id ? call("PUT", `/${encodeURIComponent(id)}`, entity) : call("POST", "", entity);
}

function deleteEntity(id) {
  return call("DELETE", `/${encodeURIComponent(id)}`);
}

function checkVault(what, signal) {
  return call("POST", "/_check", what, signal);
}
