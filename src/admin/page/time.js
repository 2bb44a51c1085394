// Times in words, by the node's clock: that of the browser may be wrong.

const DAY = 86400;

/** How far the node's clock is ahead of the browser's, in seconds. */
let ahead = 0;

function setNow(now) {
  ahead = now - Date.now() / 1000;
}

function nodeNow() {
  return Date.now() / 1000 + ahead;
}

/** A time span in one unit, the largest that is exact enough. */
function span(seconds) {
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  if (seconds < 2 * DAY) return `${Math.round(seconds / 3600)} h`;
  return `${numbers.format(Math.floor(seconds / DAY))} d`;
}

function relative(at) {
  const difference = at - nodeNow();
  if (Math.abs(difference) < 1) return "now";
  return difference < 0 ? `${span(-difference)} ago` : `in ${span(difference)}`;
}

/** `2026-11-27 03:12:05 UTC`; null where no calendar has the time. */
function absolute(at) {
  const date = new Date(at * 1000);
  return Number.isNaN(date.getTime()) ? null : `${date.toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

const WORDS = {
  relative,
  age: (at) => span(Math.max(0, nodeNow() - at)),
  date: (at) => (absolute(at) ?? "never").slice(0, 16),
  brief: (at) => {
    const exact = absolute(at) ?? "";
    return exact.slice(0, 10) === absolute(nodeNow()).slice(0, 10) ? exact.slice(11, 19) : exact.slice(0, 10);
  },
  clock: (at) => (absolute(at) ?? "").slice(11, 19),
};

/** A time in words that go on being right: see `retime`. The exact time is in `datetime` and in the tooltip. */
function time(at, words = "relative") {
  const exact = absolute(at);
  return el("time", {
    datetime: exact && new Date(at * 1000).toISOString(),
    title: exact,
    "data-at": at,
    "data-words": words,
    text: WORDS[words](at),
  });
}

/** Both, for where there is room: "3 min ago" and the time of today, or the day. */
function timeTwice(at) {
  return [time(at), el("span", { class: "sub" }, time(at, "brief"))];
}

/** Brings the words of all times up to date. */
function retime(root = document) {
  for (const node of root.querySelectorAll("time[data-at]")) {
    setText(node, WORDS[node.dataset.words](Number(node.dataset.at)));
  }
}

/** What stands where there is no time. */
function never(text = "never") {
  return el("span", { class: "muted", text });
}
