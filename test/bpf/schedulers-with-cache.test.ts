// SPDX-License-Identifier: Apache-2.0
// The schedulers that remember where an address went, in the loaded programs and in the model.
import { testAtRandom } from '../lib/scheduler-comparison.ts';

testAtRandom(['lblc', 'lblcr']);
