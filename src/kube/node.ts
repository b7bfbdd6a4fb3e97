// SPDX-License-Identifier: Apache-2.0
// A Node from its manifest.
import type { NodeObject } from '../model/cluster.ts';
import type { FieldReader, Fields } from './fields.ts';
import type { Metadata } from './metadata.ts';

export function readNode(reader: FieldReader, metadata: Metadata, object: Fields): NodeObject {
  const status = reader.fields(object.status, 'status');
  const listed = reader
    .list(status.addresses, 'status.addresses')
    .map((value, i) => reader.fields(value, `status.addresses[${i}]`));
  // As kube-proxy prefers them.
  const addresses = ['InternalIP', 'ExternalIP'].flatMap((type) =>
    listed.flatMap((entry, i) => {
      const isWanted = entry.type === type;
      return (isWanted ? reader.address(entry.address, `status.addresses[${i}].address`) : undefined) ?? [];
    }),
  );
  const spec = reader.fields(object.spec, 'spec');
  const taints = reader.list(spec.taints, 'spec.taints').flatMap((value, i) => {
    const path = `spec.taints[${i}]`;
    return reader.text(reader.fields(value, path).key, `${path}.key`) ?? [];
  });
  const { deletionTimestamp } = reader.fields(object.metadata, 'metadata');
  return {
    name: metadata.name,
    labels: metadata.labels,
    addresses: [...new Set(addresses)],
    taints,
    isBeingDeleted: typeof deletionTimestamp === 'string',
  };
}
