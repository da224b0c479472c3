// Images out of what a person chose or dropped: files, folders, and zip archives, which are unpacked here in the browser.

import { text } from "./strings.js";

const IMAGE = /\.(jpe?g|png|webp|bmp)$/i;
const MOST_FILES = 1000;
const MOST_BYTES = 256 * 2 ** 20; // of an archive, and of its unpacked files
const LONGEST_COMMENT = 2 ** 16; // bytes behind an archive's end record
const ENCRYPTED = 1; // bit of an entry's flags
const MAC = /(^|\/)(__MACOSX\/|\._)/; // what macOS adds to archives: no images

// CRC-32 of each byte, as zip archives have it (APPNOTE 4.4.7).
const CRC = Uint32Array.from({ length: 256 }, (_, byte) => {
  for (let bit = 0; bit < 8; bit++) byte = byte & 1 ? 0xedb88320 ^ (byte >>> 1) : byte >>> 1;
  return byte;
});

class Refused extends Error {} // in words for a person

// The image files among them, sorted by name; a single file is taken whatever its name.
export async function imagesIn(files) {
  if (files.length === 1 && !isZip(files[0])) return files;
  const found = [];
  for (const file of files) {
    if (isZip(file)) found.push(...(await unzip(file).catch(explain)));
    else if (IMAGE.test(file.name)) found.push(file);
    if (found.length > MOST_FILES) throw new Refused(text("too_many_images", { most: MOST_FILES }));
  }
  return found.sort((a, b) => pathOf(a).localeCompare(pathOf(b), undefined, { numeric: true }));
}

export const pathOf = (file) => file.path || file.webkitRelativePath || file.name;

// Of a broken archive the browser has words of its own: "offset is outside the bounds of the DataView".
function explain(error) {
  throw error instanceof Refused ? error : new Refused(text("zip_damaged"));
}

const isZip = (file) => /\.zip$/i.test(file.name);

// Files of a drop, those in folders included.
export async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return [...transfer.files];
  const files = [];
  for (const entry of entries) await walk(entry, files);
  return files;
}

async function walk(entry, files) {
  if (files.length > MOST_FILES) return;
  if (entry.isFile) {
    if (!IMAGE.test(entry.name) && !isZip(entry)) return; // it would use up the number of files
    const file = await new Promise((done, failed) => entry.file(done, failed));
    file.path = entry.fullPath.replace(/^\//, "");
    files.push(file);
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const some = await new Promise((done, failed) => reader.readEntries(done, failed));
    if (!some.length) return;
    for (const one of some) await walk(one, files);
  }
}

// The images of a zip archive (PKWARE's APPNOTE 4.3: end record, central directory, local headers), stored or deflated.
export async function unzip(file) {
  if (file.size > MOST_BYTES) throw new Refused(text("zip_too_large", { name: file.name }));
  const data = new DataView(await file.arrayBuffer());
  let end = data.byteLength - 22;
  const first = Math.max(0, end - LONGEST_COMMENT);
  while (end >= first && data.getUint32(end, true) !== 0x06054b50) end--;
  if (end < first) throw new Refused(text("no_zip", { name: file.name }));
  const files = [];
  let [at, bytes] = [data.getUint32(end + 16, true), 0];
  for (let left = data.getUint16(end + 10, true); left > 0; left--) {
    if (data.getUint32(at, true) !== 0x02014b50) throw new Refused(text("zip_damaged"));
    const flags = data.getUint16(at + 8, true);
    const method = data.getUint16(at + 10, true);
    const [crc, packed, size] = [16, 20, 24].map((offset) => data.getUint32(at + offset, true));
    const [nameLength, extra, comment] = [28, 30, 32].map((offset) => data.getUint16(at + offset, true));
    const name = new TextDecoder().decode(new Uint8Array(data.buffer, at + 46, nameLength));
    const local = data.getUint32(at + 42, true);
    at += 46 + nameLength + extra + comment;
    if (!IMAGE.test(name) || MAC.test(name)) continue;
    if (flags & ENCRYPTED) throw new Refused(text("zip_unknown"));
    bytes += size;
    if (files.length >= MOST_FILES || bytes > MOST_BYTES) throw new Refused(text("zip_too_large", { name: file.name }));
    const start = local + 30 + data.getUint16(local + 26, true) + data.getUint16(local + 28, true);
    const parts = await inflate(new Uint8Array(data.buffer, start, packed), method, size);
    if (crc32(parts) !== crc) throw new Refused(text("zip_damaged"));
    const image = new File(parts, name.split("/").at(-1));
    image.path = name;
    files.push(image);
  }
  return files;
}

function crc32(parts) {
  let crc = -1;
  for (const part of parts) for (let i = 0; i < part.length; i++) crc = CRC[(crc ^ part[i]) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}

// The parts of a file. The declared size is a promise: reading stops where a file grows beyond it.
async function inflate(packed, method, size) {
  if (method === 0 && packed.length !== size) throw new Refused(text("zip_damaged"));
  if (method === 0) return [packed];
  if (method !== 8) throw new Refused(text("zip_unknown"));
  const reader = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate-raw")).getReader();
  const parts = [];
  let count = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    count += value.length;
    if (count > size) break;
    parts.push(value);
  }
  if (count !== size) throw new Refused(text("zip_damaged"));
  return parts;
}
