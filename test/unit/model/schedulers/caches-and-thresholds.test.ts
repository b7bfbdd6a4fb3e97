// SPDX-License-Identifier: Apache-2.0
// What lblc and lblcr remember, and when destinations are full.
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { load, member, pick, picks, service } from '../../../lib/model-cast.ts';

suite('caches of lblc and lblcr', () => {
  test('lblc keeps an address at its destination until that is overfull and another one has room', () => {
    const model = service('lblc', [4, 1]);
    assert.equal(picks(model, 2), 'BB');
    load(model, 1, 2);
    assert.equal(pick(model), 'A');
    assert.equal(pick(model, '10.0.0.1', 1024, '10.96.0.2'), 'A');
  });

  test('lblc knows a destination again that was deleted and added', () => {
    const model = service('lblc', [1, 1]);
    assert.equal(pick(model), 'B');
    load(model, 1, 0, 5);
    model.deleteDestination(member(1, 1));
    model.add(member(1, 1));
    assert.equal(pick(model), 'B');
    assert.equal(pick(model, '10.0.0.1', 1024, '10.96.0.2'), 'A');
  });

  for (const [scheduler, setting] of [
    ['lblc', 'lblcExpirationSeconds'],
    ['lblcr', 'lblcrExpirationSeconds'],
  ] as const) {
    test(`${scheduler} forgets what was not used for its expiration time, every 30 minutes`, () => {
      let seconds = 0;
      const model = service(scheduler, [1, 1], [], { now: () => seconds, [setting]: 300 });
      assert.equal(pick(model), 'B');
      load(model, 1, 0, 5);
      for (let minute = 1; minute < 30; minute++) {
        seconds += 60;
        model.housekeep();
      }
      assert.equal(pick(model, '10.0.0.1', 1024, '10.96.0.2'), 'A');
      seconds += 60;
      model.housekeep();
      assert.equal(pick(model), 'A');
    });
  }

  test('more than 16384 addresses are thinned out, of those not used for 6 minutes', () => {
    let seconds = 0;
    const model = service('lblc', [1, 1], [], { now: () => seconds });
    const addresses = Array.from({ length: 16_384 + 300 }, (_, n) => `10.96.${n >> 8}.${n & 255}`);
    const keptAtB = () =>
      addresses.filter((address) => pick(model, '10.0.0.1', 1024, address) === 'B').length;
    assert.equal(keptAtB(), addresses.length);
    load(model, 1, 0, 5);
    seconds = 359;
    model.housekeep();
    assert.equal(keptAtB(), addresses.length);
    seconds += 360;
    model.housekeep();
    assert.equal(keptAtB(), addresses.length - 400);
  });

  test('lblcr adds a destination when the set is overfull, and takes the most loaded one out when it is old', () => {
    let seconds = 0;
    const model = service('lblcr', [1, 1, 1], [], { now: () => seconds, lblcrExpirationSeconds: 100 });
    assert.equal(pick(model), 'C');
    load(model, 2, 2);
    assert.equal(pick(model), 'B');
    load(model, 1, 1);
    assert.equal(pick(model), 'B');
    seconds = 101;
    assert.equal(pick(model), 'B');
    model.deleteDestination(member(1, 1));
    assert.equal(pick(model), 'A');
  });
});

suite('thresholds of the models', () => {
  for (const [upper, below] of [
    [1, 1],
    [2, 2],
    [3, 3],
    [4, 3],
    [5, 4],
    [6, 5],
    [7, 6],
    [8, 6],
    [10, 8],
    [12, 9],
  ] as const) {
    test(`a destination with upper threshold ${upper} is full from there on until it has fewer than ${below}`, () => {
      const model = service('rr', [1]);
      model.editDestination(member(0, 1, upper));
      const destination = model.destination(member(0, 1));
      load(model, 0, 0, upper - 1);
      assert.equal(destination?.isOverloaded, false);
      load(model, 0, 0, 1);
      assert.equal(destination?.isOverloaded, true);
      while (destination?.isOverloaded) destination.unbindConnection();
      assert.equal(destination?.totalConnections, below - 1);
    });
  }

  test('a destination with a lower threshold is full until it has fewer than that', () => {
    const model = service('rr', [1]);
    model.editDestination(member(0, 1, 5, 2));
    load(model, 0, 0, 5);
    const destination = model.destination(member(0, 1));
    while (destination?.isOverloaded) destination.unbindConnection();
    assert.equal(destination?.totalConnections, 1);
  });

  test('changed thresholds are looked at anew; the classic profile only ever lifts', () => {
    for (const [profile, expected] of [
      ['recent', [true, false, true, false]],
      ['classic', [false, false, false, false]],
    ] as const) {
      const model = service('rr', [1], [], { profile });
      load(model, 0, 0, 4);
      const seen = [[4], [8], [3, 2], [0]].map(([upper, lower]) => {
        model.editDestination(member(0, 1, upper, lower));
        return model.destination(member(0, 1))?.isOverloaded;
      });
      assert.deepEqual(seen, expected);
    }
  });

  test('a destination that comes back is as full as it was', () => {
    const model = service('rr', [1]);
    model.editDestination(member(0, 1, 2));
    load(model, 0, 1, 1);
    model.deleteDestination(member(0, 1));
    const again = model.add(member(0, 1, 2));
    assert.deepEqual([again.activeConnections, again.inactiveConnections, again.isOverloaded], [1, 1, true]);
  });
});
