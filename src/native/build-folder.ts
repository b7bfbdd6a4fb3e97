// SPDX-License-Identifier: Apache-2.0
// Where the compiled files are: the same way from here as from the bundle, which is build/agent (scripts/build-agent).
import { fileURLToPath } from 'node:url';

/** The path of a file of build/, "bpf/tc.bpf.o". */
export function builtFile(path: string): string {
  return fileURLToPath(new URL(`../../build/${path}`, import.meta.url));
}
