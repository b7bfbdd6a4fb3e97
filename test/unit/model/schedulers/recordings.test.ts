// SPDX-License-Identifier: Apache-2.0
// The schedulers' models against what was recorded from kernel IPVS.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { replayInModel } from '../../../lib/oracle-model.ts';
import type { Scenario } from '../../../lib/oracle-schedulers.ts';

const folder = fileURLToPath(new URL('../../../oracle/schedulers/', import.meta.url));
/** What is recorded there is more than a scheduler's choice: templates, and connections whose destination is gone. */
const notOfSchedulers = ['lifecycle.json', 'persistence.json'];

suite('what kernel IPVS chose', () => {
  for (const file of readdirSync(folder).filter((name) => !notOfSchedulers.includes(name))) {
    test(`the models choose as recorded in ${file}`, async (t) => {
      const { scenarios } = JSON.parse(readFileSync(folder + file, 'utf8')) as { scenarios: Scenario[] };
      let decisions = 0;
      for (const scenario of scenarios) {
        try {
          decisions += await replayInModel(scenario);
        } catch (cause) {
          throw new Error(scenario.name, { cause });
        }
      }
      t.diagnostic(`${decisions} decisions of ${scenarios.length} scenarios`);
      assert.ok(decisions > scenarios.length);
    });
  }
});
