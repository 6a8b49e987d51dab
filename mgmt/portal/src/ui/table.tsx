// SPDX-License-Identifier: Apache-2.0
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { t } from "../text/text";

export interface Column<R> {
  key: string;
  title: string;
  cell: (row: R) => ComponentChildren;
  order?: (row: R) => string | number; // absent: not sortable
  number?: boolean;
  header?: boolean; // names the row
  hide_title?: boolean;
}

export function Table<R>({
  caption,
  columns,
  rows,
  id,
  empty,
  row_class,
}: {
  caption: string;
  columns: Column<R>[];
  rows: R[];
  id: (row: R) => string;
  empty?: ComponentChildren;
  row_class?: (row: R) => string;
}) {
  const [sort, set_sort] = useState<{ key: string; down: boolean } | null>(null);
  const by = sort && columns.find((column) => column.key === sort.key)?.order;
  const shown = by
    ? [...rows].sort((a, b) => {
        const x = by(a),
          y = by(b);
        const order =
          typeof x === "number" && typeof y === "number"
            ? x - y
            : String(x).localeCompare(String(y), undefined, { numeric: true });
        return sort.down ? -order : order;
      })
    : rows;
  if (!rows.length) return <div class="empty">{empty ?? t("state.nothing")}</div>;
  const turn = (column: Column<R>) =>
    set_sort((old) =>
      old?.key === column.key ? (old.down ? null : { key: column.key, down: true }) : { key: column.key, down: false },
    );
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={caption}>
      <table>
        <caption class="hidden">{caption}</caption>
        <thead>
          <tr>
            {columns.map((column) => (
              <th
                key={column.key}
                scope="col"
                class={column.number ? "num" : ""}
                aria-sort={sort?.key === column.key ? (sort.down ? "descending" : "ascending") : undefined}
              >
                {column.order ? (
                  <button type="button" class="sort" onClick={() => turn(column)}>
                    {column.title}
                    <span aria-hidden="true">{sort?.key === column.key ? (sort.down ? " ↓" : " ↑") : ""}</span>
                  </button>
                ) : (
                  <span class={column.hide_title ? "hidden" : ""}>{column.title}</span>
                )}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {shown.map((row) => (
            <tr key={id(row)} class={row_class?.(row)}>
              {columns.map((column) =>
                column.header ? (
                  <th key={column.key} scope="row">
                    {column.cell(row)}
                  </th>
                ) : (
                  <td key={column.key} class={column.number ? "num" : ""}>
                    {column.cell(row)}
                  </td>
                ),
              )}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
