// Which options of a backend a form shows, where and when, from the backend's tables. Options that matter in the present
// choice come first; those of another choice are not shown at all; the rest is in groups.

/** What nearly every vault of a backend sets. Of a backend that is not named here, the first options of its table. */
const USUAL = {
  hcv: ["protocol", "host", "port", "mount", "kv"],
  aws: ["region"],
  gcp: ["project_id"],
  azure: ["vault_uri"],
  "azure-certs": ["vault_uri"],
  conjur: ["endpoint_url", "account", "login"],
};
const USUAL_FIRST = 3;

const LOGIN = "Login and credentials";
const VALUES = "Caching and decoding";
const OTHER = "Other options";

/** Groups of what is shown last, by names: the first that fits. */
const GROUPS = [
  ["TLS", /^((ssl|tls)_|ca_cert$|client_(cert|key)$)/],
  ["Network", /proxy|redirect|endpoint|host|port|protocol|fips|dualstack/],
  [
    LOGIN,
    /auth|token|role|client|credential|identity|tenant|login|key|jwt|external|impersonate|certificate|revoke|metadata|service/,
  ],
];
const TITLES = [LOGIN, "TLS", "Network", VALUES, OTHER];

/** What says "by whatever is set up": nothing belongs to another choice then. */
const ANY_CHOICE = "auto";

function firstWord(name) {
  return name.split("_", 1)[0];
}

function isAlike(a, b) {
  return a.startsWith(b) || b.startsWith(a);
}

/** The options that decide which others are used, such as `auth_method`. */
function decidersOf(backend) {
  const named = new Set(backend.needs.filter((need) => need.when.is !== undefined).map((need) => need.when.option));
  return backend.options.filter(
    (option) => named.has(option.name) || (option.name === "auth_method" && option.one_of?.length),
  );
}

/**
 * The choices to which options belong: of each option that has some, `{decider, values}`. That `approle` needs
 * `approle_role_id` says that all of `approle_…` belongs to it.
 */
function choicesOf(backend) {
  const result = new Map();
  for (const decider of decidersOf(backend)) {
    const values = decider.one_of ?? [];
    const named = namedBy(backend, decider.name);
    const ofNeeds = named.size > 0;
    const families = ofNeeds ? familiesOf(named, values) : new Map();
    for (const option of backend.options) {
      if (option === decider) continue;
      const word = firstWord(option.name);
      const own = ofNeeds ? values.some((value) => isAlike(word, firstWord(value))) && named.get(option.name) : null;
      const exact = values.filter((value) => option.name === value || option.name.startsWith(`${value}_`));
      const belongs = own || families.get(word) || (!ofNeeds && exact.length ? new Set(exact) : null);
      if (belongs) result.set(option.name, { decider, values: belongs });
    }
  }
  return result;
}

/** Of each option that a value of the decider needs, directly or through another option: these values. */
function namedBy(backend, decider) {
  const named = new Map();
  const add = (need, values) => {
    let grew = false;
    for (const name of [...need.all, ...need.any]) {
      const known = named.get(name) ?? new Set();
      const before = known.size;
      for (const value of values) known.add(value);
      grew ||= known.size > before;
      named.set(name, known);
    }
    return grew;
  };
  for (const need of backend.needs)
    if (need.when.option === decider && need.when.is !== undefined) add(need, [need.when.is]);
  for (let grew = true; grew;) {
    grew = false;
    for (const need of backend.needs) {
      const through = need.when.is === undefined && named.get(need.when.option);
      if (through && add(need, through)) grew = true;
    }
  }
  return named;
}

/** The values to which names with a first word belong. Families that one value needs together have the same values. */
function familiesOf(named, values) {
  const families = new Map();
  const join = (word, more) => families.set(word, new Set([...(families.get(word) ?? []), ...more]));
  for (const value of values) join(firstWord(value), [value]);
  const wordsOf = new Map();
  for (const [name, needing] of named) {
    const word = firstWord(name);
    // `client_cert` serves `cert`, but every other method as well.
    if (!values.some((value) => isAlike(word, firstWord(value)))) continue;
    join(word, needing);
    for (const value of needing) wordsOf.set(value, new Set([...(wordsOf.get(value) ?? []), word]));
  }
  for (const words of wordsOf.values()) {
    const all = new Set([...words].flatMap((word) => [...families.get(word)]));
    for (const word of words) families.set(word, all);
  }
  return families;
}

/**
 * Sorts options into those shown first, groups of the rest, and those not shown. `currentOf` returns what an option is in
 * the form, or its default; `isFilled` whether the form has a value of it; `isKept` whether it is shown first in any case.
 * Returns `{first: [{option, need}], groups: [[title, options]]}`; `need` says in words why it must be set.
 */
function planOptions(backend, common, choices, { currentOf, isFilled, isKept }) {
  const own = new Set(backend.options.map((option) => option.name));
  const shared = common.filter((option) => !own.has(option.name));
  const deciders = new Set(decidersOf(backend));
  const usual = new Set(USUAL[backend.name] ?? backend.options.slice(0, USUAL_FIRST).map((option) => option.name));
  const needs = needsNow(backend, currentOf, isFilled);
  const ranks = [[], [], []];
  const groups = new Map();
  for (const option of [...backend.options, ...shared]) {
    const choice = choices.get(option.name);
    const chosen = choice && currentOf(choice.decider.name);
    const isOfOther = choice && chosen !== ANY_CHOICE && !choice.values.has(chosen);
    const need = needs.get(option.name) ?? (option.required ? "required" : "");
    const isOfThis = choice && !isOfOther && option.secret && chosen !== ANY_CHOICE;
    if (deciders.has(option)) ranks[1].push({ option, need });
    else if (needs.has(option.name) || isOfThis) ranks[2].push({ option, need });
    else if (option.required || usual.has(option.name) || isKept(option.name))
      ranks[choice ? 2 : 0].push({ option, need });
    else if (!isOfOther || isFilled(option.name)) {
      const title = choice ? LOGIN : groupOf(option, shared);
      groups.set(title, [...(groups.get(title) ?? []), option]);
    }
  }
  return {
    first: ranks.flat(),
    groups: TITLES.filter((title) => groups.has(title)).map((title) => [title, groups.get(title)]),
  };
}

function groupOf(option, shared) {
  if (shared.includes(option) || option.name.endsWith("ttl")) return VALUES;
  return GROUPS.find(([, names]) => names.test(option.name))?.[0] ?? OTHER;
}

/** What the present values make necessary, and in which words. */
function needsNow(backend, currentOf, isFilled) {
  const needs = new Map();
  for (const need of backend.needs) {
    const { option, is } = need.when;
    if (is === undefined ? !isFilled(option) : currentOf(option) !== is) continue;
    const any = need.any.some(isFilled) ? "" : "one of these is required";
    for (const name of need.any) needs.set(name, needs.get(name) || any);
    for (const name of need.all) needs.set(name, "required");
  }
  return needs;
}
