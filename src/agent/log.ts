// SPDX-License-Identifier: Apache-2.0
// The daemon's log: one event a line, as key=value pairs.

export type LogLevel = 'info' | 'warning' | 'error';
export type LogFields = Readonly<Record<string, string | number | boolean>>;

/** `event` is a short sentence; what varies goes into fields. */
export type Log = (level: LogLevel, event: string, fields?: LogFields) => void;

/** `time=2026-01-02T03:04:05.678Z level=info event="device attached" device=eth0` */
export function createLog(write: (line: string) => void, now: () => Date = () => new Date()): Log {
  return (level, event, fields = {}) => {
    const pairs = Object.entries({ time: now().toISOString(), level, event, ...fields });
    write(`${pairs.map(([key, value]) => `${key}=${quote(String(value))}`).join(' ')}\n`);
  };
}

/** Quoted where a reader would otherwise take it apart; a line stays a line. */
function quote(text: string): string {
  return /^[^\s"=]+$/.test(text) ? text : JSON.stringify(text);
}
