// SPDX-License-Identifier: Apache-2.0
// npm test [-- LEVEL... | FILE...]: the checks, the tests of test/, the recordings, and whether anything is left behind.
import { spawnSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { leftovers, markRun } from './leftovers.ts';

const usage = `usage: npm test [-- [--repeat N] LEVEL... | FILE...]
LEVEL is a folder of test/ (unit, bpf, netns, cluster), "checks" (types, lint, generated files) or "oracle"; all of them if none is given.
`;

/** What takes minutes runs whole with it, else shortened (`isWhole` of test/lib/cluster/cluster-lab.ts). */
const isWhole = process.env.BPVS_E2E !== undefined;

/** Of one test; a file that says nothing for longer, as it does where something keeps its process alive, is killed. */
const testTimeoutMs = isWhole ? 300_000 : 120_000;
const silenceMs = testTimeoutMs + 30_000;
const cleanupMs = 10_000;
/** Whose files run side by side: each has its own maps and programs, if any. Labs share the kernel's network. */
const levelsSideBySide = ['unit', 'bpf'];
const totals = { passed: 0, failed: 0, skipped: 0 };
const failures: string[] = [];
/** What failed, and passed when its file was run once more. */
const failedAtFirst: string[] = [];
const maxFilesAgain = 3;
const skipReasons = new Map<string, number>();

process.chdir(fileURLToPath(new URL('..', import.meta.url)));
process.env.PATH = `${process.cwd()}/node_modules/.bin:${process.env.PATH}`;
process.exitCode = await main();

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    options: { repeat: { type: 'string', default: '1' }, help: { type: 'boolean', short: 'h' } },
    allowPositionals: true,
  });
  const suites = [...byLevel()].map(([level, files]) => ({ level, run: () => runFiles(level, files) }));
  const all = [{ level: 'checks', run: runChecks }, ...suites, { level: 'oracle', run: runOracle }];
  const levels = all.map(({ level }) => level);
  const files = positionals.filter((word) => word.endsWith('.ts'));
  if (values.help || positionals.some((word) => !levels.includes(word) && !files.includes(word))) {
    process.stderr.write(usage);
    return 2;
  }
  markRun();
  const before = new Set(leftovers());
  const chosen = positionals.length === 0 ? all : all.filter(({ level }) => positionals.includes(level));
  for (let round = 0; round < Number(values.repeat); round++) {
    for (const { run } of chosen) await run();
    if (files.length > 0) await runFiles('files', files);
  }
  const left = await leftSince(before);
  count('nothing is left behind', left.length === 0, left.join(', '));
  return report();
}

/** Grants some time: another run of the tests may be cleaning up after itself. */
async function leftSince(before: ReadonlySet<string>): Promise<readonly string[]> {
  for (const deadline = performance.now() + cleanupMs; ; await setTimeout(200)) {
    const left = leftovers().filter((each) => !before.has(each));
    if (left.length === 0 || performance.now() > deadline) return left;
  }
}

/** The test files of each folder of test/, in the order in which they are run: what fails first explains the rest. */
function byLevel(): Map<string, string[]> {
  const order = ['unit', 'bpf', 'scenario', 'netns', 'cluster'];
  const files = globSync('test/*/**/*.test.ts').sort();
  const grouped = Map.groupBy(files, (file) => file.split('/')[1] ?? '');
  return new Map([...grouped].sort(([a], [b]) => order.indexOf(a) - order.indexOf(b)));
}

/** What came of a file's tests. */
interface Outcome {
  passed: number;
  readonly failures: string[];
  readonly skipReasons: string[];
}

/**
 * Beyond units, few files that fail are run once more, alone, as they may have been starved of their machine; what passes only then
 * is named in the summary.
 */
async function runFiles(level: string, files: readonly string[]): Promise<void> {
  heading(level);
  const outcomes = await runOnce(files, levelsSideBySide.includes(level) ? availableParallelism() : 1);
  const failed = [...outcomes].filter(([, { failures }]) => failures.length > 0).map(([file]) => file);
  // A test that a file of test/lib defines is said to be of that file, which is none to run.
  const mayRunAgain = failed.length <= maxFilesAgain && failed.every((file) => files.includes(file));
  if (level !== 'unit' && mayRunAgain) {
    for (const file of failed) {
      heading(`once more: ${file}`);
      const first = outcomes.get(file)?.failures ?? [];
      const second = (await runOnce([file], 1)).get(file);
      if (second?.failures.length === 0) {
        failedAtFirst.push(...first);
        outcomes.set(file, second);
      }
    }
  }
  for (const { passed, failures: own, skipReasons } of outcomes.values()) {
    totals.passed += passed;
    totals.failed += own.length;
    failures.push(...own);
    skipReasons.forEach(countSkip);
  }
}

/** @returns by file */
async function runOnce(files: readonly string[], concurrency: number): Promise<Map<string, Outcome>> {
  const outcomes = new Map<string, Outcome>();
  const abort = new AbortController();
  const watchdog = globalThis.setTimeout(() => abort.abort(), silenceMs);
  const events = run({ files: [...files], concurrency, timeout: testTimeoutMs, signal: abort.signal });
  const outcomeOf = (path: string) => {
    const file = path.replace(`${process.cwd()}/`, '');
    const outcome = outcomes.get(file) ?? { passed: 0, failures: [], skipReasons: [] };
    outcomes.set(file, outcome);
    return outcome;
  };
  events.on('data', () => watchdog.refresh());
  const { promise: ended, resolve: end } = Promise.withResolvers<void>();
  events.on('test:pass', ({ name, file = name, details, skip, todo }) => {
    const outcome = outcomeOf(file);
    if (skip !== undefined || todo !== undefined)
      outcome.skipReasons.push(String(skip || todo || `no reason given: ${name}`));
    else if (details.type !== 'suite') outcome.passed++;
  });
  events.on('test:fail', ({ name, file = name, details }) => {
    const { failureType, cause } = details.error as { failureType?: string; cause?: unknown };
    if (details.type === 'suite' && failureType === 'subtestsFailed') return;
    const place = name.endsWith('.ts') ? '' : ` (${file.replace(`${process.cwd()}/`, '')})`;
    outcomeOf(file).failures.push(`${name}${place}: ${shortly(cause ?? details.error)}`);
  });
  const reporter = new spec();
  reporter.on('end', end);
  events.compose(reporter).pipe(process.stdout, { end: false });
  await ended;
  clearTimeout(watchdog);
  return outcomes;
}

function runChecks(): void {
  heading('checks');
  check('types', 'tsc', '--noEmit');
  check('lint and format of TypeScript', 'biome', 'ci', '.');
  check('format of C and C++', 'scripts/check-c-format');
  const generated = 'src/dataplane/bpf/layouts.ts';
  const before = readFileSync(generated, 'utf8');
  check('npm run gen', 'node', 'scripts/generate-layouts.ts');
  count(`${generated} is what npm run gen writes`, readFileSync(generated, 'utf8') === before);
}

function check(title: string, command: string, ...words: string[]): void {
  const { status, error } = spawnSync(command, words, { stdio: 'inherit' });
  count(title, status === 0, error?.message ?? `exit code ${status}`);
}

/** Its counts and the reasons of what it skips are on its own lines. */
function runOracle(): void {
  heading('oracle');
  const { stdout, status } = spawnSync('node', ['scripts/oracle.ts', 'test/oracle'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  process.stdout.write(stdout);
  const [, passed, failed, skipped] = /(\d+) passed, (\d+) failed, (\d+) skipped\s*$/.exec(stdout) ?? [];
  totals.passed += Number(passed ?? 0);
  totals.failed += Number(failed ?? 0);
  totals.skipped += Number(skipped ?? 0);
  if (Number(failed) > 0) failures.push(`${failed} recordings of test/oracle`);
  else count('the recordings were replayed', status === 0, `exit code ${status}`);
}

/** The first lines of what an error says: the summary may be all that is kept of a run. */
function shortly(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.split('\n').slice(0, 12).join('\n  ').slice(0, 800);
}

function heading(title: string): void {
  process.stdout.write(`\n== ${title}\n`);
}

function count(title: string, isPassed: boolean, detail = ''): void {
  totals[isPassed ? 'passed' : 'failed']++;
  process.stdout.write(`${isPassed ? '✔' : '✖'} ${title}\n`);
  if (!isPassed) failures.push(detail === '' ? title : `${title}: ${detail}`);
}

function countSkip(reason: string): void {
  totals.skipped++;
  skipReasons.set(reason, (skipReasons.get(reason) ?? 0) + 1);
}

/** The last line is for programs: its form does not change. */
function report(): number {
  heading('summary');
  for (const [reason, times] of skipReasons) process.stdout.write(`skipped ${times}: ${reason}\n`);
  for (const failure of failedAtFirst) process.stdout.write(`passed only at the second run: ${failure}\n`);
  for (const failure of failures) process.stdout.write(`failed: ${failure}\n`);
  const { passed, failed, skipped } = totals;
  process.stdout.write(`${passed} passed, ${failed} failed, ${skipped} skipped\n`);
  return failed > 0 || passed === 0 ? 1 : 0;
}
