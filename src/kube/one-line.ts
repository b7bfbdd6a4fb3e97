// SPDX-License-Identifier: Apache-2.0
// Texts of others in problem lines: whatever they hold, a problem stays one line.
const lineBreaking = /[\p{Cc}\p{Zl}\p{Zp}]/gu;

/** Control characters and line breaks as their escapes: "\u000a". */
export function oneLine(text: string): string {
  return text.replace(
    lineBreaking,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** A name as it is, or in quotes with escapes if it holds what no name may. */
export function quoteIfOdd(text: string): string {
  const line = oneLine(text);
  return line === text ? text : `"${line}"`;
}
