// SPDX-License-Identifier: Apache-2.0
// The programs for devices without link header: what they do is shown by test/netns/linkless-clients.test.ts.
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { enums } from '../../src/dataplane/bpf/layouts.ts';
import { missingForBpf, TestPlane } from '../lib/plane.ts';

suite('devices without link header', { skip: missingForBpf() ?? false }, () => {
  for (const redirectsLocally of [false, true]) {
    test(`programs are loaded when one asks for them${redirectsLocally ? ', those that redirect locally, too' : ''}`, () => {
      using plane = new TestPlane({ redirectsLocally });
      const { programs } = plane.plane;
      const isFilled = (name: 'handlers' | 'linkless_handlers') =>
        Array.from({ length: enums.handler.HANDLER_COUNT }, (_, slot) =>
          programs.maps.get(name).lookup(new Uint8Array(Uint32Array.of(slot).buffer)),
        ).map((program) => program !== undefined);
      assert.equal(isFilled('handlers').includes(true), true);
      assert.equal(isFilled('linkless_handlers').includes(true), false);
      const [ingress, egress] = (['ingress', 'egress'] as const).map((direction) =>
        programs.deviceProgram(direction, false),
      );
      assert.notEqual(ingress?.fd, programs.deviceProgram('ingress').fd);
      assert.equal(egress?.fd, programs.deviceProgram('egress', false).fd);
      assert.deepEqual(isFilled('linkless_handlers'), isFilled('handlers'));
    });
  }
});
