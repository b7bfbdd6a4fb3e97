// SPDX-License-Identifier: Apache-2.0
// What several commands share.
import { Option } from 'commander';
import { defaultPinDirectory } from '../../dataplane/bpf/options.ts';

export type { CommandOutput } from './render.ts';

/** Where the data plane of a node is found. */
export function pinDirectoryOption(): Option {
  return new Option('--pin-dir <dir>', 'folder of a BPF file system that holds the data plane')
    .env('BPVS_PIN_DIR')
    .default(defaultPinDirectory);
}
