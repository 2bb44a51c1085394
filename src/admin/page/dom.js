// Helpers for elements. All texts get in as text nodes: what a server or a user named is never read as markup.

const SVG = "http://www.w3.org/2000/svg";

/** Shapes in a square of 16; each differs from the others without its colour. */
const ICONS = {
  ok: "M6.3 12.6 2 8.3l1.5-1.5 2.8 2.8 6.2-6.2L14 4.9z",
  wrong: "M8 6.5 12.2 2.3l1.5 1.5L9.5 8l4.2 4.2-1.5 1.5L8 9.5l-4.2 4.2-1.5-1.5L6.5 8 2.3 3.8l1.5-1.5z",
  look: "M8 1.5 15.4 14.5H.6zM7.2 6v4.4h1.6V6zm0 5.6v1.5h1.6v-1.5z",
  probe: "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1zm0 1.8v10.4A5.2 5.2 0 0 1 8 2.8z",
  none: "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1zm0 1.8a5.2 5.2 0 1 1 0 10.4A5.2 5.2 0 0 1 8 2.8z",
  clock:
    "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1zm0 1.8a5.2 5.2 0 1 1 0 10.4A5.2 5.2 0 0 1 8 2.8zM7.2 4.4v4.1l3 1.9.8-1.3-2.2-1.4V4.4z",
};

/**
 * Makes an element. `props` are attributes; `class` and `text` mean what they say, a function is a listener of the event
 * of that name; `false`, `null` and `undefined` leave an attribute out. Children are nodes or texts; `null` is left out.
 */
function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === false || !isSet(value)) continue;
    if (name === "text") node.textContent = value;
    else if (typeof value === "function") node.addEventListener(name, value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter(isSet));
  return node;
}

/** The element with that id. */
function byId(id) {
  return document.getElementById(id);
}

/** Whether there is a value: answers have null, or no such key, where there is none. */
function isSet(value) {
  return value !== null && value !== undefined;
}

/**
 * Characters that draw nothing, turn the direction or end a line. Unicode keeps the list of the first, among them soft
 * hyphens, marks of direction, fillers, selectors of variants and tags; it leaves out controls, halves of characters, ends
 * of lines and of paragraphs, and marks of annotations.
 */
const UNSEEN =
  /[\p{Default_Ignorable_Code_Point}\p{Surrogate}\p{Line_Separator}\p{Paragraph_Separator}\ufff9-\ufffb]|(?![\t\n\r])\p{Control}/gu;

/** Shows which unseen characters a text has: they could make it look like another. */
function visible(text) {
  return String(text).replace(
    UNSEEN,
    (character) => `⟨U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`,
  );
}

/** A text from elsewhere: its direction does not reach beyond it. */
function foreign(text, className) {
  return el("bdi", { class: className, text: visible(text) });
}

/** A help text or an error, in which option names and values stand between backticks. */
function prose(text) {
  const parts = visible(text).split("`");
  if (parts.length % 2 === 0) return [el("bdi", { text: visible(text) })];
  return [el("bdi", {}, ...parts.map((part, at) => (at % 2 ? el("code", { text: part }) : part)))];
}

/** A symbol. It is decoration: the word beside it says the same. */
function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  for (const [key, value] of Object.entries({ viewBox: "0 0 16 16", "aria-hidden": "true", class: "icon" })) {
    svg.setAttribute(key, value);
  }
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  path.setAttribute("fill-rule", "evenodd");
  svg.append(path);
  return svg;
}

/** A word with its symbol; `tone` is one of good, warn, bad and calm. */
function badge(word, symbol, tone) {
  return el("span", { class: `badge ${tone}` }, icon(symbol), word);
}

/** A button whose name is more than is seen: "Test" is "Test production" to those who don't see the row. */
function rowButton(word, name, click, className) {
  return el(
    "button",
    { type: "button", class: className, click },
    word,
    el("span", { class: "vh", text: ` ${visible(name)}` }),
  );
}

function cell(label, className) {
  return el("td", { role: "cell", "data-label": label, class: className });
}

const drawn = new WeakMap();

/** Draws what a node holds, if `value` is another than it shows: an untouched node keeps selection and focus. */
function draw(node, value, build) {
  const key = JSON.stringify(value) ?? "";
  if (drawn.get(node) === key) return;
  drawn.set(node, key);
  node.replaceChildren(...[build()].flat().filter(isSet));
}

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Puts children in this order and moves only those that stand elsewhere. What has focus keeps it. */
function arrange(parent, children) {
  const focused = document.activeElement;
  const wanted = new Set(children);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  let next = parent.firstElementChild;
  for (const child of children) {
    if (child === next) next = next.nextElementSibling;
    else parent.insertBefore(child, next);
  }
  if (focused !== document.activeElement && parent.contains(focused)) focused.focus({ preventScroll: true });
}

const numbers = new Intl.NumberFormat("en");

/** "1 reference", "1,000 references". */
function count(number, word) {
  return `${numbers.format(number)} ${word}${number === 1 ? "" : "s"}`;
}

/** Marks a button as one that does nothing for now. It stays in reach of the keyboard, so that focus is not lost. */
function setBusy(button, busy) {
  if (busy) button.setAttribute("aria-disabled", "true");
  else button.removeAttribute("aria-disabled");
}

function isBusy(button) {
  return button.getAttribute("aria-disabled") === "true";
}
