// SPDX-License-Identifier: Apache-2.0
// A Node from its manifest.
import type { NodeObject } from '../model/cluster.ts';
import type { FieldReader, Fields } from './fields.ts';
import type { Metadata } from './metadata.ts';

export function readNode(reader: FieldReader, metadata: Metadata, object: Fields): NodeObject {
  const status = reader.fields(object.status, 'status');
  const addresses = reader.list(status.addresses, 'status.addresses').flatMap((value, i) => {
    const entry = reader.fields(value, `status.addresses[${i}]`);
    const isAddress = entry.type === 'InternalIP' || entry.type === 'ExternalIP';
    return (isAddress ? reader.address(entry.address, `status.addresses[${i}].address`) : undefined) ?? [];
  });
  return { name: metadata.name, labels: metadata.labels, addresses: [...new Set(addresses)] };
}
