// The admin page of the `reverse_proxy` as operators have it before them, and what pages of other sites can do to it.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";
import { start, until } from "./support.mjs";

/** Serves on a free port. */
async function serve(answer) {
  const server = createServer(answer).listen(0, "127.0.0.1");
  await once(server, "listening");
  return `http://127.0.0.1:${server.address().port}`;
}

let calls = 0;
const upstream = await serve((request, response) => {
  response.setHeader("cache-control", "max-age=600");
  response.end(String(++calls));
});

const flags = ["--listen", "127.0.0.1:0", "--upstream", upstream, "--admin", "127.0.0.1:0"];
const proxy = start(process.env.MEMOLOCK_PROXY, flags);
let url, admin;
for await (const line of createInterface(proxy.stdout)) {
  url ??= line.match(/^listening on (http:.*)/)?.[1];
  admin ??= line.match(/^admin on (http:.*)/)?.[1];
  if (url && admin) break;
}
proxy.stdout.resume();
const get = async path => (await fetch(url + path)).text();

const browser = await chromium.launch({ executablePath: process.env.MEMOLOCK_CHROMIUM, args: ["--no-sandbox"] });
const open = async (address, options = {}) => {
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 }, ...options });
  page.complaints = [];
  page.on("console", message => page.complaints.push(message.text()));
  page.on("pageerror", error => page.complaints.push(String(error)));
  page.on("dialog", async dialog => {
    page.complaints.push(`dialog: ${dialog.message()}`);
    await dialog.accept();
  });
  await page.goto(address);
  return page;
};
const said = page => page.textContent("#said");

const tests = {
  async "a URL is invalidated by hand, and the page goes on by itself"() {
    const before = await get("/report/42");
    assert.equal(await get("/report/42"), before);
    const page = await open(`${admin}/`);
    await page.fill("#what", "/report/42");
    await page.keyboard.press("Enter");
    await until("the answer", async () => /^Invalidated on every node/.test(await said(page)));
    const after = await get("/report/42");
    assert.notEqual(after, before);
    await get("/shows/up/by/itself");
    await until("the key", async () => (await page.textContent("main")).includes("/shows/up/by/itself"));
    await page.click("button[name=tag]");
    await page.fill("#what", "");
    await page.click("button[name=tag]");
    await until("the sentence", async () => (await said(page)).includes("at least one character"));
    // The browser itself tells of the refusal.
    assert.deepEqual(page.complaints.filter(text => !text.includes("400")), []);
    await page.click("button[name=all]");
    await until("the answer", async () => /^Invalidated on every node/.test(await said(page)));
    assert.notEqual(await get("/report/42"), after);
  },

  async "it fits a phone and a desk, by day and by night"() {
    await get(`/a/${"long/".repeat(40)}path?${"x=1&".repeat(40)}`);
    for (const width of [360, 1280]) {
      for (const colorScheme of ["light", "dark"]) {
        const page = await open(`${admin}/`, { viewport: { width, height: 800 }, colorScheme });
        assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${width} px`);
        assert.deepEqual(page.complaints, []);
      }
    }
  },

  async "a key is text"() {
    // A browser encodes what a client of another kind sends as it is.
    const { connect } = await import("node:net");
    const { hostname, port } = new URL(url);
    const socket = connect(Number(port), hostname);
    socket.end("GET /%3Cb%3E?<script>alert(1)</script>='\"><img/src=x/onerror=alert(2)> HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    await once(socket.resume(), "close");
    await get("/?<script>alert(3)</script>");
    const page = await open(`${admin}/`);
    await until("the key", async () => (await page.textContent("main")).includes("alert"));
    assert.equal(await page.locator("main script, main img, main b").count(), 0);
    assert.deepEqual(page.complaints, []);
  },

  async "a page of another site changes and reads nothing"() {
    const before = await get("/report/43");
    const other = await serve((request, response) => {
      response.setHeader("content-type", "text/html");
      response.end(`<form method="post" action="${admin}/invalidate?all=1"></form>`);
    });
    const page = await open(other);
    const read = await page.evaluate(async admin => {
      await fetch(`${admin}/invalidate?url=/report/43`, { method: "POST", mode: "no-cors" }).catch(() => {});
      return fetch(`${admin}/state.json`).then(() => "read", () => "refused");
    }, admin);
    assert.equal(read, "refused");
    await Promise.all([page.waitForNavigation(), page.evaluate(() => document.forms[0].submit())]);
    assert.match(await page.textContent("body"), /not taken from a page of another site/);
    assert.equal(await get("/report/43"), before);
  },
};

let failed = 0;
for (const [name, run] of Object.entries(tests)) {
  try {
    await run();
    console.log(`ok      ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED  ${name}\n${error.stack}`);
  }
}
await browser.close();
process.exit(failed && 1);
