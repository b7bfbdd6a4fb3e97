// SPDX-License-Identifier: Apache-2.0
// clusterIP, clusterIPs, ipFamilies and ipFamilyPolicy of a Service, which have to agree.
import { type Address, addressFamily } from '../model/address.ts';
import type { ServiceType } from '../model/cluster.ts';
import type { FieldReader, Fields } from './fields.ts';

interface ServiceAddresses {
  readonly isHeadless: boolean;
  readonly clusterIps: readonly Address[];
}

/** Source: Kubernetes pkg/apis/core/validation, ValidateServiceClusterIPsRelatedFields. */
export function readServiceAddresses(reader: FieldReader, spec: Fields, type: ServiceType): ServiceAddresses {
  const texts = readTexts(reader, spec);
  const families = readFamilies(reader, spec, type);
  if (type === 'ExternalName') {
    if (texts.length > 0) reader.refuse('spec.clusterIPs', 'type ExternalName may not have any');
    return { isHeadless: false, clusterIps: [] };
  }
  if (texts[0] === 'None') {
    if (texts.length > 1) reader.refuse('spec.clusterIPs', '"None" must be the only entry');
    if (type !== 'ClusterIP') reader.refuse('spec.clusterIP', `type ${type} may not have "None"`);
    return { isHeadless: true, clusterIps: [] };
  }
  const clusterIps = texts.flatMap(
    (text, i) => reader.address(text, i === 0 ? 'spec.clusterIP' : `spec.clusterIPs[${i}]`) ?? [],
  );
  checkFamilies(reader, clusterIps, families);
  return { isHeadless: false, clusterIps };
}

function readTexts(reader: FieldReader, spec: Fields): readonly string[] {
  const single = reader.text(spec.clusterIP, 'spec.clusterIP') ?? '';
  const list = reader
    .list(spec.clusterIPs, 'spec.clusterIPs')
    .flatMap((value, i) => reader.text(value, `spec.clusterIPs[${i}]`) ?? []);
  if (list.length === 0) return single === '' ? [] : [single];
  if (list[0] !== single) {
    reader.refuse(
      'spec.clusterIPs[0]',
      `must be the same as spec.clusterIP ("${single}") but is "${list[0]}"`,
    );
  }
  if (list.length > 2)
    reader.refuse('spec.clusterIPs', `expected at most 2 entries but received ${list.length}`);
  return list;
}

function readFamilies(reader: FieldReader, spec: Fields, type: ServiceType): readonly ('IPv4' | 'IPv6')[] {
  reader.choice(spec.ipFamilyPolicy, 'spec.ipFamilyPolicy', [
    'SingleStack',
    'PreferDualStack',
    'RequireDualStack',
  ]);
  const families = reader
    .list(spec.ipFamilies, 'spec.ipFamilies')
    .flatMap((value, i) => reader.choice(value, `spec.ipFamilies[${i}]`, ['IPv4', 'IPv6']) ?? []);
  if (new Set(families).size < families.length) reader.refuse('spec.ipFamilies', 'names a family twice');
  if (type === 'ExternalName' && families.length > 0) {
    reader.refuse('spec.ipFamilies', 'type ExternalName may not have any');
  }
  return families;
}

function checkFamilies(
  reader: FieldReader,
  clusterIps: readonly Address[],
  families: readonly string[],
): void {
  const actual = clusterIps.map((address) => (addressFamily(address) === 4 ? 'IPv4' : 'IPv6'));
  if (actual.length === 2 && actual[0] === actual[1]) {
    reader.refuse('spec.clusterIPs', 'may hold one address of each family, but both are of one');
  }
  actual.forEach((family, i) => {
    const expected = families[i];
    if (expected !== undefined && expected !== family) {
      reader.refuse(
        `spec.ipFamilies[${i}]`,
        `is ${expected}, but the cluster IP at this place is ${clusterIps[i]}`,
      );
    }
  });
}
