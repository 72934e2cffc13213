// Runs tests of the suite and prints their results as JSON. `tests.mjs URL [ID...]`: all of them, or these.
//
// A process for each run, because the suite writes the dates of a run into the definitions of its tests.
import process from 'node:process'

import { load, suites } from './suite.mjs'

// Not more at once than a busy machine gets done within the second that some tests leave.
const AT_ONCE = 60

const [url, ...ids] = process.argv.slice(2)
const fetch = (await load('node-fetch/lib/index.js')).default
const config = await load('http-cache-tests/client/config.mjs')
const { makeCacheTest, testResults } = await load('http-cache-tests/client/test.mjs')

config.setFetch(fetch)
config.setBaseUrl(url)
config.setUseBrowserCache(false)
const tests = (await suites())
  .flatMap(suite => suite.tests)
  .filter(test => ids.length === 0 || ids.includes(test.id))
for (let from = 0; from < tests.length; from += AT_ONCE) {
  await Promise.all(tests.slice(from, from + AT_ONCE).map(makeCacheTest))
}
console.log(JSON.stringify(testResults))
