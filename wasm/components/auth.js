/** Lets requests pass that have the header `user` with the configured value (default: admin); others get 403. */
let wanted = 'admin';

export function configure(config) {
  const given = JSON.parse(config);
  if (given === null) return;
  if (typeof given.user !== 'string') throw 'config: user must be text';
  wanted = given.user;
}

export function onRequestHeaders(_stream, headers) {
  const user = headers.find(([name]) => name === 'user');
  if (user !== undefined && user[1] === wanted) return { tag: 'pass' };
  return {
    tag: 'respond',
    val: { status: 403, headers: [], body: bytes('forbidden\n') },
  };
}

/** QuickJS has no TextEncoder. */
function bytes(text) {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}
