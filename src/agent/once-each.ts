// SPDX-License-Identifier: Apache-2.0
// Saying what stays true only once.

export class OnceEach {
  #said: ReadonlySet<string> = new Set();

  /** Those lines that were not among those of the call before. */
  fresh(lines: readonly string[]): readonly string[] {
    const said = this.#said;
    this.#said = new Set(lines);
    return lines.filter((line) => !said.has(line));
  }
}
