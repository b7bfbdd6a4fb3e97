// SPDX-License-Identifier: Apache-2.0
// The process that loadManifest starts for a large file: argument a path, output the Manifest as JSON.
import { readFileSync, writeSync } from 'node:fs';
import { basename } from 'node:path';
import { parseManifest } from './manifest-file.ts';

const path = process.argv[2] ?? '';
const output = Buffer.from(JSON.stringify(parseManifest(basename(path), readFileSync(path, 'utf8'))));
for (let written = 0; written < output.length; ) written += writeSync(1, output, written);
