import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Timer, TimerWheel } from '../../src/timers.ts';

let wheel: TimerWheel;
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
  wheel = new TimerWheel();
});
afterEach(() => {
  wheel.close();
  vi.useRealTimers();
});

function counter() {
  const target = { fired: 0, onTimer: () => void target.fired++ };
  return { target, timer: new Timer(target) };
}

test('fires once, not before its time and at most one tick late', () => {
  const { target, timer } = counter();
  wheel.set(timer, 100);
  vi.advanceTimersByTime(99);
  expect(target.fired).toBe(0);
  vi.advanceTimersByTime(41);
  expect(target.fired).toBe(1);
  vi.advanceTimersByTime(1000);
  expect(target.fired).toBe(1);
});

test('a later deadline takes the place of an earlier one, and the other way round', () => {
  const { target, timer } = counter();
  wheel.set(timer, 100);
  wheel.set(timer, 500);
  vi.advanceTimersByTime(400);
  expect(target.fired).toBe(0);
  vi.advanceTimersByTime(140);
  expect(target.fired).toBe(1);
  wheel.set(timer, 500);
  wheel.set(timer, 40);
  vi.advanceTimersByTime(80);
  expect(target.fired).toBe(2);
});

test('times beyond one turn of the wheel are kept', () => {
  const { target, timer } = counter();
  wheel.set(timer, 60_000);
  vi.advanceTimersByTime(59_990);
  expect(target.fired).toBe(0);
  vi.advanceTimersByTime(60);
  expect(target.fired).toBe(1);
});

test('cleared, removed and zero timers do not fire; they may be armed again', () => {
  const { target, timer } = counter();
  wheel.set(timer, 50);
  wheel.clear(timer);
  vi.advanceTimersByTime(100);
  wheel.set(timer, 50);
  wheel.remove(timer);
  vi.advanceTimersByTime(100);
  wheel.set(timer, 50);
  wheel.set(timer, 0);
  vi.advanceTimersByTime(100);
  expect(target.fired).toBe(0);
  wheel.set(timer, 50);
  vi.advanceTimersByTime(100);
  expect(target.fired).toBe(1);
});

test('a callback may arm itself and remove others of its own slot', () => {
  const other = counter();
  let runs = 0;
  const self: Timer = new Timer({
    onTimer() {
      runs++;
      wheel.remove(other.timer);
      if (runs < 3) wheel.set(self, 30);
    },
  });
  wheel.set(self, 30);
  wheel.set(other.timer, 30);
  vi.advanceTimersByTime(500);
  expect(runs).toBe(3);
  expect(other.target.fired).toBe(0);
});
