// SPDX-License-Identifier: Apache-2.0
// What people write into the search field: src_ip in 10.0.0.0/8, action=drop dst_port=443 rule_name~web
import type { Condition } from "../api/types";

const TERM = /([a-z][a-z0-9_]*)\s*(!=|>=|<=|=|<|>|~|\sin\s)\s*("[^"]*"|[^\s"]+)|(\S+)/g;

/** Conditions, all of which hold; `wrong` is the first word that is none. An address or prefix alone means any address of the record. */
export function parse_query(text: string): { conditions: Condition[]; wrong: string } {
  const conditions: Condition[] = [];
  for (const [, field, sign, value, alone] of text.matchAll(TERM)) {
    const one = alone ? address(alone) : condition(field!, sign!.trim(), value!);
    if (!one) return { conditions: [], wrong: alone ?? `${field}${sign}${value}` };
    conditions.push(one);
  }
  return { conditions, wrong: "" };
}

function address(word: string): Condition | null {
  if (!/^[0-9a-f.:]+(\/\d+)?$/i.test(word) || !/[.:]/.test(word)) return null;
  return { field: "address", test: word.includes("/") ? "within" : "equal", values: [word] };
}

function condition(field: string, sign: string, written: string): Condition | null {
  const quoted = written.startsWith('"');
  const value = quoted ? written.slice(1, -1) : written;
  const values = quoted ? [value] : value.split(",").filter(Boolean);
  if (!values.length) return null;
  switch (sign) {
    case "=":
    case "!=":
      if (value === "*" && !quoted) return { field, test: "present", values: [], ...(sign === "!=" ? { negate: true } : {}) };
      return { field, test: "equal", values, ...(sign === "!=" ? { negate: true } : {}) };
    case "~":
      return { field, test: "contains", values };
    case "in":
      return { field, test: "within", values };
    default:
      return range(field, sign, value);
  }
}

/** Ranges hold both ends: of whole numbers the next one is meant where the sign leaves the end out. */
function range(field: string, sign: string, value: string): Condition {
  const step = sign.endsWith("=") || !/^\d+$/.test(value) ? 0 : sign === ">" ? 1 : -1;
  const limit = step ? String(Number(value) + step) : value;
  return { field, test: "range", values: sign.startsWith(">") ? [limit, ""] : ["", limit] };
}

export interface Kept {
  name: string;
  types: string[];
  query: string;
  span: number;
}
/** Filters a person keeps: in this browser, for each tenant. They hold no records. */
export const kept_filters = {
  read(tenant: string): Kept[] {
    try {
      return JSON.parse(localStorage.getItem(`filters:${tenant}`) ?? "[]") as Kept[];
    } catch {
      return [];
    }
  },
  write(tenant: string, list: Kept[]): void {
    localStorage.setItem(`filters:${tenant}`, JSON.stringify(list.slice(-20)));
  },
};
