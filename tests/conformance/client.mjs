// Runs the suite against a cache that treats cookies like this and judges the results.
// `client.mjs URL refuse|share [--details]`
import { execFile } from 'node:child_process'
import fs from 'node:fs'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

import { load, suites } from './suite.mjs'

/** How often tests run again that should pass and do not: some leave a busy machine one second. */
const SECOND_CHANCES = 2

const here = file => fileURLToPath(new URL(file, import.meta.url))
const [url, setCookie, ...flags] = process.argv.slice(2)
const { determineTestResult } = await load('http-cache-tests/lib/display.mjs')
const all = await suites()
const results = {}

async function run(ids) {
  const { stdout } = await promisify(execFile)(process.execPath, ['--no-warnings', here('tests.mjs'), url, ...ids])
  Object.assign(results, JSON.parse(stdout))
}

function lines(file) {
  const text = fs.readFileSync(here(file), 'utf8')
  return text.split('\n').filter(line => line !== '' && !line.startsWith('#'))
}

const kind = test => test.kind ?? 'required'
const passes = test => ['✅', 'Y'].includes(determineTestResult(all, test.id, results)[2])
const scored = all.flatMap(suite => suite.tests).filter(test => kind(test) !== 'check')

function count(tests, wanted) {
  const counted = tests.filter(test => kind(test) === wanted)
  return { passed: counted.filter(passes).length, total: counted.length }
}

function show({ passed, total }) {
  return total === 0 ? '' : `${passed}/${total}`
}

function row(name, tests) {
  const cells = ['required', 'optimal', 'check'].map(wanted => show(count(tests, wanted)).padStart(10))
  return name.padEnd(20) + cells.join('')
}

function reason(test) {
  const result = results[test.id]
  return result === true ? 'depends on a test that fails' : result.join(': ')
}

/** A line that names a setting of cookies is about that one only. */
const counts = only => only === undefined || only === setCookie
const refused = lines('refusals.txt').map(line => /^(\S+?)(?: \[(\w+)\])?: (.*)$/.exec(line).slice(1))
const refusals = new Map(refused.filter(([, only]) => counts(only)).map(([id, , why]) => [id, why]))
const floors = lines('floor.txt').map(line => line.split(' '))
const floor = Object.fromEntries(floors.filter(([only]) => counts(only)).map(([, kind, least]) => [kind, least]))

await run([])
const unexpected = () => scored.filter(test => !passes(test) && !refusals.has(test.id))
for (let chance = 0; chance < SECOND_CHANCES && unexpected().length > 0; chance++) {
  const dependencies = unexpected().flatMap(test => test.depends_on ?? [])
  await run([...unexpected().map(test => test.id), ...dependencies.filter(id => results[id] !== true)])
}

console.log(`--set-cookie ${setCookie}`)
console.log(row('suite', []).trimEnd() + ['required', 'optimal', 'check'].map(name => name.padStart(10)).join(''))
for (const suite of all) console.log(row(suite.id, suite.tests))
console.log(row('all', all.flatMap(suite => suite.tests)))

const faults = []
for (const test of unexpected()) {
  faults.push(`${kind(test)} test ${test.id} fails, ${reason(test)}`)
}
for (const id of refusals.keys()) {
  const test = scored.find(test => test.id === id)
  if (test === undefined || passes(test)) faults.push(`${id} is among the refusals, and passes or is unknown`)
}
for (const wanted of ['required', 'optimal']) {
  const { passed } = count(scored, wanted)
  if (passed < Number(floor[wanted])) faults.push(`${passed} ${wanted} tests pass, fewer than ${floor[wanted]}`)
}

console.log('\nrequired tests that fail:')
for (const test of scored.filter(test => kind(test) === 'required' && !passes(test))) {
  console.log(`  ${test.id}: ${refusals.get(test.id) ?? 'UNEXPECTED'}`)
}
if (flags.includes('--details')) {
  console.log('\nall tests that fail:')
  for (const test of scored.filter(test => !passes(test))) {
    console.log(`  ${kind(test)} ${test.id}: ${reason(test)}`)
  }
}
if (faults.length > 0) {
  console.log('\nnot as it should be:')
  for (const fault of faults) console.log(`  ${fault}`)
}
console.log(`\n${scored.filter(passes).length} passed, ${faults.length} failed`)
process.exitCode = faults.length === 0 ? 0 : 1
