// The deliveries on the admin's start page, refreshed every two seconds while it is in sight.

const PAUSE_MS = 2000;
const ANSWER_MS = 10000;

const table = document.getElementById("state");
const count = (number) => number.toLocaleString("en");
const seconds = (number) => (number < 120 ? `${number.toFixed(1)} s` : `${count(Math.round(number / 60))} min`);

/** Returns the text of each cell. `before` is the previous answer, or null. */
function cells(now, before) {
  const isCut = now.pending >= now.most_counted;
  const swept = now.swept_seconds === null ? "no sweep yet" : `last sweep ${seconds(now.swept_seconds)} ago`;
  const names = now.workers?.length ? ` (${now.workers.join(", ")})` : "";
  const workers = now.workers ? `${now.workers.length} answer${names}` : "the broker does not answer";
  return {
    pending: isCut ? `${count(now.most_counted)} or more` : count(now.pending),
    failing: isCut ? `${count(now.failing)} of the first ${count(now.most_counted)}` : count(now.failing),
    oldest: now.oldest_seconds === null ? "none" : seconds(now.oldest_seconds),
    rate: before && now.at > before.at ? rate(now, before) : "…",
    workers: `${workers}; ${swept}`,
    flags: count(now.flags),
    admitted: `${count(now.admitted_slots)} of ${count(now.slots)}`,
  };
}

function rate(now, before) {
  const a_second = (name) => count(Math.round(Math.max(0, now[name] - before[name]) / (now.at - before.at)));
  return `${a_second("posted")} tweets posted, ${a_second("done")} fan-outs done a second`;
}

function show(error) {
  const note = document.getElementById("state-error");
  note.textContent = error;
  note.hidden = !error;
}

/** Returns the state. Throws an Error whose message is for the reader. */
async function ask() {
  const signal = AbortSignal.timeout(ANSWER_MS);
  const response = await fetch(table.dataset.address, { redirect: "manual", signal }).catch(() => null);
  if (response?.ok) return response.json();
  if (response?.type === "opaqueredirect") throw new Error("You are signed out. Reload the page.");
  throw new Error("The server does not answer. These figures are old.");
}

async function refresh(before) {
  let now = before;
  try {
    if (!document.hidden) {
      now = await ask();
      for (const [id, text] of Object.entries(cells(now, before))) document.getElementById(id).textContent = text;
      show("");
    }
  } catch (error) {
    show(error.message);
  }
  setTimeout(refresh, PAUSE_MS, now);
}

refresh(null);
