// SPDX-License-Identifier: Apache-2.0
// Tells when the content of the configuration file has changed.
import { readFileSync, unwatchFile, watchFile } from 'node:fs';

/** A ConfigMap's files are links into a folder that is swapped: no event of the file's own says so, but its inode and times do. */
const lookMs = 2000;

/**
 * `changed` is called with each content that differs from the one before; what cannot be read for a moment is not looked at.
 * Dispose of it to end it.
 */
export function watchConfiguration(path: string, text: string, changed: (text: string) => void): Disposable {
  let known = text;
  const look = () => {
    const now = readIfThere(path);
    if (now === undefined || now === known) return;
    known = now;
    changed(now);
  };
  watchFile(path, { interval: lookMs, persistent: false }, look);
  return { [Symbol.dispose]: () => unwatchFile(path, look) };
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
