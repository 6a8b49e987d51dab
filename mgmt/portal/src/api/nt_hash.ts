// SPDX-License-Identifier: Apache-2.0
// MD4 of a password in UTF-16LE: what MS-CHAPv2 knows a user by (RFC 2759).
// It is made here so that the password itself stays in the browser.

const rotate = (value: number, by: number): number => (value << by) | (value >>> (32 - by));

function md4(message: Uint8Array): Uint8Array {
  const size = (((message.length + 8) >> 6) + 1) << 6;
  const padded = new DataView(new ArrayBuffer(size));
  message.forEach((byte, at) => padded.setUint8(at, byte));
  padded.setUint8(message.length, 0x80);
  padded.setUint32(size - 8, message.length * 8, true);
  let [a, b, c, d] = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476];
  for (let block = 0; block < size; block += 64) {
    const x = (at: number): number => padded.getUint32(block + 4 * at, true);
    const [a0, b0, c0, d0] = [a, b, c, d];
    const step = (mixed: number, word: number, by: number): void => {
      [a, d, c, b] = [d, c, b, rotate((a + mixed + word) | 0, by)];
    };
    for (let i = 0; i < 16; ++i) step((b & c) | (~b & d), x(i), [3, 7, 11, 19][i % 4]!);
    for (let i = 0; i < 16; ++i) step((b & c) | (b & d) | (c & d), x((i % 4) * 4 + (i >> 2)) + 0x5a827999, [3, 5, 9, 13][i % 4]!);
    for (let i = 0; i < 16; ++i)
      step(b ^ c ^ d, x([0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15][i]!) + 0x6ed9eba1, [3, 9, 11, 15][i % 4]!);
    [a, b, c, d] = [(a + a0) | 0, (b + b0) | 0, (c + c0) | 0, (d + d0) | 0];
  }
  const digest = new DataView(new ArrayBuffer(16));
  [a, b, c, d].forEach((word, at) => digest.setUint32(4 * at, word, true));
  return new Uint8Array(digest.buffer);
}

export function nt_hash(password: string): string {
  const text = new Uint8Array(password.length * 2);
  for (let at = 0; at < password.length; ++at) {
    text[2 * at] = password.charCodeAt(at) & 0xff;
    text[2 * at + 1] = password.charCodeAt(at) >> 8;
  }
  return [...md4(text)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
