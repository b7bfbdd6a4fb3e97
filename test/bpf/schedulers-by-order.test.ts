// SPDX-License-Identifier: Apache-2.0
// The schedulers that choose by order and weight, in the loaded programs and in the model.
import { testAtRandom } from '../lib/scheduler-comparison.ts';

testAtRandom(['rr', 'wrr', 'fo', 'ovf']);
