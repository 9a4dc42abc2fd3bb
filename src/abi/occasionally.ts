/** For what may fail with every request: the first failure is told, the ones soon after it are not. */

/** Milliseconds between two messages. */
const QUIET_TIME = 10_000;

/** Calls `tell` with a message at most once in ten seconds. */
export function occasionally(tell: (message: string) => void): (message: string) => void {
  let quietUntil = 0;
  return (message) => {
    const now = performance.now();
    if (now < quietUntil) return;
    quietUntil = now + QUIET_TIME;
    tell(message);
  };
}
