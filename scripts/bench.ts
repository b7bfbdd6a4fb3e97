// SPDX-License-Identifier: Apache-2.0
// npm run bench [-- --check] [-- --json FILE]: what a packet and a connection cost, and whether the ratios hold.
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { Fresh } from '../test/bench/fresh.ts';
import { measureLoading } from '../test/bench/loading.ts';
import { measurePackets } from '../test/bench/packet-rows.ts';
import { measurePaths } from '../test/bench/path-rows.ts';
import {
  missedRatios,
  packetTable,
  pathTable,
  type Ratio,
  ratiosOf,
  ratioTable,
} from '../test/bench/report.ts';
import { schedulerRatios, schedulerTable } from '../test/bench/scheduler-report.ts';
import { measureSchedulers } from '../test/bench/scheduler-rows.ts';
import { measureTable } from '../test/bench/table-rows.ts';

const usage = `usage: npm run bench -- [--check] [--json FILE] [--only PART]
  --check      exit with status 1 when a ratio is missed
  --json FILE  write all numbers there, too
  --only PART  "schedulers": only what opening a connection costs by scheduler and number of destinations
`;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      check: { type: 'boolean' },
      json: { type: 'string' },
      only: { type: 'string' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help) {
    process.stdout.write(usage);
    return 0;
  }
  if (values.only !== undefined && values.only !== 'schedulers') {
    process.stderr.write(`Expected schedulers for --only but received ${values.only}\n`);
    return 2;
  }
  using fresh = new Fresh();
  const { results, ratios, tables } = values.only ? schedulersAlone(fresh) : await everything(fresh);
  if (values.json !== undefined) {
    writeFileSync(values.json, `${JSON.stringify({ ...results, ratios }, null, 2)}\n`);
  }
  process.stdout.write(`${[...tables, ratioTable(ratios)].join('\n\n')}\n`);
  const missed = missedRatios(ratios);
  for (const { name, value, limit } of missed) {
    process.stderr.write(`missed: ${name} is ${value.toFixed(2)}, at most ${limit?.toFixed(2)} is wanted\n`);
  }
  return values.check && missed.length > 0 ? 1 : 0;
}

interface Report {
  readonly results: object;
  readonly ratios: readonly Ratio[];
  readonly tables: readonly string[];
}

function schedulersAlone(fresh: Fresh): Report {
  const schedulers = measureSchedulers(fresh);
  return {
    results: { schedulers },
    ratios: schedulerRatios(schedulers),
    tables: [schedulerTable(schedulers)],
  };
}

async function everything(fresh: Fresh): Promise<Report> {
  const loadSeconds = measureLoading();
  const paths = await measurePaths();
  const table = await measureTable(fresh);
  const packets = measurePackets(fresh);
  const schedulers = schedulersAlone(fresh);
  return {
    results: { loadSeconds, packets, paths, table, ...schedulers.results },
    ratios: [...ratiosOf({ loadSeconds, packets, paths, table }), ...schedulers.ratios],
    tables: [packetTable(packets), ...schedulers.tables, pathTable(paths.rows)],
  };
}

process.exitCode = await main();
