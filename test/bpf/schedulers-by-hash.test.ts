// SPDX-License-Identifier: Apache-2.0
// The schedulers that hash, in the loaded programs and in the model.
import { testAtRandom } from '../lib/scheduler-comparison.ts';

testAtRandom(['sh', 'dh', 'mh']);
