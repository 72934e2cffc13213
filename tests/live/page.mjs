// What a person does on the page, and what it says then.
import assert from "node:assert/strict";
import { chromium } from "playwright-core";
import { Live, isAlive, startRedis, until } from "./support.mjs";

const HERD = 90;

const tests = [];
const test = (name, run) => tests.push([name, run]);
/** What a Redis has no part in. */
const testOnce = (name, run) => test(name, async (page, live) => {
  if ((await live.state()).store === "memory") await run(page, live);
});

const text = (page, id) => page.locator(`#${id}`).textContent();
const number = async (page, id) => {
  const shown = await text(page, id);
  assert.match(shown, /^\d+$/, `#${id} is no number`);
  return Number(shown);
};
const explained = (page, words) => until(`a sentence with ${words}`, async () => words.test(await text(page, "explain")));
/** All requests, so many by now, have their answer, and the page shows it. */
const answered = (page, live, requests) => until(`${requests} answers`, async () => {
  const state = await live.state();
  return state.requests === requests && state.waiting === 0 && state.key.computing.length === 0 && await number(page, "requests") === requests && await number(page, "waiting") === 0 && state;
});
const reset = async page => {
  await page.click("#reset");
  await until("a page without requests", async () => await number(page, "requests") === 0);
};

test("a herd is one call, and the next one none", async (page, live) => {
  // By keyboard: the first thing to reach after Reset is the herd.
  await page.locator("#reset").focus();
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.id), "herd");
  await page.keyboard.press("Enter");
  await explained(page, /^Node [123] leads/);
  await until("the lane of the leader, and its node", async () =>
    await page.locator(".lanes .leads").count() === 1 && await page.locator(".node.leads").count() === 1);
  await answered(page, live, HERD);
  await explained(page, /^One call of the handler answered 90 requests/);
  assert.equal(await number(page, "handler-calls"), 1);
  await until("the lanes of those who wait", async () => await page.locator(".lanes .waits").count() === HERD - 1);
  assert.match(await text(page, "life"), /^Stored by node [123]/);

  await page.click("#herd");
  await answered(page, live, 2 * HERD);
  await explained(page, /^All 90 are hits/);
  assert.equal(await number(page, "hits"), HERD);
  assert.equal(await number(page, "handler-calls"), 1);
  const state = await live.state();
  assert.deepEqual([state.leads, state.waits, state.hits, state.failed], [1, HERD - 1, HERD, 0]);
  assert.ok(state.p50 < state.p99);
});

test("followers take over from a leader that is killed", async (page, live) => {
  const before = (await live.state()).nodes.map(node => node.pid);
  // So that there is time for it.
  await page.click("#slow");
  await page.click("#herd");
  await page.click("#kill-leader");
  // On a slow machine, the next one has taken over before the page says that one will.
  await explained(page, /while it computed.*a follower on another node takes over|^Node [123] takes over/);
  await until("the node that is down", async () => await page.locator(".node.down").count() === 1);
  await explained(page, /^Node [123] takes over: node [123] died/);
  await answered(page, live, HERD);
  await explained(page, /no client saw the crash/);
  const state = await live.state();
  assert.deepEqual([state["handler-calls"], state.failed], [2, 0]);
  await until("the node that was killed", async () => (await live.state()).nodes.every(node => node.up));
  const after = (await live.state()).nodes.map(node => node.pid);
  assert.equal(after.filter((pid, i) => pid !== before[i]).length, before[0] ? 1 : 0);
});

test("an invalidation while a node computes", async (page, live) => {
  await page.click("#slow");
  await page.click("#herd");
  await explained(page, /^Node [123] leads/);
  await page.click("#invalidate");
  await explained(page, /invalidated while nodes? [123] computed it/);
  const state = await answered(page, live, HERD);
  assert.equal(state.failed, 0);
  // What is stored now, if anything, is from after it.
  await page.click("#herd");
  await answered(page, live, 2 * HERD);
});

test("clicks in rapid succession are all counted", async (page, live) => {
  for (let i = 0; i < 8; i++) await page.click("#herd", { noWaitAfter: true });
  const state = await answered(page, live, 8 * HERD);
  assert.deepEqual([state["handler-calls"], state.leads, state.failed], [1, 1, 0]);
  assert.equal(state.waits + state.hits, 8 * HERD - 1);
  // However many there were, so many are shown.
  assert.equal(await page.locator(".lanes li").count(), HERD);
});

testOnce("without the layer each request is a call", async (page, live) => {
  await page.click("#herd-without");
  await explained(page, /^Without the layer 90 requests cost 90 calls/);
  const { without, requests } = await live.state();
  assert.deepEqual([requests, without.requests, without["handler-calls"]], [0, HERD, HERD]);
});

testOnce("a request past the layer, and a handler that fails", async (page, live) => {
  await page.click("#private");
  await explained(page, /no-store, so its request went past the layer/);
  assert.equal((await live.state()).bypass, 1);
  await page.click("#fail");
  await explained(page, /From now on the handler fails/);
  assert.equal(await page.getAttribute("#fail", "aria-pressed"), "true");
  await page.click("#herd");
  await explained(page, /^The handler failed, and 90 of 90 clients/);
  await answered(page, live, HERD + 1);
  await page.click("#fail");
  assert.equal((await live.state()).failed, HERD);
});

test("freezing and cutting Redis costs calls and no answers", async (page, live) => {
  if ((await live.state()).store === "memory") {
    await page.click("#freeze-redis");
    return explained(page, /There is no Redis here/);
  }
  let requests = 0;
  for (const button of ["freeze-redis", "cut-redis"]) {
    await page.click(`#${button}`);
    await explained(page, button === "freeze-redis" ? /^Redis is frozen/ : /^Redis is cut off/);
    await page.click("#herd");
    await page.click("#invalidate");
    const state = await answered(page, live, requests += HERD);
    assert.equal(state.failed, 0);
    assert.ok(state["handler-calls"] > 1);
    await page.click(`#${button}`);
    await explained(page, /^Redis answers again/);
  }
  await until("a herd of hits", async () => {
    await page.click("#herd");
    return (await answered(page, live, requests += HERD)).explain.startsWith("All 90 are hits");
  });
});

test("steady load is bounded, in the program and in the page", async (page, live) => {
  await page.click("#slow");
  await explained(page, /takes four seconds/);
  assert.equal(await page.getAttribute("#slow", "aria-pressed"), "true");
  await page.click("#slow");
  await page.click("#steady");
  const elements = () => page.evaluate(() => document.querySelectorAll("*").length);
  await until("the first hits", async () => await number(page, "hits") > 20);
  const before = [live.memory(), await elements()];
  await until("a hundred hits", async () => await number(page, "hits") > 120);
  const after = [live.memory(), await elements()];
  assert.equal(after[1], before[1]);
  assert.ok(after[0] < before[0] + 16, `${before[0]} MiB became ${after[0]}`);
  await page.click("#steady");
  assert.equal((await live.state())["handler-calls"], 1);
});

async function look(browser, live) {
  const errors = [];
  const open = async options => {
    const page = await (await browser.newContext(options)).newPage();
    page.setDefaultTimeout(20_000);
    page.on("pageerror", error => errors.push(error.message));
    await page.goto(live.url);
    await page.waitForSelector("#online:not(.off)");
    return page;
  };
  const page = await open({ viewport: { width: 1280, height: 860 } });
  const phone = await open({ viewport: { width: 360, height: 740 }, colorScheme: "dark", reducedMotion: "reduce" });
  return { page, phone, errors };
}

async function both(phone, live, page) {
  // The other browser saw the same, and nothing of it sticks out.
  await until("the same in both", async () => await text(phone, "explain") === await text(page, "explain") && await text(phone, "requests") === await text(page, "requests"));
  assert.equal(await phone.evaluate(() => document.documentElement.scrollWidth), 360);
  const dark = await phone.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  assert.notEqual(dark, await page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor));
  for (const button of await phone.locator(".panel button").all()) assert.ok((await button.boundingBox()).height >= 44);
  assert.equal(await phone.getAttribute("#explain", "aria-live"), "polite");
}

async function reconnects(page, live, flags) {
  const nodes = live.nodes();
  // Killed, so that it can see to nothing any more.
  await live.end("SIGKILL");
  await until("the end of its nodes", () => nodes.every(pid => !isAlive(pid)));
  await until("a page that says so", async () => await text(page, "online") === "reconnecting");
  const again = await Live.start("--listen", new URL(live.url).host, ...flags);
  await until("a page that is back", async () => await text(page, "online") === "live");
  assert.equal(await number(page, "requests"), 0);
  assert.equal(await again.end("SIGTERM"), 0);
}

async function all(browser, flags) {
  const live = await Live.start(...flags);
  const { page, phone, errors } = await look(browser, live);
  for (const [name, run] of tests) {
    const started = Date.now();
    try {
      await run(page, live);
      await both(phone, live, page);
      await reset(page);
    } catch (error) {
      console.error(`${flags[0] ?? "--memory"}: ${name}: failed; the page says: ${await text(page, "explain")}`);
      console.error(JSON.stringify(await live.state().catch(() => "no state")));
      throw error;
    }
    console.log(`${flags[0] ?? "in one process"}: ${name}: ok, ${Date.now() - started} ms`);
  }
  await reconnects(page, live, flags);
  assert.deepEqual(errors, []);
}

const browser = await chromium.launch({ executablePath: process.env.MEMOLOCK_CHROMIUM, args: ["--no-sandbox"] });
const redis = await startRedis();
try {
  // Most of it is waiting, so both go on at once.
  await Promise.all([all(browser, []), all(browser, ["--redis", redis.url])]);
} finally {
  await browser.close();
}
process.exit(0);
