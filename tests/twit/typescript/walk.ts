// A script that uses the types generated from openapi.yml. test_clients.py compiles and runs it.

import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

type Tweet = components["schemas"]["Tweet"];
declare const process: { argv: string[] };

const baseUrl = process.argv[2] ?? "";
const stranger = createClient<paths>({ baseUrl });

function check(condition: unknown, problem: string): asserts condition {
  if (!condition) throw new Error(problem);
}

async function signIn(username: string) {
  const body = { username, password: `password of ${username}` };
  const { data, error } = await stranger.POST("/auth/login", { body });
  if (error) throw new Error(error.detail);
  const headers = { Authorization: `Bearer ${data.token}` };
  return { userId: data.userId, client: createClient<paths>({ baseUrl, headers }) };
}

// The query of the page that a Link header names, for openapi-fetch's `querySerializer`.
function linked(response: Response, relation: string): (() => string) | undefined {
  const link = response.headers.get("Link")?.match(`<([^>]*)>; rel="${relation}"`)?.[1];
  return link ? () => new URL(link).search : undefined;
}

// Sign up. A name can be taken only once.
const body = { username: "gus", password: "password of gus" };
check((await stranger.POST("/users", { body })).data?.username === "gus", "signed up");
const taken = await stranger.POST("/users", { body });
check(taken.error?.errors?.["username"]?.length === 1, "taken");
const gus = await signIn("gus");
check((await gus.client.GET("/me")).data?.id === gus.userId, "me");

// Follow somebody.
const alyssa = await signIn("alyssa");
const follow = { params: { path: { user_id: gus.userId, followed_id: alyssa.userId } } };
check((await gus.client.PUT("/users/{user_id}/followed/{followed_id}", follow)).response.ok, "follow");

// Post, and retry.
const posted: Tweet[] = [];
for (const key of ["ts-1", "ts-2", "ts-2", "ts-3"]) {
  const { data, error, response } = await alyssa.client.POST("/tweets", {
    params: { header: { "Idempotency-Key": key } },
    body: { message: key },
  });
  if (error) throw new Error(error.detail);
  if (response.headers.get("Idempotency-Replayed") !== "true") posted.unshift(data);
}
check(posted.map((tweet) => tweet.message).join() === "ts-3,ts-2,ts-1", "posted");

// Page through the newest three.
const found: Tweet[] = [];
let querySerializer: (() => string) | undefined = () => "limit=2";
while (querySerializer && found.length < posted.length) {
  const { data, error, response } = await stranger.GET("/tweets/user/{user_id}", {
    params: { path: { user_id: alyssa.userId } },
    querySerializer,
  });
  if (error) throw new Error(error.detail);
  found.push(...data);
  querySerializer = linked(response, "next");
}
check(JSON.stringify(found.slice(0, 3)) === JSON.stringify(posted), "paged");

// Poll until a new tweet arrives in the home timeline.
const timeline = (query: () => string) =>
  gus.client.GET("/tweets/followed/{user_id}", {
    params: { path: { user_id: gus.userId } },
    querySerializer: query,
  });
let poll = linked((await timeline(() => "")).response, "prev");
await alyssa.client.POST("/tweets", { body: { message: "news" } });
for (let arrived = false; !arrived; ) {
  check(poll, "a page has a link to newer ones");
  const { data, error, response } = await timeline(poll);
  if (error) throw new Error(error.detail);
  arrived = data.some((tweet) => tweet.message === "news");
  poll = linked(response, "prev") ?? poll;
  if (!arrived) await new Promise((resolve) => setTimeout(resolve, 100));
}

// Errors are typed.
const blank = await alyssa.client.POST("/tweets", { body: { message: " " } });
check(blank.error?.errors?.["message"]?.[0] === "This field may not be blank.", "blank");
const missing = await stranger.GET("/tweets/{tweet_id}", { params: { path: { tweet_id: "0" } } });
check(missing.response.status === 404 && missing.error?.detail === "There is no tweet 0.", "missing");
check(missing.error.errors === undefined, "no field is to blame");

// Delete, and sign out.
const path = { tweet_id: posted[0]?.id ?? "" };
const deleted = await alyssa.client.DELETE("/tweets/{tweet_id}", { params: { path } });
check(deleted.response.status === 204, "deleted");
const retried = await alyssa.client.POST("/tweets", {
  params: { header: { "Idempotency-Key": "ts-3" } },
  body: { message: "ts-3" },
});
check(retried.response.status === 410 && retried.error?.detail.includes("deleted"), "gone");
check((await alyssa.client.POST("/auth/logout")).response.status === 204, "signed out");
const refused = await alyssa.client.POST("/tweets", { body: { message: "x" } });
check(refused.response.status === 401 && refused.error, "refused");
console.log("walked");
