// SPDX-License-Identifier: Apache-2.0
// The loaded schedulers against the model of the kernel's, over thousands of random lives of services.
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { knownSchedulers } from '../../src/dataplane/bpf/schedulers.ts';
import type { SchedulerName } from '../../src/model/scheduler.ts';
import { missingForBpf, TestPlane } from './plane.ts';
import { numberFrom, Random } from './random.ts';
import { cacheExpirations, Life, secondsUntilEmpty, virtuals } from './scheduler-life.ts';

const firstSeed = numberFrom('BPVS_SCHEDULER_SEED', 20_261_121);
/** Of each scheduler. 10,000 of all of them take six minutes. */
const lives = numberFrom('BPVS_SCHEDULER_LIVES', 2000);
/** A test each, with a seed of its own: mh's tables take their time. */
const livesOfTest = 2000;
const sizes = { services: 64, destinations: 4096, places: 1 << 21, connections: 16_384, halfOpen: 16_384 };
/** Mostly short ones; now and then one that goes far. */
function steps(random: Random): number {
  return random.once(25) ? 40 : 3 + random.below(5);
}

/** @returns how many choices were compared */
function compare(scheduler: SchedulerName, seed: number, count: number): number {
  using plane = new TestPlane({ sizes });
  const random = new Random(seed);
  let picks = 0;
  for (let n = 0; n < count; n++) {
    const profile = Math.floor(n / virtuals) % 4 === 3 ? 'classic' : 'recent';
    try {
      if (n % virtuals === 0) {
        plane.advance(secondsUntilEmpty);
        plane.restart({ ipvsProfile: profile, ...cacheExpirations });
      }
      const life = new Life(plane, random, { scheduler, schedulers: knownSchedulers, profile, n });
      life.live(steps(random));
      picks += life.picks;
    } catch (error) {
      throw new Error(`seed ${seed}, service ${n}`, { cause: error });
    }
  }
  return picks;
}

/** BPVS_SCHEDULER_SEED and BPVS_SCHEDULER_LIVES in the environment change what is compared. */
export function testAtRandom(names: readonly SchedulerName[]): void {
  suite('schedulers at random', { skip: missingForBpf() ?? false }, () => {
    for (const scheduler of names) {
      for (let done = 0; done < lives; done += livesOfTest) {
        const [count, seed] = [Math.min(livesOfTest, lives - done), firstSeed + done / livesOfTest];
        test(`${scheduler}: ${count} services with random changes choose as the kernel does (seed ${seed})`, (t) => {
          const picks = compare(scheduler, seed, count);
          t.diagnostic(`${picks} choices`);
          assert.ok(picks > count);
        });
      }
    }
  });
}
