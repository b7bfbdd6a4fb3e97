// SPDX-License-Identifier: Apache-2.0
// Reading one manifest file, without keeping the memory that parsing takes.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { lines } from './lines.ts';
import { type Manifest, parseManifest, unreadable } from './manifest-file.ts';
import { readManifestLines } from './manifest-lines.ts';

/** From here on, parsing would leave this process with more memory than its data need for a long time. */
const largeFileBytes = 1 << 20;

// In the bundle it is JavaScript.
const ending = import.meta.url.slice(import.meta.url.lastIndexOf('.'));
const reader = fileURLToPath(new URL(`./manifest-reader${ending}`, import.meta.url));

/**
 * Never rejects but with what `signal` aborts with: a file that cannot be read is unreadable with the reason. Large files
 * are parsed in a process of their own, which takes the parser's garbage with it (docs/decisions/0002-yaml-parser.md).
 */
export async function loadManifest(path: string, signal?: AbortSignal): Promise<Manifest> {
  const name = basename(path);
  try {
    const { size } = statSync(path);
    if (size < largeFileBytes) return parseManifest(name, readFileSync(path, 'utf8'));
    return await readElsewhere(path, signal);
  } catch (error) {
    signal?.throwIfAborted();
    return unreadable(name, error);
  }
}

async function readElsewhere(path: string, signal: AbortSignal | undefined): Promise<Manifest> {
  const child = spawn(process.execPath, [reader, path], {
    ...(signal && { signal }),
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const manifest = readManifestLines(lines(child.stdout));
  manifest.catch(() => {}); // how the reader ended says more
  const [code, killer] = await once(child, 'close');
  if (code === 0) return manifest;
  throw new Error(`its reader ended with ${killer ?? `exit code ${code}`}`);
}
