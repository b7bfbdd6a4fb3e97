// SPDX-License-Identifier: Apache-2.0
// Taking the data plane away: attachments first, maps last.
import { readdirSync, rmdirSync, unlinkSync } from 'node:fs';
import { listLinks } from '../../native/netlink.ts';
import { detachClassifiers, detachLinks } from './attachments.ts';
import { pinExists } from './pin-directory.ts';

/** What {@link removeDataPlane} found and removed. */
export interface Removed {
  readonly links: number;
  readonly classifiers: number;
  readonly programs: number;
  readonly maps: number;
}

/**
 * Detaches every link pinned under the folder and our classifiers from the devices of this network namespace, then removes
 * all pins; the timer that ends connections stops with the last of them. What is not there counts as removed before.
 * Throws SystemError, and what node:fs throws.
 */
export function removeDataPlane(pinDirectory: string): Removed {
  const links = detachLinks(pinDirectory);
  const classifiers = listLinks().reduce((sum, link) => sum + detachClassifiers(link.index), 0);
  const programs = removePins(`${pinDirectory}/programs`);
  const maps = removePins(`${pinDirectory}/maps`);
  for (const folder of ['/links', '/programs', '/maps', '']) removeFolder(`${pinDirectory}${folder}`);
  return { links, classifiers, programs, maps };
}

function removePins(folder: string): number {
  if (!pinExists(folder)) return 0;
  const names = readdirSync(folder);
  for (const name of names) unlinkSync(`${folder}/${name}`);
  return names.length;
}

/** What others put there stays, and the folder with it. */
function removeFolder(path: string): void {
  if (pinExists(path) && readdirSync(path).length === 0) rmdirSync(path);
}
