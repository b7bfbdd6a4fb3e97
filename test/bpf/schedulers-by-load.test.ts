// SPDX-License-Identifier: Apache-2.0
// The schedulers that look at connections, in the loaded programs and in the model.
import { testAtRandom } from '../lib/scheduler-comparison.ts';

testAtRandom(['lc', 'wlc', 'sed', 'nq', 'twos']);
