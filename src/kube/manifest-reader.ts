// SPDX-License-Identifier: Apache-2.0
// The process that loadManifest starts for a large file: argument a path, output the lines of the Manifest.
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { parseManifest } from './manifest-file.ts';
import { manifestLines } from './manifest-lines.ts';

const path = process.argv[2] ?? '';
const manifest = parseManifest(basename(path), readFileSync(path, 'utf8'));
for (const line of manifestLines(manifest)) process.stdout.write(`${line}\n`);
