// The form that creates and edits an entity, made from the backends' option tables.

/** What an answer says under these names is of no field: of the whole entity, or of the stored one that is edited. */
const WHOLE = ["@entity", "of"];

const BACKEND_HELP = "The options below are those of the backend.";

/**
 * Opens the form for an entity, or for a new one where it is null. `saved` hears of the prefix once it is stored.
 */
function openForm(entity, tables, opener, saved) {
  const dialog = byId("form");
  const form = makeForm(dialog, entity, tables, saved);
  openDialog(dialog, opener, [form.node]);
  (entity ? form.title : form.prefix.input).focus();
}

function makeForm(dialog, entity, tables, saved) {
  const prefix = entityField(
    "f-prefix",
    "Prefix",
    entity?.prefix ?? "",
    entity
      ? ["A prefix cannot be changed. To rename a vault, create another and delete this one."]
      : ["References begin with it: ", el("code", { text: "{vault://prefix/…}" }), "."],
    { readonly: Boolean(entity), autocapitalize: "off" },
  );
  prefix.setNeed(entity ? "" : "required");
  const description = entityField("f-description", "Description", entity?.description ?? "", ["Optional."]);
  const tags = entityField("f-tags", "Tags", (entity?.tags ?? []).join(", "), [
    "Optional: a list separated by commas.",
  ]);
  const backend = backendField(entity, tables);
  const area = el("div", { class: "options" });
  const sets = new Map();
  let options = null;

  function chooseBackend() {
    const name = backend.input.value;
    if (!sets.has(name)) sets.set(name, optionSet(tables, name, entity?.name === name ? entity.config : {}));
    options = sets.get(name);
    area.replaceChildren(options.node);
  }
  backend.input.addEventListener("change", chooseBackend);
  chooseBackend();

  const summary = errorSummary();
  const fixed = { prefix, name: backend, description, tags };

  /** The entity as it stands, or null where a field holds what can't be sent; that is shown. */
  function read() {
    const { config, errors } = options.read();
    const found = Object.keys(errors).length ? { config: errors } : {};
    if (prefix.input.value.trim() === "") found.prefix = "Enter a prefix: it is how references name this vault.";
    if (Object.keys(found).length) {
      showErrors(found);
      return null;
    }
    return {
      name: backend.input.value,
      prefix: entity?.prefix ?? prefix.input.value.trim(),
      description: description.input.value === "" ? null : description.input.value,
      tags: tags.input.value.trim() === "" ? null : parseOption({ type: "list" }, tags.input.value),
      config,
    };
  }

  /** What the errors kept from being done. */
  let doing = "saved";

  /** Shows what an answer says of fields, beside them and above, and moves focus there. */
  function showErrors(fields, message) {
    clearErrors();
    const found = [];
    for (const [name, text] of Object.entries(fields)) {
      if (name === "config" && text && typeof text === "object") {
        for (const [option, what] of Object.entries(text)) found.push([options.reveal(option), option, what]);
      } else found.push([fixed[name], WHOLE.includes(name) ? "" : name, text]);
    }
    for (const [field, , text] of found) field?.showError(asText(text));
    summary.show(
      `Not ${doing}`,
      found.length ? found.map(([field, name, text]) => [field, name, asText(text)]) : [[null, "", message]],
    );
  }

  function clearErrors() {
    for (const field of [...Object.values(fixed), ...options.all()]) field.showError("");
    summary.hide();
    panel.forgetRefusal();
  }

  /** Shows why something was refused; returns what to say of it elsewhere. */
  function refused(error) {
    if (error.status === 401) {
      showErrors({}, "The node no longer accepts this token. Enter one that it accepts, then try again.");
      askForToken(save);
    } else if (error.status === 409) showErrors({ prefix: error.message });
    else showErrors(error.fields, error.message);
    return "see above";
  }

  const save = el("button", { type: "submit", class: "primary" }, "Save");
  const status = el("p", { role: "status", class: "vh" });
  let seen = entity?.updated_at;

  async function submit(event) {
    event.preventDefault();
    if (isBusy(save)) return;
    doing = "saved";
    const wanted = read();
    if (!wanted) return;
    setBusy(save, true);
    status.textContent = "Saving";
    clearErrors();
    try {
      if (!entity || (await isUnchanged())) {
        await saveEntity(entity?.id, wanted);
        saved(wanted.prefix, Boolean(entity));
        // The dialog may show another form by now, if this one was closed meanwhile.
        if (node.isConnected) closeDialog(dialog);
      }
    } catch (error) {
      if (node.isConnected) refused(error);
    }
    status.textContent = "";
    setBusy(save, false);
  }

  /** Whether the stored entity is still the one that the form was filled from. If not, it says so, once. */
  async function isUnchanged() {
    const now = await getEntity(entity.id).catch((error) => {
      if (error.status === 404)
        throw new ApiError(404, "This vault was deleted while you edited it. Cancel, then create it anew.");
      throw error;
    });
    if (now.updated_at === seen) return true;
    seen = now.updated_at;
    showErrors(
      {},
      "This vault was changed while you edited it. Cancel to see the change, or save again to replace it.",
    );
    return false;
  }

  const panel = checkPanel(
    dialog,
    () => {
      clearErrors();
      doing = "tested";
      const wanted = read();
      return wanted && { entity: wanted, of: entity?.id ?? null };
    },
    (error) => (error.status === 400 || error.status === 401) && refused(error),
  );

  const title = dialogTitle(dialog, ...(entity ? ["Edit ", foreign(entity.prefix)] : ["New vault"]));
  const node = el(
    "form",
    { novalidate: true, submit, autocomplete: "off" },
    title,
    summary.node,
    el(
      "fieldset",
      {},
      el("legend", { text: "Vault" }),
      el("div", { class: "fields" }, prefix.node, backend.node, description.node, tags.node),
    ),
    area,
    el("fieldset", {}, el("legend", { text: "Test before saving" }), panel.node),
    el(
      "div",
      { class: "ends" },
      status,
      el("button", { type: "button", click: () => closeDialog(dialog) }, "Cancel"),
      save,
    ),
  );
  return { node, title, prefix };
}

/** A text of an answer, which may have a list of them. */
function asText(value) {
  if (typeof value === "string") return value;
  return Array.isArray(value) ? value.map(asText).join("; ") : JSON.stringify(value);
}

function backendField(entity, tables) {
  const known = tables.backends.map((backend) => [backend.name, `${backend.name}: ${backend.title}`]);
  // The backend of a stored entity may be disabled by now.
  if (entity && !known.some(([name]) => name === entity.name))
    known.unshift([entity.name, `${visible(entity.name)}: not available`]);
  const select = el("select", { id: "f-backend" }, ...known.map(([value, text]) => el("option", { value, text })));
  if (entity) select.value = entity.name;
  else if (known.some(([name]) => name === "hcv")) select.value = "hcv";
  return wrapInput(select, "Backend", [BACKEND_HELP]);
}

/** The list of errors at the top of a form, with links to the fields. It gets focus. */
function errorSummary() {
  const title = el("span");
  const list = el("ul");
  const node = el(
    "div",
    { class: "summary", role: "alert", tabindex: "-1", "aria-labelledby": "form-errors", hidden: true },
    el("h3", { id: "form-errors" }, icon("look"), title),
    list,
  );
  function show(what, errors) {
    title.textContent = what;
    list.replaceChildren(
      ...errors.map(([field, name, text]) =>
        el("li", {}, field ? linkTo(field) : visible(name), name || field ? ": " : "", ...prose(text)),
      ),
    );
    node.hidden = false;
    node.focus();
    node.scrollIntoView({ block: "nearest" });
  }
  return {
    node,
    show,
    hide: () => {
      node.hidden = true;
    },
  };
}

function linkTo(field) {
  const { input } = field;
  return el(
    "a",
    {
      href: `#${input.id}`,
      click: (event) => {
        event.preventDefault();
        openAround(input);
        input.focus();
      },
    },
    field.label,
  );
}

/** Opens the groups in which an element lies. */
function openAround(node) {
  for (let at = node.closest("details"); at; at = at.parentElement.closest("details")) at.open = true;
}
