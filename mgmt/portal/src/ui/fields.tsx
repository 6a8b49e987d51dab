// SPDX-License-Identifier: Apache-2.0
import type { ComponentChildren } from "preact";
import { useId, useRef, useState } from "preact/hooks";
import { t } from "../text/text";

interface Common {
  label: string;
  hint?: string;
  error?: string;
  wide?: boolean;
}

function Field({ id, label, hint, error, wide, children }: Common & { id: string; children: ComponentChildren }) {
  return (
    <div class={`field ${wide ? "wide" : ""}`}>
      <label for={id}>{label}</label>
      {children}
      {hint && (
        <p class="hint" id={`${id}-hint`}>
          {hint}
        </p>
      )}
      {error && (
        <p class="error" id={`${id}-error`}>
          {error}
        </p>
      )}
    </div>
  );
}
const told = (id: string, { hint, error }: Common) =>
  [hint && `${id}-hint`, error && `${id}-error`].filter(Boolean).join(" ") || undefined;

export function TextField(
  props: Common & {
    value: string;
    onChange: (value: string) => void;
    type?: "text" | "password" | "number" | "date" | "datetime-local" | "email";
    required?: boolean;
    placeholder?: string;
    maxLength?: number;
    autoComplete?: string;
    inputMode?: "numeric" | "text";
    class?: string;
    focus?: boolean;
    readOnly?: boolean;
    list?: string[];
  },
) {
  const id = useId();
  return (
    <Field id={id} {...props}>
      <input
        id={id}
        class={`input ${props.class ?? ""}`}
        type={(props.type ?? "text") as "text"}
        value={props.value}
        required={props.required}
        placeholder={props.placeholder}
        maxLength={props.maxLength}
        autocomplete={props.autoComplete ?? "off"}
        inputMode={props.inputMode}
        autofocus={props.focus}
        readOnly={props.readOnly}
        aria-invalid={props.error ? "true" : undefined}
        aria-describedby={told(id, props)}
        spellcheck={false}
        list={props.list ? `${id}-list` : undefined}
        onInput={(event) => props.onChange(event.currentTarget.value)}
      />
      {props.list && (
        <datalist id={`${id}-list`}>
          {props.list.map((value) => (
            <option key={value} value={value} />
          ))}
        </datalist>
      )}
    </Field>
  );
}

export function AreaField(
  props: Common & { value: string; onChange: (value: string) => void; rows?: number; mono?: boolean; readOnly?: boolean },
) {
  const id = useId();
  return (
    <Field id={id} {...props}>
      <textarea
        id={id}
        class={`input ${props.mono ? "mono" : ""}`}
        rows={props.rows ?? 4}
        value={props.value}
        readOnly={props.readOnly}
        spellcheck={false}
        aria-describedby={told(id, props)}
        onInput={(event) => props.onChange(event.currentTarget.value)}
      />
    </Field>
  );
}

export function SelectField<T extends string>(
  props: Common & { value: T; onChange: (value: T) => void; options: { value: T; text: string }[] },
) {
  const id = useId();
  return (
    <Field id={id} {...props}>
      <select
        id={id}
        class="input"
        value={props.value}
        aria-describedby={told(id, props)}
        onChange={(event) => props.onChange(event.currentTarget.value as T)}
      >
        {props.options.map((option) => (
          <option key={option.value} value={option.value}>
            {option.text}
          </option>
        ))}
      </select>
    </Field>
  );
}

export function CheckField({
  label,
  hint,
  value,
  onChange,
  wide,
}: Common & { value: boolean; onChange: (value: boolean) => void }) {
  return (
    <div class={`field ${wide ? "wide" : ""}`}>
      <label class="check">
        <input type="checkbox" checked={value} onChange={(event) => onChange(event.currentTarget.checked)} />
        <span>{label}</span>
      </label>
      {hint && <p class="hint">{hint}</p>}
    </div>
  );
}

/** A list of words: Enter or a comma adds one, Backspace in the empty field takes the last. */
export function ListField(
  props: Common & { value: string[]; onChange: (value: string[]) => void; from?: string[]; only?: boolean; placeholder?: string },
) {
  const id = useId();
  const [word, set_word] = useState("");
  const box = useRef<HTMLInputElement>(null);
  const left = (props.from ?? []).filter((one) => !props.value.includes(one));
  function add(text: string) {
    const words = text
      .split(/[,、\n\t]/)
      .map((one) => one.trim())
      .filter((one) => one && !props.value.includes(one) && (!props.only || props.from?.includes(one)));
    if (words.length) props.onChange([...props.value, ...new Set(words)]);
    set_word("");
  }
  function key(event: KeyboardEvent) {
    if (event.isComposing) return;
    if ((event.key === "Enter" || event.key === ",") && word.trim()) {
      event.preventDefault();
      add(word);
    }
    if (event.key === "Backspace" && !word) props.onChange(props.value.slice(0, -1));
  }
  return (
    <Field id={id} {...props}>
      <div
        class="tags"
        onClick={(event) => {
          if (event.target === event.currentTarget) box.current?.focus();
        }}
      >
        {props.value.map((one) => (
          <span class="tag" key={one}>
            {one}
            <button
              type="button"
              aria-label={t("act.remove_one", { name: one })}
              onClick={() => props.onChange(props.value.filter((other) => other !== one))}
            >
              ×
            </button>
          </span>
        ))}
        <input
          id={id}
          ref={box}
          value={word}
          list={props.from ? `${id}-list` : undefined}
          autocomplete="off"
          spellcheck={false}
          aria-describedby={told(id, props)}
          placeholder={props.value.length ? "" : (props.placeholder ?? "")}
          onKeyDown={key}
          onBlur={() => {
            if (word.trim()) add(word);
          }}
          onInput={(event) => {
            const text = event.currentTarget.value;
            if (left.includes(text) && !(event as InputEvent).data)
              add(text); // chosen from the list
            else set_word(text);
          }}
        />
        {props.from && (
          <datalist id={`${id}-list`}>
            {left.map((one) => (
              <option key={one} value={one} />
            ))}
          </datalist>
        )}
      </div>
    </Field>
  );
}
