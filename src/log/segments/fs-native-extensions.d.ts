/** The package ships no types; only what we use (its README, "API"). */
declare module 'fs-native-extensions' {
  /** Takes an exclusive lock of the whole file; false when another open file description holds one. */
  export function tryLock(fd: number): boolean;
  export function unlock(fd: number): void;
}
