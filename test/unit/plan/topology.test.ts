// SPDX-License-Identifier: Apache-2.0
// Topology hints: which endpoints a node of zone z1 called node-one takes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hintedEndpoints } from '../../../src/plan/topology.ts';

interface Row {
  readonly title: string;
  /** For each endpoint, named a, b, c: its hints, of nodes with a colon in front. */
  readonly hints: readonly string[];
  readonly taken: string;
  readonly zone?: string | undefined;
}

const rows: readonly Row[] = [
  { title: 'no hints', hints: ['', ''], taken: 'ab' },
  { title: 'a zone for each', hints: ['z1', 'z2', 'z1 z2'], taken: 'ac' },
  { title: 'one endpoint without a hint', hints: ['z1', 'z2', ''], taken: 'abc' },
  { title: 'no endpoint for this zone', hints: ['z2', 'z3'], taken: 'ab' },
  { title: 'a node without a zone', hints: ['z1', 'z2'], taken: 'ab', zone: undefined },
  {
    title: 'a node for each, which counts before zones',
    hints: [':node-one z2', ':node-two z1'],
    taken: 'a',
  },
  {
    title: 'no endpoint for this node, so zones count',
    hints: [':node-two z1', ':node-three z2'],
    taken: 'a',
  },
  { title: 'one endpoint without a node, so zones count', hints: [':node-one z2', 'z1'], taken: 'b' },
  { title: 'nodes, but none for this one and no zones', hints: [':node-two', ':node-three'], taken: 'ab' },
];

for (const { title, hints, taken, ...node } of rows) {
  test(`hints: ${title} → ${taken}`, () => {
    const endpoints = hints.map((text, i) => {
      const words = text.split(' ').filter((word) => word !== '');
      return {
        address: 'abc'[i] ?? '',
        isReady: true,
        isServing: true,
        isTerminating: false,
        nodeName: '',
        nodeHints: words.filter((word) => word.startsWith(':')).map((word) => word.slice(1)),
        zoneHints: words.filter((word) => !word.startsWith(':')),
      };
    });
    const hinted = hintedEndpoints(endpoints, { name: 'node-one', zone: 'z1', ...node });
    assert.equal(hinted.map(({ address }) => address).join(''), taken);
  });
}
