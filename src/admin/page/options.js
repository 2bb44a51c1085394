// The part of a form that has a backend's options, arranged anew whenever a choice is made.

/** Returns `{node, read, reveal, all}` for a backend, with the stored values. */
function optionSet(tables, name, config) {
  const backend = tables.backends.find((known) => known.name === name);
  if (!backend) {
    const text = `The backend ${visible(name)} is not available here. Enable it to edit its options, or choose another.`;
    return {
      node: el("p", { class: "note", text }),
      read: () => ({ config, errors: {} }),
      reveal: () => null,
      all: () => [],
    };
  }
  const { common } = tables;
  const choices = choicesOf(backend);
  const deciders = decidersOf(backend);
  const fields = new Map();
  for (const option of [...backend.options, ...common]) {
    if (!fields.has(option.name)) fields.set(option.name, optionField(option, config[option.name] ?? undefined));
  }
  const revealed = new Set();
  const first = el("div", { class: "fields" });
  const groups = el("div", { class: "groups" });
  const more = el("details", { class: "more" }, el("summary", {}, "More options"), groups);
  const heard = el("p", { role: "status", class: "vh" });
  const bodies = new Map();

  const currentOf = (option) => {
    const field = fields.get(option);
    return field?.input.value || field?.option.default || "";
  };
  const isFilled = (option) => fields.get(option)?.isFilled() ?? false;
  const isKept = (option) => revealed.has(option) || (fields.get(option)?.isStored ?? false);

  function place() {
    const plan = planOptions(backend, common, choices, { currentOf, isFilled, isKept });
    for (const field of fields.values()) field.setNeed("");
    for (const { option, need } of plan.first) fields.get(option.name).setNeed(need);
    const focused = document.activeElement;
    arrange(
      first,
      plan.first.map(({ option }) => fields.get(option.name).node),
    );
    arrange(
      groups,
      plan.groups.map(([title, options]) => group(title, options)),
    );
    more.hidden = plan.groups.length === 0;
    if (focused !== document.activeElement && focused?.isConnected) focused.focus({ preventScroll: true });
  }

  function group(title, options) {
    if (!bodies.has(title)) {
      const body = el("div", { class: "fields" });
      bodies.set(title, { body, node: el("fieldset", {}, el("legend", { text: title }), body) });
    }
    const { body, node } = bodies.get(title);
    arrange(
      body,
      options.map((option) => fields.get(option.name).node),
    );
    return node;
  }

  const watched = new Set([
    ...deciders.map((option) => option.name),
    ...backend.needs.flatMap((need) => [need.when.option, ...need.any]),
  ]);
  for (const name of watched) {
    fields.get(name)?.input.addEventListener("change", () => {
      place();
      const isDecider = deciders.some((option) => option.name === name);
      if (isDecider) setText(heard, `The options of ${visible(currentOf(name))} are shown.`);
    });
  }
  place();

  function read() {
    const values = {};
    const errors = {};
    for (const [option, field] of fields) {
      try {
        const value = field.read();
        if (value !== undefined) values[option] = value;
      } catch (what) {
        errors[option] = String(what);
      }
    }
    // Options that this table does not have are kept: the node says what is wrong with them.
    for (const [option, value] of Object.entries(config)) {
      if (!fields.has(option) && !dropped.has(option)) values[option] = value;
    }
    return { config: values, errors };
  }

  /** Returns the field of an option, and has it shown. */
  function reveal(option) {
    const field = fields.get(option);
    if (!field) return null;
    if (!field.node.isConnected) {
      revealed.add(option);
      place();
    }
    openAround(field.input);
    return field;
  }

  const dropped = new Set();
  const node = el(
    "fieldset",
    {},
    el("legend", {}, `Options of ${backend.name}`),
    first,
    heard,
    unknownOptions(config, fields, dropped),
    more,
  );
  return { node, read, reveal, all: () => [...fields.values()] };
}

/** Stored options that the table does not have, with a way to drop them; null where there are none. */
function unknownOptions(config, fields, dropped) {
  const names = Object.keys(config).filter((name) => !fields.has(name));
  if (!names.length) return null;
  return el(
    "div",
    { class: "note" },
    el("p", {}, "This vault has options that cannot be set in an entity here:"),
    el(
      "ul",
      { class: "plain" },
      ...names.map((name) => {
        const box = el("input", {
          type: "checkbox",
          change: () => (box.checked ? dropped.add(name) : dropped.delete(name)),
        });
        return el("li", {}, el("label", {}, box, " Remove ", foreign(name, "code")));
      }),
    ),
  );
}
