// SPDX-License-Identifier: Apache-2.0
// The order in which ipvsadm lists virtual services and real servers.
import type { DestinationStatus, VirtualServiceStatus } from '../dataplane/data-plane.ts';
import { type Address, addressBytes } from '../model/address.ts';
import { protocolNumbers, serviceFamily, type VirtualServiceKey } from '../model/virtual-service.ts';

/**
 * By firewall mark (services of an address first), family (IPv4 first), protocol number, address and port.
 * ipvsadm takes the difference of 32-bit words as a signed integer, so 172.16.0.1 < 192.168.0.1 < 10.0.0.1: the relation
 * is not transitive, and the result can depend on the order before.
 */
export function sortServices(services: readonly VirtualServiceStatus[]): readonly VirtualServiceStatus[] {
  return mergeSort(
    services.map((service) => ({ service, rank: serviceRank(service) })),
    (a, b) => compareWords(a.rank, b.rank),
  ).map((entry) => entry.service);
}

/** What services are compared by, in this order. */
function serviceRank(service: VirtualServiceKey): readonly number[] {
  const family = serviceFamily(service);
  return service.mark === undefined
    ? [0, family, protocolNumbers[service.protocol], ...addressWords(service.address), service.port]
    : [service.mark, family];
}

/** By address and port, with the same comparison of addresses. */
export function sortDestinations(destinations: readonly DestinationStatus[]): readonly DestinationStatus[] {
  return mergeSort(
    destinations.map((destination) => ({ destination, words: addressWords(destination.address) })),
    (a, b) => compareWords(a.words, b.words) || a.destination.port - b.destination.port,
  ).map((entry) => entry.destination);
}

/** The top-down merge sort of glibc's qsort: its result is fixed even for a relation that is not transitive. */
export function mergeSort<T>(items: readonly T[], compare: (a: T, b: T) => number): readonly T[] {
  if (items.length < 2) return items;
  const middle = items.length >> 1;
  const left = mergeSort(items.slice(0, middle), compare);
  const right = mergeSort(items.slice(middle), compare);
  const merged: T[] = [];
  let i = 0;
  let j = 0;
  while (i < left.length && j < right.length) {
    const a = left[i] as T;
    const b = right[j] as T;
    if (compare(a, b) <= 0) {
      merged.push(a);
      i++;
    } else {
      merged.push(b);
      j++;
    }
  }
  return merged.concat(left.slice(i), right.slice(j));
}

function addressWords(address: Address): readonly number[] {
  const view = new DataView(addressBytes(address).buffer);
  return [0, 4, 8, 12].map((offset) => view.getInt32(offset));
}

function compareWords(a: readonly number[], b: readonly number[]): number {
  for (const [i, word] of a.entries()) {
    const difference = (word - (b[i] ?? 0)) | 0;
    if (difference !== 0) return difference;
  }
  return 0;
}
