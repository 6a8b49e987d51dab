// SPDX-License-Identifier: Apache-2.0
import type { Document, Finding } from "../api/types";

/** "policies[0].rules[2]" as the names people gave. */
export function FindingPlace({ document, finding }: { document: Document | undefined; finding: Finding }) {
  const place = /policies\[(\d+)\](?:\.rules\[(\d+)\])?/.exec(finding.path ?? "");
  const policy = document?.policies?.[Number(place?.[1] ?? -1)];
  const rule = policy?.rules?.[Number(place?.[2] ?? -1)];
  return (
    <>
      {policy && (
        <b>
          {policy.name}
          {rule ? ` / ${rule.name}` : ""}:{" "}
        </b>
      )}
      {!policy && finding.path && <code>{finding.path}</code>} {finding.message}
    </>
  );
}
