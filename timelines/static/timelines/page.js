// The page at "/": a client of Twit's API, without a framework or a build step. In this order:
// requests, the stream, the timeline, posting, people, and who reads.
//
// Text from the API only ever becomes textContent, never HTML.

/** @typedef {{id: string, userId: string, userName: string, message: string, createdAt: string}} Tweet */
/** @typedef {{id: string, username: string}} User */

const MESSAGE_LENGTH = 280; // code points
const ATTEMPTS = 3;
const PATIENCE_SECONDS = 5; // the user decides whether to wait longer
const SILENCE_SECONDS = 45; // the server sends a heartbeat more often
const LONGEST_PAUSE_SECONDS = 30;

const $ = (id) => document.getElementById(id);
const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));

let isOpen = false; // whether the API lets anybody act as anybody
/** @type {{user: User, token?: string} | null} Who reads. */
let session = null;

// Requests

/** Returns the response. Waits and tries again if the API asks for that. Throws the API's error. */
async function call(method, path, { body, key, signal } = {}) {
  const headers = {};
  if (session?.token) headers.Authorization = `Bearer ${session.token}`;
  if (body) headers["Content-Type"] = "application/json";
  if (key) headers["Idempotency-Key"] = key;
  // Cookies are omitted, so that a session of the admin has no effect.
  const request = { method, headers, signal, body: JSON.stringify(body), credentials: "omit" };
  for (let attempt = 1; ; attempt++) {
    const response = await fetch(path, request).catch((error) => {
      if (error.name === "AbortError") throw error;
      throw new Error("The server does not answer.");
    });
    if (response.ok) return response;
    const { status } = response;
    const { detail } = await response.json().catch(() => ({}));
    const retryAfter = Number(response.headers.get("Retry-After")); // seconds, 0 without it
    const mayPass = [429, 502, 503, 504].includes(status);
    if (attempt === ATTEMPTS || !mayPass || retryAfter > PATIENCE_SECONDS) {
      const error = new Error(detail ?? `The server answered ${status}.`);
      throw Object.assign(error, { status, mayPass, retryAfter });
    }
    await sleep(retryAfter);
  }
}

const get = async (path) => (await call("GET", path)).json();

/** Returns the addresses in a response's Link header by their rel, without scheme and host. */
function linksOf(response) {
  const links = {};
  const header = response.headers.get("Link") ?? "";
  for (const [, address, rel] of header.matchAll(/<([^>]*)>; rel="(\w+)"/g)) {
    const { pathname, search } = new URL(address);
    links[rel] = pathname + search;
  }
  return links;
}

/** Shows an error. A 401 leads back to the sign-in. */
function complain(error) {
  if (error.name === "AbortError") return; // the user has moved on
  const wait = error.retryAfter > PATIENCE_SECONDS ? ` Retry in ${error.retryAfter} s.` : "";
  $("alert").textContent = error.message + wait;
  if (error.status === 401 && session) leave(error.message);
}

/** Runs what the user asked for, and shows its error. */
function act(work) {
  $("alert").textContent = "";
  work().catch(complain);
}

// The stream

/**
 * Yields the blocks of an event stream, as objects of their fields. Chunks may end anywhere, even
 * inside a character. (The browser's own EventSource can't send a token.) Exported for its test.
 */
export async function* blocks(response, heard) {
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  let block = {};
  for (let chunk; !(chunk = await reader.read()).done; ) {
    heard();
    const lines = (rest + decoder.decode(chunk.value, { stream: true })).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      const [, name, value] = line.match(/^([^:\r]*):? ?(.*?)\r?$/);
      if (name) block[name] = name === "data" && block.data ? `${block.data}\n${value}` : value;
      else if (!line.startsWith(":")) {
        yield block;
        block = {};
      }
    }
  }
}

/** Shows what arrives until the connection ends. Throws if it fails or is silent for too long. */
async function stream(timeline, opened) {
  const silence = new AbortController();
  let timer;
  const heard = () => {
    clearTimeout(timer);
    timer = setTimeout(() => silence.abort(), 1000 * SILENCE_SECONDS);
  };
  heard();
  try {
    const signal = AbortSignal.any([timeline.closing.signal, silence.signal]);
    const after = encodeURIComponent(timeline.cursor);
    const response = await call("GET", `${timeline.path}/stream?after=${after}`, { signal });
    opened();
    for await (const { id, retry, event, data } of blocks(response, heard)) {
      if (event === "tweet") arrive(JSON.parse(data));
      if (event === "gone") remove(JSON.parse(data).id);
      if (id) timeline.cursor = id; // only now, so that an event that was lost is sent again
      if (retry) timeline.retrySeconds = retry / 1000;
    }
  } finally {
    clearTimeout(timer);
  }
}

/** Loads a timeline and keeps it up to date. Retries after failures that may pass. */
async function keepUp(timeline) {
  const { signal } = timeline.closing;
  for (let failures = 0; !signal.aborted; failures++) {
    let leastSeconds = 0;
    try {
      if (!timeline.cursor) await load(timeline, timeline.path);
      if (!timeline.isHome) return;
      await stream(timeline, () => {
        if (failures) $("alert").textContent = "";
        failures = 0;
        showState("live");
      });
    } catch (error) {
      if (signal.aborted) return;
      showState("not live");
      if (error.status && !error.mayPass) throw error;
      if (error.status) complain(error);
      leastSeconds = error.retryAfter ?? 0;
    }
    if (signal.aborted) return;
    showState("reconnecting …");
    // Pauses are random and grow, so that a server that restarts is not flooded with requests.
    const longest = Math.min(timeline.retrySeconds * 2 ** failures, LONGEST_PAUSE_SECONDS);
    await sleep(Math.max(leastSeconds, longest * (0.5 + Math.random() / 2)));
  }
}

function showState(text) {
  $("state").textContent = text;
  $("state").classList.toggle("live", text === "live");
}

// The timeline

let shown = null; // the timeline on the page

/** Shows the reader's home timeline, or the tweets that the reader has posted. */
function show(isHome) {
  shown?.closing.abort();
  shown = {
    isHome,
    path: `/tweets/${isHome ? "followed" : "user"}/${session.user.id}`,
    closing: new AbortController(),
    cursor: null, // where the stream goes on
    next: null, // the address of the next older page
    retrySeconds: 3,
    held: new Map(), // new tweets, which would move what the user reads
    gone: new Set(), // ids of deleted tweets, which a page that is under way may still have
  };
  $("home-view").ariaPressed = isHome;
  $("own-view").ariaPressed = !isHome;
  showState(isHome ? "connecting …" : "");
  $("latency").textContent = "";
  showHeld();
  keepUp(shown).catch(complain);
}

/** Adds a page of tweets. The first one replaces what was shown before. */
async function load(timeline, path) {
  const { signal } = timeline.closing;
  const response = await call("GET", path, { signal });
  const tweets = await response.json();
  signal.throwIfAborted();
  const { next, prev } = linksOf(response);
  if (!timeline.cursor) $("tweets").replaceChildren();
  timeline.cursor ??= new URLSearchParams(prev.split("?")[1]).get("after");
  timeline.next = next;
  for (const tweet of tweets) insert(tweet);
  if (!next && document.activeElement === $("older")) $("title").focus();
  $("older").hidden = !next;
  $("end").hidden = Boolean(next);
  // Have the observer look again, because the button may still be in sight.
  bottom.unobserve($("older"));
  bottom.observe($("older"));
}

/** Loads the next older page, once. */
async function loadOlder() {
  const timeline = shown;
  const { next } = timeline;
  if (!next) return;
  timeline.next = null;
  await load(timeline, next).catch((error) => {
    timeline.next = next;
    throw error;
  });
}

const itemOf = (id) => document.querySelector(`#tweets > [data-id="${id}"]`);

/** Shows a tweet in its place, ids descending, unless it is there already or has been deleted. */
function insert(tweet) {
  if (shown.gone.has(tweet.id) || itemOf(tweet.id)) return;
  const isOlder = (item) => BigInt(item.dataset.id) < BigInt(tweet.id);
  $("tweets").insertBefore(tweetItem(tweet), [...$("tweets").children].find(isOlder) ?? null);
  itemOf(tweet.id).classList.toggle("fresh", shown.held.has(tweet.id));
}

function tweetItem(tweet) {
  const item = newItem("tweet", tweet.id, tweet.userId, tweet.userName);
  const created = new Date(tweet.createdAt);
  const isToday = created.toDateString() === new Date().toDateString();
  const style = isToday ? { timeStyle: "short" } : { dateStyle: "medium" };
  item.querySelector("time").dateTime = tweet.createdAt;
  item.querySelector("time").title = created.toLocaleString();
  item.querySelector("time").textContent = created.toLocaleString([], style);
  item.querySelector(".message").textContent = tweet.message;
  const button = item.querySelector("button");
  button.hidden = !isOpen && tweet.userId !== session.user.id;
  button.ariaLabel = `Delete “${tweet.message}”`;
  button.onclick = () =>
    act(async () => {
      await call("DELETE", `/tweets/${tweet.id}`);
      remove(tweet.id);
    });
  return item;
}

/** Returns a list's item from a template, with a user's name and colour. */
function newItem(template, id, userId, name) {
  const item = $(template).content.firstElementChild.cloneNode(true);
  item.dataset.id = id;
  item.querySelector(".name").textContent = name;
  item.querySelector(".avatar").textContent = [...name][0].toUpperCase();
  item.querySelector(".avatar").style.setProperty("--hue", (Number(userId) * 137) % 360);
  return item;
}

/** Removes a tweet, and moves the focus to a neighbour if it was there. */
function remove(id) {
  shown.gone.add(id);
  shown.held.delete(id);
  showHeld();
  if (watched === id) watch(null);
  const item = itemOf(id);
  if (item?.contains(document.activeElement)) {
    (item.nextElementSibling ?? item.previousElementSibling ?? $("title")).focus();
  }
  item?.remove();
}

/** Shows a streamed tweet, or holds it while the user reads further down. */
function arrive(tweet) {
  // By this device's clock, whose error it includes.
  const milliseconds = Math.max(0, Date.now() - Date.parse(tweet.createdAt));
  $("latency").textContent = `last tweet after ${milliseconds.toLocaleString()} ms`;
  if (itemOf(tweet.id)) return;
  $("announcement").textContent = `New tweet by ${tweet.userName}: ${tweet.message}`;
  shown.held.set(tweet.id, tweet);
  const isAtTop = $("title").getBoundingClientRect().top >= 0;
  isAtTop ? insertHeld() : showHeld();
}

function insertHeld() {
  for (const tweet of shown.held.values()) insert(tweet);
  shown.held.clear();
  showHeld();
}

function showHeld() {
  const { size } = shown.held;
  $("show-held").hidden = size === 0;
  $("show-held").textContent = `Show ${size} new ${size === 1 ? "tweet" : "tweets"}`;
}

// Posting

let key = null; // the Idempotency-Key of what is in the form, once it has been sent
let watched = null; // the id of the tweet whose delivery is shown

async function post() {
  const message = $("message").value;
  const body = isOpen ? { message, userId: $("author").value } : { message };
  // Not crypto.randomUUID(), which browsers offer only over HTTPS or on localhost.
  key ??= crypto.getRandomValues(new Uint32Array(4)).join("-");
  const response = await call("POST", "/tweets", { body, key }).catch((error) => {
    if (error.status === 410) key = null; // posted, and deleted since: the next try is a new tweet
    throw error;
  });
  const tweet = await response.json();
  if ($("message").value === message) $("message").value = "";
  changeDraft();
  if (!shown.isHome && tweet.userId === session.user.id) insert(tweet);
  await watch(tweet.id);
}

/** Counts what is left, and forgets the key of what was in the form before. */
function changeDraft() {
  key = null;
  const left = MESSAGE_LENGTH - [...$("message").value.trim()].length;
  $("left").textContent = left;
  $("left").classList.toggle("over", left < 0);
  $("message").setCustomValidity(left < 0 ? `Please shorten it by ${-left}.` : "");
}

/** Shows how many followers a tweet has reached until all have been. With null, shows nothing. */
async function watch(id) {
  watched = id;
  $("delivery").hidden = true;
  for (let seconds = 0.1; id && watched === id; seconds = Math.min(2 * seconds, 5)) {
    const { isDone, followers, reached } = await get(`/tweets/${id}/delivery`);
    if (watched !== id) return;
    $("delivery").hidden = false;
    $("progress").value = isDone ? 1 : reached / followers || 0;
    $("reached").textContent = `${reached} of ${followers} followers reached`;
    if (isDone) return;
    await sleep(seconds);
  }
}

// People

const followed = new Set(); // ids, as far as they are listed: following somebody twice is harmless

/** Adds a page of users to a list, and leads the list's button to the next page. */
async function list(id, path, toItem) {
  const response = await call("GET", path);
  const { next } = linksOf(response);
  $(id).append(...(await response.json()).map(toItem));
  $(`${id}-more`).hidden = !next;
  $(`${id}-more`).onclick = () => act(() => list(id, next, toItem));
}

/** Returns a person's item, whose button has this label and does this work. */
function personItem(user, label, work) {
  addAuthor(user);
  const item = newItem("person", user.id, user.id, user.username);
  labelPerson(item, label, user);
  item.querySelector("button").onclick = () => act(() => work(user));
  return item;
}

function labelPerson(item, label, { id, username }) {
  const button = item.querySelector("button");
  button.hidden = id === session?.user.id;
  button.textContent = label;
  button.ariaLabel = `${label} ${username}`;
}

const followLabel = ({ id }) => (followed.has(id) ? "Unfollow" : "Follow");
const followItem = (user) => personItem(user, followLabel(user), toggleFollow);

/** Follows or unfollows, and loads the timeline again: older tweets come or go. */
async function toggleFollow(user) {
  const isFollowed = followed.has(user.id);
  const path = `/users/${session.user.id}/followed/${user.id}`;
  await call(isFollowed ? "DELETE" : "PUT", path);
  if (isFollowed) followed.delete(user.id);
  else followed.add(user.id);
  // An unfollowed user stays listed, so that the focus is kept and the user can undo it.
  const isHere = $("followed").querySelector(`[data-id="${user.id}"]`);
  if (!isHere) $("followed").prepend(followItem(user));
  for (const item of document.querySelectorAll(`.people > [data-id="${user.id}"]`)) {
    labelPerson(item, followLabel(user), user);
  }
  show(shown.isHome);
}

async function listPeople() {
  const path = `/users/${session.user.id}`;
  await list("followed", `${path}/followed?limit=200`, (user) => {
    followed.add(user.id);
    return followItem(user);
  });
  await list("followers", `${path}/followers?limit=200`, followItem);
}

/** Returns the user with the name in that input. Throws if there is none. */
async function userNamedIn(input) {
  const [user] = await get(`/users?username=${encodeURIComponent($(input).value)}`);
  if (!user) throw new Error(`Nobody has the name ${$(input).value}.`);
  return user;
}

function addAuthor({ id, username }) {
  const isThere = [...$("author").options].some((option) => option.value === id);
  if (!isThere) $("author").add(new Option(username, id));
}

// Who reads

/** Shows what a user reads. Without a token the API has to be open. */
async function enter(user, token) {
  session = { user, token };
  sessionStorage.twit = JSON.stringify(session); // for this tab, until it is closed
  $("entrance").hidden = true;
  $("app").hidden = $("who").hidden = false;
  $("reader").textContent = user.username;
  $("leave").textContent = isOpen ? "Switch user" : "Sign out";
  $("post-as").hidden = !isOpen;
  addAuthor(user);
  $("author").value = user.id;
  changeDraft();
  show(true);
  $("main").focus({ preventScroll: true });
  await listPeople();
}

async function signIn() {
  const body = { username: $("username").value, password: $("password").value };
  const { token, userId } = await (await call("POST", "/auth/login", { body })).json();
  $("password").value = "";
  await enter(await get(`/users/${userId}`), token);
}

async function signOut() {
  shown.closing.abort(); // before the server ends the stream of a revoked token
  try {
    if (session.token) await call("POST", "/auth/logout");
    leave("");
  } catch (error) {
    show(shown.isHome);
    throw error;
  }
}

/** Ends the session, and reloads the page so that it forgets everything. */
function leave(reason) {
  delete sessionStorage.twit;
  sessionStorage.reason = reason;
  location.reload();
}

/** Restores the session from before a reload, or asks who reads. */
async function start() {
  $("alert").textContent = sessionStorage.reason ?? "";
  delete sessionStorage.reason;
  ({ isOpen } = await get("/"));
  if (isOpen) await list("choices", "/users", (user) => personItem(user, "Choose", () => enter(user)));
  const kept = JSON.parse(sessionStorage.twit ?? "null");
  if (kept && Boolean(kept.token) !== isOpen) return enter(kept.user, kept.token);
  $("entrance").hidden = false;
  $(isOpen ? "choice" : "sign-in").hidden = false;
  $(isOpen ? "choice-title" : "username").focus();
}

// What the user does

function onSubmit(form, work) {
  $(form).onsubmit = (event) => {
    event.preventDefault();
    act(work);
  };
}

onSubmit("sign-in", signIn);
onSubmit("look-up", async () => enter(await userNamedIn("look-up-name")));
onSubmit("find", async () => $("found").replaceChildren(followItem(await userNamedIn("find-name"))));
onSubmit("compose", post);
$("message").oninput = $("author").onchange = changeDraft;
$("home-view").onclick = () => act(async () => show(true));
$("own-view").onclick = () => act(async () => show(false));
$("older").onclick = () => act(loadOlder);
$("leave").onclick = () => act(signOut);
$("show-held").onclick = () => {
  insertHeld();
  $("tweets").firstElementChild.focus();
};

const bottom = new IntersectionObserver(
  ([{ isIntersecting }]) => isIntersecting && loadOlder().catch(complain),
  { rootMargin: "300px" },
);
$("people").open = matchMedia("(min-width: 56rem)").matches;
start().catch(complain);
