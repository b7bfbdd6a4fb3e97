// SPDX-License-Identifier: Apache-2.0
// Whom the schedulers' models choose.
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { schedulerNames } from '../../../../src/model/scheduler.ts';
import { maglevPlaces } from '../../../../src/model/schedulers/mh.ts';
import { ServiceModel } from '../../../../src/model/schedulers/service-model.ts';
import { wrrSteps } from '../../../../src/model/schedulers/wrr.ts';
import { load, member, pick, picks, service } from '../../../lib/model-cast.ts';

suite('choices of the models', () => {
  test('rr begins with the newest, and one added on the way waits for the next round', () => {
    const model = service('rr', [1, 1]);
    assert.equal(picks(model, 1), 'B');
    model.add(member(2, 1));
    assert.equal(picks(model, 5), 'ACBAC');
  });

  test('rr goes on behind a removed destination', () => {
    const model = service('rr', [1, 1, 1]);
    assert.equal(picks(model, 2), 'CB');
    model.deleteDestination(member(1, 1));
    assert.equal(picks(model, 3), 'ACA');
  });

  test('wrr of a service built step by step begins in the last pass', () => {
    assert.equal(picks(service('wrr', [4, 3, 2]), 12), 'CBAABACBACBA');
    assert.equal(picks(service('wrr', [6, 4, 2]), 9), 'CBAABACBA');
  });

  test('wrr bound to a list begins in the first pass', () => {
    const model = service('rr', [4, 3, 2]);
    model.edit({ scheduler: 'wrr', schedulerFlags: [] });
    assert.equal(picks(model, 9), 'ABACBACBA');
  });

  test('wrr goes back to the head in its pass when a weight changes', () => {
    const model = service('wrr', [4, 3, 2]);
    assert.equal(picks(model, 7), 'CBAABAC');
    model.editDestination(member(0, 3));
    assert.equal(picks(model, 9), 'CBACBABAC');
  });

  test('wrr that found all destinations full goes on where it was', () => {
    const model = service('wrr', [1, 1, 1]);
    for (const n of [0, 1, 2]) model.editDestination(member(n, 1, 1));
    assert.equal(pick(model), 'C');
    for (const n of [0, 1, 2]) load(model, n, 0, 1);
    assert.equal(pick(model), '-');
    for (const destination of model.destinations) destination.unbindConnection();
    assert.equal(picks(model, 3), 'BAC');
  });

  test('wrr begins a pass of the highest weight when the first destination gets one', () => {
    const model = service('wrr', [0, 0]);
    model.editDestination(member(0, 1));
    assert.equal(picks(model, 2), 'AA');
  });

  test('wrr has the weights of its passes from the greatest common divisor', () => {
    const weights = (...list: number[]) => wrrSteps(list.map((weight) => ({ weight })));
    assert.deepEqual(weights(), { step: 1, highest: 0 });
    assert.deepEqual(weights(0, 0), { step: 1, highest: 0 });
    assert.deepEqual(weights(6, 0, 4), { step: 2, highest: 5 });
  });

  for (const scheduler of schedulerNames) {
    test(`${scheduler} gives no destination where all have weight 0 or are full, and one as soon as it can`, () => {
      const model = service(scheduler, [0]);
      assert.equal(pick(model), '-');
      model.editDestination(member(0, 2, 1));
      assert.equal(pick(model), 'A');
      load(model, 0, 1);
      // lblc keeps an address at a full destination; the first choice was not counted, so the address is new here.
      assert.equal(pick(model, '10.0.0.1', 1024, '10.96.0.2'), '-');
      model.destination(member(0, 0))?.deactivateConnection();
      model.destination(member(0, 0))?.unbindConnection();
      assert.equal(pick(model), 'A');
    });
  }

  test('lc counts an active connection as 257 inactive ones, or 256 in the classic profile', () => {
    for (const [profile, expected] of [
      ['recent', 'A'],
      ['classic', 'B'],
    ] as const) {
      const model = service('lc', [1, 1], [], { profile });
      load(model, 0, 0, 256);
      load(model, 1, 1);
      assert.equal(pick(model), expected);
    }
  });

  test('wlc, sed and nq weigh loads by weights, the newest of equal ones first', () => {
    for (const [scheduler, expected] of [
      ['wlc', 'A'],
      ['sed', 'C'],
      ['nq', 'B'],
    ] as const) {
      const model = service(scheduler, [4, 1, 9]);
      load(model, 0, 2);
      load(model, 1, 0, 2000);
      load(model, 2, 5);
      assert.equal(pick(model), expected);
    }
    assert.equal(pick(service('wlc', [3, 3, 3])), 'C');
  });

  test('wlc compares products beyond 53 bits', () => {
    const model = service('wlc', [2_147_483_647, 2_147_483_646]);
    load(model, 0, 20_000);
    load(model, 1, 20_000);
    assert.equal(pick(model), 'A');
  });

  test('fo takes the highest weight, ovf the next one when that has more active connections', () => {
    for (const [scheduler, expected] of [
      ['fo', 'AAA'],
      ['ovf', 'AAB'],
    ] as const) {
      const model = service(scheduler, [2, 1]);
      const chosen = [0, 2, 1].map((active) => {
        load(model, 0, active);
        return pick(model);
      });
      assert.equal(chosen.join(''), expected);
    }
  });

  test('twos takes the lighter of two that it draws, the first of the list with one number more', () => {
    const draws = (...numbers: number[]) =>
      service('twos', [1, 2], [], { random: () => numbers.shift() ?? 0 });
    assert.equal(picks(draws(0, 0, 2, 2, 3, 3), 3), 'BBA');
    const model = draws(0, 3, 3, 0);
    load(model, 1, 1);
    assert.equal(picks(model, 2), 'AA');
  });

  test('sh and mh send known clients to known destinations, with and without their ports', () => {
    const clients = ['10.0.0.1', '10.0.0.2', '192.168.1.50'];
    const sh = service('sh', [1, 1, 1]);
    const mh = service('mh', [1, 1, 1]);
    assert.equal(clients.map((client) => pick(sh, client)).join(''), 'CAB');
    assert.equal(clients.map((client) => pick(mh, client)).join(''), 'AAC');
    for (const [scheduler, expected] of [
      ['sh', 'AC'],
      ['mh', 'AB'],
    ] as const) {
      const model = service(scheduler, [1, 1, 1], ['flag-2']);
      assert.equal([40000, 40001].map((port) => pick(model, '10.0.0.1', port)).join(''), expected);
    }
  });

  test('sh-fallback and mh-fallback go on to the known place', () => {
    for (const [scheduler, full] of [
      ['sh', 2],
      ['mh', 0],
    ] as const) {
      const model = service(scheduler, [1, 1, 1]);
      model.editDestination(member(full, 1, 1));
      load(model, full, 1);
      assert.equal(pick(model), '-');
      model.edit({ scheduler, schedulerFlags: ['flag-1'] });
      assert.equal(pick(model), 'B');
    }
  });

  test('mh keeps its table when a weight becomes 0', () => {
    const model = service('mh', [3, 0, 1]);
    const clients = Array.from({ length: 200 }, (_, n) => `10.0.${n}.1`);
    const before = clients.map((client) => pick(model, client));
    model.editDestination(member(2, 0));
    assert.deepEqual(
      clients.map((client) => pick(model, client)),
      before.map((each) => (each === 'C' ? '-' : each)),
    );
  });

  test('mh takes no more destinations than its table has places', () => {
    const model = new ServiceModel({ scheduler: 'rr', schedulerFlags: [] });
    for (let n = 0; n <= maglevPlaces; n++)
      model.add({ address: `10.1.${n >> 8}.${n & 255}`, port: 80, weight: 1 });
    const toMaglev = () => model.edit({ scheduler: 'mh', schedulerFlags: [] });
    assert.throws(toMaglev, { message: 'Expected at most 4093 destinations for mh but received 4094' });
    assert.equal(model.scheduler, 'rr');
  });
});
