// SPDX-License-Identifier: Apache-2.0
// Persistence between the options of a command line (-p, -M) and the model.
import { addressBytes } from '../model/address.ts';
import { type Persistence, serviceFamily, type VirtualServiceKey } from '../model/virtual-service.ts';
import type { Settings } from './settings.ts';
import { fail } from './usage-error.ts';

/** What -p and -M say; undefined without -p. Throws UsageError for a mask that has ones behind zeros. */
export function persistenceOf(settings: Readonly<Settings>): Persistence | undefined {
  const { persistentSeconds, mask, service } = settings;
  if (persistentSeconds === undefined || !service) return undefined;
  if (typeof mask === 'number') return { timeoutSeconds: persistentSeconds, prefixLength: mask };
  if (mask === undefined) return { timeoutSeconds: persistentSeconds, prefixLength: wholeLength(service) };
  const bits = new DataView(addressBytes(mask).buffer).getUint32(0);
  const prefixLength = Math.clz32(~bits);
  if (bits !== maskOf(prefixLength)) fail(`Expected ones before zeros in the netmask but received ${mask}`);
  return { timeoutSeconds: persistentSeconds, prefixLength };
}

/** "-p 300", "-p 300 -M 255.255.0.0", "-p 300 -M 64"; a mask that tells all addresses apart is not said. */
export function formatPersistence(
  service: VirtualServiceKey,
  persistence: Persistence,
  words: readonly [timeout: string, mask: string],
): string {
  const [timeout, mask] = words;
  const { timeoutSeconds, prefixLength } = persistence;
  const text = `${timeout} ${timeoutSeconds}`;
  if (prefixLength === wholeLength(service)) return text;
  const length = serviceFamily(service) === 4 ? dotted(maskOf(prefixLength)) : String(prefixLength);
  return `${text} ${mask} ${length}`;
}

function wholeLength(service: VirtualServiceKey): number {
  return serviceFamily(service) === 4 ? 32 : 128;
}

function maskOf(length: number): number {
  return length === 0 ? 0 : (0xffff_ffff << (32 - length)) >>> 0;
}

function dotted(bits: number): string {
  return [24, 16, 8, 0].map((shift) => (bits >>> shift) & 255).join('.');
}
