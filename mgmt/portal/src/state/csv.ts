// SPDX-License-Identifier: Apache-2.0
// Lists of the document as CSV (RFC 4180) and back: a column a field, by the names of docs/configuration.md. Several values of a cell
// are divided by ";". Pure.
import { nt_hash } from "../api/nt_hash";
import type { NamedItem } from "../api/types";
import type { Field, ItemKind } from "../pages/kinds";

export const ROWS_MAX = 10_000;
export const BYTES_MAX = 8 << 20;
const PASSWORD = "password"; // goes in and never comes out

/** A cell that a spreadsheet would take for a formula is not one. */
const guard = (text: string): string => (/^['=+\-@\t\r]/.test(text) ? `'${text}` : text);
const unguard = (text: string): string => (/^'['=+\-@\t\r]/.test(text) ? text.slice(1) : text);
const quote = (text: string): string => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
const join_words = (words: string[]): string => words.map((word) => word.replace(/[\\;]/g, "\\$&")).join("; ");
const split_words = (text: string): string[] =>
  [...text.matchAll(/(?:\\[\s\S]|[^;\\])+/g)].map(([word]) => word.replace(/\\([\s\S])/g, "$1").trim()).filter(Boolean);

/** What of a kind stands in a file. */
const columns = (kind: ItemKind): Field[] =>
  kind.fields.filter((field) => ["text", "number", "flag", "choice", "words", "one", "parts", "nt_password"].includes(field.kind));
const heading = (field: Field): string => (field.kind === "nt_password" ? PASSWORD : field.key);

function cell(field: Field, item: NamedItem): string {
  const value = item[field.key];
  if (value === undefined || field.kind === "nt_password") return "";
  if (field.kind === "parts") return join_words((value as unknown[]).map((one) => field.read(one as never)));
  return guard(Array.isArray(value) ? join_words(value.map(String)) : String(value));
}

/** With a mark of UTF-8 in front: spreadsheets ask for it. */
export function to_csv(kind: ItemKind, items: NamedItem[]): string {
  const rows = [columns(kind).map(heading), ...items.map((item) => columns(kind).map((field) => cell(field, item)))];
  return `\ufeff${rows.map((row) => row.map(quote).join(",")).join("\r\n")}\r\n`;
}

/** Rows with the lines they begin at; null: a quoted cell does not end. */
export function rows_of(text: string): { line: number; cells: string[] }[] | null {
  const out: { line: number; cells: string[] }[] = [];
  const token = /"((?:[^"]|"")*)"|([^",\r\n]*)/y;
  let line = 1;
  let at = text.startsWith("\ufeff") ? 1 : 0;
  while (at < text.length) {
    const row = { line, cells: [] as string[] };
    for (;;) {
      token.lastIndex = at;
      const match = token.exec(text)!;
      at = token.lastIndex;
      if (match[1] !== undefined) line += match[1].split("\n").length - 1;
      row.cells.push(match[1] === undefined ? match[2]! : match[1].replaceAll('""', '"'));
      if (text[at] !== ",") break;
      at += 1;
    }
    if (at < text.length && text[at] !== "\r" && text[at] !== "\n") return null;
    at += text.startsWith("\r\n", at) ? 2 : 1;
    line += 1;
    if (row.cells.some((one) => one.trim())) out.push(row);
  }
  return out;
}

/** UTF-8, or what Japanese spreadsheets write; null: neither. */
export function text_of(bytes: ArrayBuffer): string | null {
  for (const name of ["utf-8", "shift_jis"]) {
    try {
      return new TextDecoder(name, { fatal: true }).decode(bytes);
    } catch {
      // the next one
    }
  }
  return null;
}

/** What is wrong in a line: the rest of a key "csv.wrong.", and the word it is about. */
export interface Wrong {
  line: number;
  what: "quote" | "rows" | "no_name" | "column" | "twice" | "cells" | "value";
  word: string;
}
export interface Reading {
  added: NamedItem[];
  changed: NamedItem[];
  same: number;
  wrong: Wrong[];
}

/** A cell as the value of its field; undefined: nothing; null: it is none. */
function value_of(field: Field, text: string): unknown {
  if (!text) return undefined;
  switch (field.kind) {
    case "number":
      return /^\d{1,15}$/.test(text) ? Number(text) : null;
    case "flag":
      return /^(true|yes|1)$/i.test(text) ? true : /^(false|no|0)$/i.test(text) ? false : null;
    case "choice":
      return field.values.includes(text) ? text : null;
    case "words":
      return split_words(text);
    case "parts":
      return split_words(text).map(field.write);
    case "nt_password":
      return nt_hash(text);
    default:
      return text;
  }
}

/** Reads a file against what there is: rows change what has their name or are new; what has no row stays, and so do fields without a
 * column. An empty cell takes the field away, but for a password, which it keeps. */
export function from_csv(kind: ItemKind, text: string, there: NamedItem[]): Reading {
  const out: Reading = { added: [], changed: [], same: 0, wrong: [] };
  const rows = rows_of(text);
  const say = (line: number, what: Wrong["what"], word = "") => void out.wrong.push({ line, what, word });
  if (!rows) return say(0, "quote"), out;
  if (rows.length > ROWS_MAX + 1) return say(0, "rows", String(ROWS_MAX)), out;
  const fields = (rows[0]?.cells ?? []).map((word) => columns(kind).find((field) => heading(field) === word.trim()));
  fields.forEach((field, i) => {
    if (!field) say(1, "column", rows[0]!.cells[i]);
    else if (fields.indexOf(field) !== i) say(1, "twice", heading(field));
  });
  if (!fields.some((field) => field?.key === "name")) say(1, "no_name");
  if (out.wrong.length) return out;
  const known = new Map(there.map((item) => [item.name, item]));
  const seen = new Set<string>();
  for (const { line, cells } of rows.slice(1)) {
    if (cells.length > fields.length) say(line, "cells", String(cells.length));
    const put: Record<string, unknown> = {};
    fields.forEach((field, i) => {
      const word = unguard((cells[i] ?? "").trim().normalize("NFC"));
      const value = value_of(field!, word);
      if (value === null) say(line, "value", `${heading(field!)}: ${word}`);
      else if (value !== undefined || field!.kind !== "nt_password") put[field!.key] = value;
    });
    const name = String(put["name"] ?? "");
    if (!name) say(line, "no_name");
    else if (seen.has(name)) say(line, "twice", name);
    seen.add(name);
    const before = known.get(name);
    const after = Object.fromEntries(
      Object.entries({ ...(before ?? kind.fresh), ...put }).filter(([, value]) => value !== undefined && value !== ""),
    ) as NamedItem;
    if (!before) out.added.push(after);
    else if (sorted(before) === sorted(after)) out.same += 1;
    else out.changed.push(after);
  }
  return out;
}
const sorted = (item: NamedItem): string =>
  JSON.stringify(
    Object.entries(item)
      .filter(([, value]) => !(Array.isArray(value) && !value.length))
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );
