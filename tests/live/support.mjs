// Programs of the test's own, all of them gone when it is.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, readdirSync } from "node:fs";
import { createServer } from "node:net";
import { createInterface } from "node:readline";

/** Longer than anything here takes on a slow and busy machine. */
const PATIENCE = 30_000;

const children = new Set();
process.on("exit", () => children.forEach(child => child.kill("SIGKILL")));

/** Waits until something outside this process, which can only be asked, has come true; gives what that is. */
export async function until(what, ask) {
  const end = Date.now() + PATIENCE;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    if (Date.now() > end) throw new Error(`${what}: not within ${PATIENCE} ms`);
    await new Promise(resolve => setTimeout(resolve, 50));
  }
}

export async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

/** A program of ours, or one that we need. */
export function start(program, args) {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"] });
  children.add(child);
  child.once("exit", () => children.delete(child));
  return child;
}

/** A redis-server that keeps nothing on disk. */
export async function startRedis() {
  const port = await freePort();
  const child = start("redis-server", ["--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
  for await (const line of createInterface(child.stdout)) {
    if (line.includes("Ready to accept connections")) break;
  }
  child.stdout.resume();
  return { url: `redis://127.0.0.1:${port}`, child };
}

/** The program under test. */
export class Live {
  static async start(...flags) {
    const live = new Live();
    live.child = start(process.env.MEMOLOCK_LIVE, flags.includes("--listen") ? flags : ["--listen", "127.0.0.1:0", ...flags]);
    for await (const line of createInterface(live.child.stdout)) {
      live.url = line.match(/^listening on (http:.*)/)?.[1];
      if (live.url) break;
    }
    if (!live.url) throw new Error("the program ended before it listened");
    return live;
  }

  async state() {
    return (await fetch(`${this.url}/api/state`)).json();
  }

  async end(signal) {
    const ended = once(this.child, "exit");
    this.child.kill(signal);
    return (await ended)[0];
  }

  /** The processes that it has started. */
  nodes() {
    return readdirSync("/proc").filter(pid => /^\d+$/.test(pid) && parent(pid) === this.child.pid).map(Number);
  }

  /** The memory that it and its nodes hold, in MiB. */
  memory() {
    const of = pid => Number(readFileSync(`/proc/${pid}/status`, "utf8").match(/VmRSS:\s+(\d+)/)?.[1] ?? 0);
    return [this.child.pid, ...this.nodes()].map(of).reduce((a, b) => a + b) / 1024;
  }
}

export function isAlive(pid) {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

function parent(pid) {
  try {
    return Number(readFileSync(`/proc/${pid}/status`, "utf8").match(/PPid:\s+(\d+)/)?.[1]);
  } catch {
    return undefined;
  }
}
