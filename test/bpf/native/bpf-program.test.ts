// SPDX-License-Identifier: Apache-2.0
// Programs: test runs of each type, pins and closing.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { openObject } from '../../../src/native/bpf-object.ts';
import { BpfProgram } from '../../../src/native/bpf-program.ts';
import { compileSample, kernelTest, pinDirectory, u32 } from './sample.ts';

const path = compileSample();

function loadProgram(name: string): BpfProgram {
  using object = openObject(path);
  object.load();
  return object.program(name);
}

kernelTest('a program tells its name, type and length', () => {
  using grow = loadProgram('grow');
  assert.equal(grow.name, 'grow');
  assert.equal(grow.type, 'sched_cls');
  assert(grow.id > 0);
  assert(grow.instructionCount > 10);
  assert(grow.verifiedInstructionCount > 10);
});

kernelTest('a classifier’s test run gives its verdict, the packet and the context as it left them', () => {
  using grow = loadProgram('grow');
  const data = Buffer.alloc(60, 0xaa);
  const context = Buffer.alloc(192);
  context.writeUInt32LE(21, 8);
  const run = grow.testRun({ data, context });
  assert.equal(run.returnValue, 7);
  assert.equal(run.data.length, 64);
  assert.deepEqual(run.data.subarray(14, 60), data.subarray(14));
  assert.equal(run.context.readUInt32LE(8), 42);
});

kernelTest('a classifier runs as often as asked', () => {
  using grow = loadProgram('grow');
  assert.equal(grow.testRun({ data: Buffer.alloc(60), repeat: 10 }).data.length, 100);
});

kernelTest('a packet that outgrows its room throws ENOSPC', () => {
  using grow = loadProgram('grow');
  assert.throws(() => grow.testRun({ data: Buffer.alloc(60), dataOutSize: 60 }), { code: 'ENOSPC' });
});

kernelTest('an XDP program’s test run gives its verdict', () => {
  using drop = loadProgram('drop');
  assert.equal(drop.testRun({ data: Buffer.alloc(60) }).returnValue, 1);
});

kernelTest('a SYSCALL program answers in its context and leaves the caller’s alone', () => {
  using answer = loadProgram('answer');
  const context = Buffer.concat([u32(21), u32(0)]);
  const run = answer.testRun({ context });
  assert.equal(run.returnValue, 3);
  assert.deepEqual(run.context, Buffer.concat([u32(21), u32(42)]));
  assert.equal(context.readUInt32LE(4), 0);
});

kernelTest('a pinned program opens as the same program', () => {
  const pin = join(pinDirectory(), 'drop');
  const drop = loadProgram('drop');
  drop.pin(pin);
  drop.close();
  using opened = BpfProgram.openPinned(pin);
  assert.equal(opened.id, drop.id);
  assert.equal(opened.testRun({ data: Buffer.alloc(60) }).returnValue, 1);
});

kernelTest('a closed program throws on every use, and closes again in peace', () => {
  const drop = loadProgram('drop');
  drop.close();
  drop.close();
  assert.throws(() => drop.testRun({ data: Buffer.alloc(60) }), { code: 'EBADF' });
  assert.throws(() => drop.fd, { code: 'EBADF' });
});
