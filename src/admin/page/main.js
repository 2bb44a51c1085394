// The page: asks for the state, shows it, asks again, and lets the parts act.

const EVERY = 10000;

const page = { view: "loading", status: null, entities: null, tables: null, turn: 0, timer: 0, done: "" };

/** Shows one of the page's views. */
function showView(view) {
  if (page.view === view) return;
  page.view = view;
  const focused = document.activeElement;
  for (const id of ["loading", "login", "refused", "state"]) byId(id).hidden = id !== view;
  byId("controls").hidden = view === "loading";
  const isOver = view !== "state";
  byId("refresh").hidden = isOver;
  byId("auto").closest("label").hidden = isOver;
  byId("refreshed").hidden = isOver;
  if (isOver) setText(byId("trouble"), "");
  // What had focus may be hidden now.
  if (focused?.closest("[hidden]")) byId(`${view === "state" ? "vaults" : view}-title`).focus();
}

/**
 * Asks the node for its state, and shows it. What an older call brings late is not shown. One call after the other: a node
 * that refuses the first would only refuse the second as well, and write each refusal into its audit log.
 */
async function refresh() {
  page.turn += 1;
  const { turn } = page;
  clearTimeout(page.timer);
  setBusy(byId("refresh"), true);
  const [state] = await Promise.allSettled([getStatus()]);
  if (turn !== page.turn) return;
  const [list] = await Promise.allSettled(state.reason ? [] : [getEntities()]);
  if (turn !== page.turn) return;
  setBusy(byId("refresh"), false);
  const failed = state.reason ?? (list.reason?.status === 401 ? list.reason : null);
  if (failed) showFailure(failed);
  else showState(state.value, list);
  schedule();
}

function schedule() {
  clearTimeout(page.timer);
  if (page.view === "login" || document.hidden) return;
  page.timer = setTimeout(() => (byId("auto").checked ? refresh() : tick()), EVERY);
}

/** Without a new state, times go on. */
function tick() {
  retime();
  schedule();
}

function showState(status, list) {
  page.status = status;
  // A list that fails for once does not take the forms away.
  const isOutage = list.reason && list.reason.status !== 503 && page.entities;
  if (!isOutage) page.entities = list.value ?? null;
  setNow(status.now);
  setText(byId("node"), `${status.version} · ${count(status.workers, "worker")}`);
  draw(byId("refreshed"), status.now, () => ["Refreshed ", time(status.now, "clock")]);
  setText(byId("trouble"), "");
  const why = page.entities ? "" : (list.reason?.message ?? "");
  draw(byId("no-forms"), why, () => (why ? ["Vault entities cannot be shown or changed here: ", ...prose(why)] : []));
  byId("no-forms").hidden = !why;
  byId("new-vault").hidden = !page.entities;
  byId("forget").hidden = !hasToken();
  const vaults = joinVaults(status, page.entities);
  const changes = changesOfHealth(vaults);
  showVaults(vaults, { test: openCheck, edit, remove });
  showEnds(status.references);
  showReferences(status);
  retime();
  const bad = vaults.filter(isTrouble).length;
  document.title = `${bad ? `(${bad}) ` : ""}Vaults · kong-vault`;
  if (changes) say(page.done ? `${page.done} ${changes}` : changes);
  page.done = "";
  showView("state");
}

/** Why there is no state. One that was shown before stays, if the node may answer again. */
function showFailure(error) {
  if (error.status === 401) return showLogin();
  if (page.view === "state" && error.status !== 403) {
    const shown = absolute(page.status.now).slice(11);
    return setText(
      byId("trouble"),
      `The state cannot be refreshed: ${visible(error.message)}. What is shown is of ${shown}.`,
    );
  }
  setText(
    byId("refused-title"),
    { 0: "No answer", 403: "Access refused", 503: "Not available" }[error.status] ?? `Error ${error.status}`,
  );
  draw(byId("refused-text"), error.message, () => prose(error.message));
  showView("refused");
  byId("forget").hidden = !hasToken();
}

/** Forgets all that was shown, and asks for the token. */
function showLogin() {
  const wasLogin = page.view === "login";
  const isRefusal = hasToken() && page.view === "state";
  setToken("");
  forgetState();
  showView("login");
  byId("forget").hidden = true;
  if (wasLogin) return;
  pageLogin.showError(isRefusal ? "The node no longer accepts this token. Enter one that it accepts." : "");
  // A dialog keeps focus, and asks for the token when it needs it.
  if (!document.querySelector("dialog[open]")) pageLogin.input.focus();
}

function forgetState() {
  page.turn += 1;
  Object.assign(page, { status: null, entities: null });
  showVaults([], {});
  showEnds([]);
  showReferences({ references: [], references_dropped: 0, now: 0 });
  setText(byId("node"), "");
  setText(byId("message"), "");
  document.title = "Vaults · kong-vault";
}

/** Says what happened, to the eye and to screen readers. It goes when something else is said. */
function say(text) {
  byId("message").textContent = visible(text);
}

/** Says what was done, and shows the state that came of it: what that says stands behind it, not in its place. */
function sayDone(text) {
  say(text);
  page.done = text;
  return refresh();
}

async function withTables(act) {
  try {
    page.tables ??= await getOptions();
  } catch (error) {
    if (error.status === 401) return showLogin();
    return setText(byId("trouble"), `The form cannot be shown: ${visible(error.message)}.`);
  }
  return act(page.tables);
}

function edit(vault, opener) {
  return withTables((tables) => openForm(vault.entity, tables, opener, saved));
}

function saved(prefix, existed) {
  return sayDone(existed ? `${prefix} is saved.` : `${prefix} is created.`);
}

function remove(vault, opener) {
  const inUse = page.status.references.filter((it) => it.vault === vault.name).length;
  openRemove(vault.entity, inUse, opener, (prefix) => sayDone(`${prefix} is deleted.`));
}

const pageLogin = loginForm("token-field", () => afterLogin());

function start() {
  byId("login").append(pageLogin.node);
  afterLogin = async () => {
    await refresh();
    if (page.view === "state" && !document.querySelector("dialog[open]")) byId("vaults-title").focus();
  };
  startReferences();
  for (const id of ["form", "check", "remove", "token"]) {
    const dialog = byId(id);
    startDialog(dialog, () => stopCheck(dialog));
  }
  byId("refresh").addEventListener("click", () => isBusy(byId("refresh")) || refresh());
  byId("again").addEventListener("click", refresh);
  byId("auto").addEventListener("change", schedule);
  byId("forget").addEventListener("click", () => {
    setToken("");
    showLogin();
  });
  byId("new-vault").addEventListener("click", (event) => {
    const opener = event.currentTarget;
    withTables((tables) => openForm(null, tables, opener, saved));
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) clearTimeout(page.timer);
    else if (byId("auto").checked && page.view !== "login") refresh();
    else tick();
  });
  refresh();
}

start();
