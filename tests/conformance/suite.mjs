// The suite, which is installed in the working directory.
import path from 'node:path'
import process from 'node:process'
import { pathToFileURL } from 'node:url'

/** Imports a module of a package in the working directory. */
export function load(file) {
  return import(pathToFileURL(path.join(process.cwd(), 'node_modules', file)))
}

/** All tests for caches that are no browsers. */
export async function suites() {
  const all = (await load('http-cache-tests/tests/index.mjs')).default
  const surrogate = (await load('http-cache-tests/tests/surrogate-control.mjs')).default
  return [...all, surrogate].map(suite => {
    return { ...suite, tests: suite.tests.filter(test => test.browser_only !== true) }
  })
}
