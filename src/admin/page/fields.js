// Fields of a form: a label, an input by the option's type, help, an error beside it. What is secret is write-only.

const MASK = "********";

function isReference(text) {
  return text.startsWith("{vault://");
}

/** Whether the field must not show the value that it got: an answer hides it, or it is a secret, which Kong's answers show. */
function isHidden(option, value) {
  if (typeof value !== "string" || isReference(value)) return false;
  const isMasked = value.includes(MASK) && (option.lines || value === MASK);
  // A key as text, or PEM in base64.
  const isKey = option.lines && (value.includes("PRIVATE KEY") || value.startsWith("LS0t"));
  return option.secret || isMasked || isKey;
}

/**
 * Where an input's error stands. `showError` shows one, or none where the text is empty, and marks the input. The input names
 * the place in `aria-describedby`, beside what else describes it.
 */
function errorPlace(input, props = {}) {
  const node = el("p", { id: `${input.id}-error`, class: "field-error", ...props });
  function showError(text) {
    node.replaceChildren(...(text ? [icon("look"), el("span", {}, ...prose(text))] : []));
    if (text) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
  }
  return { node, showError };
}

/** Wraps an input with what belongs to it. `label` is a text or a node. */
function wrapInput(input, label, help, className = "") {
  const id = input.id;
  const error = errorPlace(input);
  const need = el("span", { id: `${id}-need`, class: "need" });
  input.setAttribute("aria-describedby", `${id}-need ${id}-help ${id}-error`);
  const node = el(
    "div",
    { class: `field ${className}` },
    el("div", { class: "field-head" }, el("label", { for: id }, label), need),
    input,
    error.node,
    el("div", { id: `${id}-help`, class: "help" }, ...help),
  );
  function setNeed(text) {
    setText(need, text);
    if (text === "required") input.setAttribute("aria-required", "true");
    else input.removeAttribute("aria-required");
  }
  input.addEventListener("input", () => error.showError(""));
  const name = typeof label === "string" ? label : label.textContent;
  return { node, input, label: name, showError: error.showError, setNeed };
}

/** A text field of the entity itself. */
function entityField(id, label, value, help, props = {}) {
  const all = { id, autocomplete: "off", spellcheck: "false", ...props };
  // A line would lose the ends of lines.
  const input = value.includes("\n") ? el("textarea", { ...all, rows: "3" }) : el("input", { ...all, type: "text" });
  input.value = value;
  return wrapInput(input, label, help);
}

/** A field for an option. `stored` is its value as an answer shows it, or undefined. */
function optionField(option, stored) {
  const hidden = isHidden(option, stored);
  const input = inputFor(option, hidden ? undefined : stored);
  const initial = input.value;
  const remove = hidden ? el("input", { type: "checkbox", id: `${input.id}-remove` }) : null;
  const field = wrapInput(
    input,
    el("code", { text: option.name }),
    helpFor(option, stored, hidden),
    option.lines ? "lines" : "",
  );
  if (remove) {
    field.input.after(
      el(
        "p",
        { class: "kept", id: `${input.id}-kept` },
        el("span", {}, icon("ok"), "Set. Leave empty to keep it."),
        el("label", {}, remove, " Remove", el("span", { class: "vh", text: ` ${option.name}` })),
      ),
    );
    input.setAttribute("aria-describedby", `${input.id}-kept ${input.getAttribute("aria-describedby")}`);
    remove.addEventListener("change", () => {
      input.disabled = remove.checked;
    });
  }
  const isKept = () => hidden && !remove.checked && input.value === "";

  /** The value to send: undefined where the option is not set. Throws a text where it is none of the option's type. */
  function read() {
    if (isKept() || (stored !== undefined && !hidden && input.value === initial && initial !== "")) return stored;
    return input.value === "" || remove?.checked ? undefined : parseOption(option, input.value);
  }
  return { ...field, option, read, isStored: stored !== undefined, isFilled: () => input.value !== "" || isKept() };
}

function inputFor(option, value) {
  const props = { id: `o-${option.name}`, autocomplete: "off", spellcheck: "false", autocapitalize: "off" };
  const text = Array.isArray(value) ? value.join(", ") : isSet(value) ? String(value) : "";
  const values = option.type === "boolean" ? ["true", "false"] : (option.one_of ?? []);
  if (values.length) {
    // A stored value that is no longer accepted is shown all the same.
    const all = text && !values.includes(text) ? [...values, text] : values;
    const unset = option.default ? `not set (default: ${option.default})` : "not set";
    const select = el(
      "select",
      { id: props.id },
      el("option", { value: "", text: unset }),
      ...all.map((item) => el("option", { value: item, text: visible(item) })),
    );
    select.value = text;
    return select;
  }
  if (option.lines || text.includes("\n")) {
    const area = el("textarea", { ...props, rows: text.includes("\n") || option.secret ? "4" : "2" });
    area.value = text;
    return area;
  }
  const isNumber = option.type === "integer" || option.type === "seconds";
  const input = el("input", {
    ...props,
    type: "text",
    autocomplete: option.secret ? "new-password" : "off",
    inputmode: isNumber ? (option.type === "integer" ? "numeric" : "decimal") : null,
    placeholder: option.default && !option.secret ? option.default : null,
  });
  input.value = text;
  if (option.secret) {
    const hide = () => {
      input.type = isReference(input.value) ? "text" : "password";
    };
    input.addEventListener("change", hide);
    hide();
  }
  return input;
}

/** What to send of a text. */
function parseOption(option, text) {
  switch (option.type) {
    case "boolean":
      return text === "true" ? true : text === "false" ? false : text;
    case "integer":
      return wholeOrFraction(option, text, /^-?\d{1,15}$/);
    case "seconds":
      return wholeOrFraction(option, text, /^\d+(\.\d+)?$/);
    case "list":
      return text
        .split(",")
        .map((item) => item.trim())
        .filter(Boolean);
    default:
      return option.secret || option.lines ? text : text.trim();
  }
}

function wholeOrFraction(option, text, form) {
  const number = Number(text);
  const low = isSet(option.min) && number < option.min;
  const high = isSet(option.max) && number > option.max;
  if (!form.test(text.trim()) || low || high) throw `must be ${option.accepts}`;
  return number;
}

/** What there is to know of an option: the table's help, what it accepts, its default, how to keep a secret out of it. */
function helpFor(option, stored, hidden) {
  // Other spellings are for files that were written for other clients.
  const facts = [sentence(option.help.replace(/ \(also called [^)]*\)$/, ""))];
  const isSelect = option.type === "boolean" || option.one_of?.length > 0;
  if (option.type === "list") facts.push("A list separated by commas.");
  else if (!isSelect && option.accepts !== "text") facts.push(`Accepts ${option.accepts}.`);
  if (option.default && !isSelect) facts.push(`Default: \`${option.default}\`.`);
  const lines = [facts.join(" ")];
  if (option.secret)
    lines.push(
      `Use a reference such as \`{vault://env/${option.name.replaceAll("_", "-")}}\`: then the secret is not stored here.`,
    );
  if (!hidden && JSON.stringify(stored ?? "").includes(MASK))
    lines.push("A part is hidden. To change this option, write it whole.");
  return lines.map((line) => el("p", {}, ...prose(line)));
}

function sentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
}
