// SPDX-License-Identifier: Apache-2.0
// What people write into the search field: src_ip in 10.0.0.0/8, action=drop dst_port=443 rule_name~web
import type { Condition } from "../api/types";

const WORD = /^([a-z][a-z0-9_]*)(!=|=|<|>|~)(?:"([^"]*)"|(\S+))$/;

/** Conditions, all of which hold; `wrong` is the first word that is none. An address or prefix alone means any address of the record. */
export function parse_query(text: string): { conditions: Condition[]; wrong: string } {
  const conditions: Condition[] = [];
  const words =
    text
      .replace(/\b([a-z0-9_]+)\s+in\s+(\S+)/g, "$1:in:$2")
      .replace(/\s*(!=|=|<|>|~)\s*/g, "$1")
      .match(/(?:[^\s"]|"[^"]*")+/g) ?? [];
  for (const word of words) {
    const within = /^([a-z][a-z0-9_]*):in:(\S+)$/.exec(word);
    const one = WORD.exec(word);
    if (within) conditions.push({ field: within[1]!, op: "in", value: within[2]! });
    else if (one) conditions.push({ field: one[1]!, op: one[2] as Condition["op"], value: one[3] ?? one[4]! });
    else if (/^[0-9a-f.:]+(\/\d+)?$/i.test(word) && /[.:]/.test(word))
      conditions.push({ field: "address", op: word.includes("/") ? "in" : "=", value: word });
    else return { conditions: [], wrong: word };
  }
  return { conditions, wrong: "" };
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
