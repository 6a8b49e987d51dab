// SPDX-License-Identifier: Apache-2.0
// Everything the portal says is in en.json and ja.json under one key; nothing is written in pages.
import en from "./en.json";
import ja from "./ja.json";
import { store, useStore } from "../state/store";

export type Language = "en" | "ja";
export type Key = keyof typeof en;
const messages: Record<Language, Record<Key, string>> = { en, ja };

const kept = localStorage.getItem("language");
const chosen: Language = kept === "en" || kept === "ja" ? kept : navigator.language.startsWith("ja") ? "ja" : "en";
export const language = store<Language>(chosen);

export function set_language(next: Language): void {
  localStorage.setItem("language", next);
  document.documentElement.lang = next;
  language.set(next);
}
document.documentElement.lang = chosen;

/** The message of `key`, with {name} replaced. */
export function t(key: Key, values?: Record<string, string | number>): string {
  const text = messages[language.get()][key];
  return values ? text.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole)) : text;
}

/** The message of a key that is made of data ("state." + state); the data itself where there is no such message. */
export function t_or(key: string, otherwise: string): string {
  return (messages[language.get()] as Record<string, string>)[key] ?? otherwise;
}

/** Makes a component follow the language. */
export function useLanguage(): Language {
  return useStore(language);
}

const locale = (): string => (language.get() === "ja" ? "ja-JP" : "en-GB");

/** 12,345 */
export function number(value: number | undefined | null): string {
  return value === undefined || value === null ? "–" : value.toLocaleString(locale());
}

/** 1.2 k, 3.4 M */
export function short_number(value: number): string {
  if (value < 10_000) return number(Math.round(value * 10) / 10);
  const steps: [number, string][] = [
    [1e12, "T"],
    [1e9, "G"],
    [1e6, "M"],
    [1e3, "k"],
  ];
  const step = steps.find(([size]) => value >= size)!;
  return `${(value / step[0]).toFixed(value / step[0] < 100 ? 1 : 0)} ${step[1]}`;
}

export function bytes(value: number | undefined | null): string {
  if (value === undefined || value === null) return "–";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  while (value >= 1000 && at < units.length - 1) {
    value /= 1000;
    ++at;
  }
  return `${at === 0 ? value : value.toFixed(value < 10 ? 1 : 0)} ${units[at]}`;
}

export function bit_rate(bits: number): string {
  return `${short_number(bits)}${bits < 10_000 ? " " : ""}bit/s`;
}

/** A moment in Japan, as in every record. */
export function moment(at: string | number | Date | undefined | null): string {
  if (at === undefined || at === null || at === "" || at === 0) return "–";
  const date = at instanceof Date ? at : new Date(at);
  if (Number.isNaN(date.getTime())) return String(at);
  const japan = new Date(date.getTime() + 9 * 3600e3).toISOString();
  return `${japan.slice(0, 10)} ${japan.slice(11, 19)}`;
}

/** 2 h 5 min */
export function duration(seconds: number): string {
  if (seconds < 60) return t("time.seconds", { n: Math.round(seconds) });
  if (seconds < 3600) return t("time.minutes", { n: Math.floor(seconds / 60) });
  if (seconds < 86400) return t("time.hours", { h: Math.floor(seconds / 3600), m: Math.floor((seconds % 3600) / 60) });
  return t("time.days", { d: Math.floor(seconds / 86400), h: Math.floor((seconds % 86400) / 3600) });
}
