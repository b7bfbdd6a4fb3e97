// SPDX-License-Identifier: Apache-2.0
// npm run bench [-- --check] [-- --json FILE]: what a packet and a connection cost, and whether the ratios hold.
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { Fresh } from '../test/bench/fresh.ts';
import { measureLoading } from '../test/bench/loading.ts';
import { measurePackets } from '../test/bench/packet-rows.ts';
import { measurePaths } from '../test/bench/path-rows.ts';
import { missedRatios, packetTable, pathTable, ratiosOf, ratioTable } from '../test/bench/report.ts';
import { measureTable } from '../test/bench/table-rows.ts';

const usage = `usage: npm run bench -- [--check] [--json FILE]
  --check      exit with status 1 when a ratio is missed
  --json FILE  write all numbers there, too
`;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: { check: { type: 'boolean' }, json: { type: 'string' }, help: { type: 'boolean', short: 'h' } },
  });
  if (values.help) {
    process.stdout.write(usage);
    return 0;
  }
  using fresh = new Fresh();
  const loadSeconds = measureLoading();
  const paths = await measurePaths();
  const table = await measureTable(fresh);
  const results = { loadSeconds, packets: measurePackets(fresh), paths, table };
  const ratios = ratiosOf(results);
  if (values.json !== undefined) {
    writeFileSync(values.json, `${JSON.stringify({ ...results, ratios }, null, 2)}\n`);
  }
  process.stdout.write(
    `${packetTable(results.packets)}\n\n${pathTable(paths.rows)}\n\n${ratioTable(ratios)}\n`,
  );
  const missed = missedRatios(ratios);
  for (const { name, value, limit } of missed) {
    process.stderr.write(`missed: ${name} is ${value.toFixed(2)}, at most ${limit?.toFixed(2)} is wanted\n`);
  }
  return values.check && missed.length > 0 ? 1 : 0;
}

process.exitCode = await main();
